"""The flow of requests from the tier they are first sent to, through the one that answers, to how they end, as SVG."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tierstream.dashboard.charts import tier_colour
from tierstream.dashboard.words import count, share

STATUS_COLOURS: Final = {"ok": "good", "degraded": "fair", "rejected": "bad", "failed": "bad", "expired": "bad"}
_LEAST_HEIGHT: Final = 3.0
"""Of a band, so that a single request is seen."""


@dataclass(frozen=True, slots=True)
class Path:
    """So many requests that went the same way; tier 0: none."""

    first_tier: int
    tier: int
    status: str
    requests: int


@dataclass(frozen=True, slots=True)
class Node:
    """A place that requests come through, drawn as a bar with its name beside it."""

    x: float
    y: float
    height: float
    colour: str
    name: str
    figure: str
    spoken: str
    query: dict[str, str]
    """What finds its requests in the search."""
    text_x: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Band:
    """Requests between two places."""

    d: str
    colour: str
    spoken: str


@dataclass(frozen=True, slots=True)
class Flow:
    """All of it, laid out for one width."""

    width: float
    height: float
    bar: float
    nodes: Sequence[Node]
    bands: Sequence[Band]


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in pixels of the drawing."""

    width: float
    height: float
    bar: float
    gap: float
    """Between the places of a column."""
    before: float
    """Room for the names of the first column, left of it."""
    after: float
    """Room for the names of the last column, right of it."""
    shares: bool
    """Whether there is room for shares beside the numbers, and for long names."""


WIDE: Final = Layout(width=1160, height=330, bar=12, gap=34, before=112, after=150, shares=True)
NARROW: Final = Layout(width=360, height=360, bar=8, gap=38, before=84, after=72, shares=False)


@dataclass(frozen=True, slots=True)
class _Column:
    key: Callable[[Path], str]
    name: Callable[[str], str]
    colour: Callable[[str], str]
    query: Callable[[str], dict[str, str]]


def _tier_name(none: str) -> Callable[[str], str]:
    return lambda key: none if key == "0" else f"Tier {key}"


def _tier_colour(key: str) -> str:
    return tier_colour(int(key))


_COLUMNS: Final = (
    _Column(lambda _: "", lambda _: "Requests", lambda _: "ink", lambda _: {}),
    _Column(lambda path: str(path.first_tier), _tier_name("No tier"), _tier_colour, lambda key: {"first_tier": key}),
    _Column(lambda path: str(path.tier), _tier_name("No answer"), _tier_colour, lambda key: {"tier": key}),
    _Column(
        lambda path: path.status,
        str.capitalize,
        lambda key: STATUS_COLOURS.get(key, "none"),
        lambda key: {"status": key},
    ),
)
_SPOKEN: Final = ("in all", "first sent there", "answered there", "ended so")
_STATUS_ORDER: Final = tuple(STATUS_COLOURS)


def lay_out(paths: Sequence[Path], layout: Layout) -> Flow:
    """Place bars and bands; heights are in proportion to requests."""
    total = sum(path.requests for path in paths)
    if not total:
        return Flow(layout.width, layout.height, layout.bar, (), ())
    keys = [_keys(column, paths) for column in _COLUMNS]
    room = layout.height - layout.gap * (max(map(len, keys)) - 1) - layout.gap
    scale = room / total
    step = (layout.width - layout.before - layout.after - layout.bar) / (len(_COLUMNS) - 1)
    tops = [_tops(column, present, paths, scale, layout) for column, present in zip(_COLUMNS, keys, strict=True)]
    nodes = [
        _node(number, key, top, height, layout, step, paths)
        for number, column in enumerate(tops)
        for key, (top, height) in column.items()
    ]
    bands = [band for number in range(len(_COLUMNS) - 1) for band in _bands(number, paths, tops, scale, layout, step)]
    return Flow(layout.width, layout.height, layout.bar, nodes, bands)


def _keys(column: _Column, paths: Iterable[Path]) -> list[str]:
    """The places of a column from the top: tiers by their number and "none" last, endings from good to bad."""
    present = {column.key(path) for path in paths}
    return sorted(
        present,
        key=lambda key: (key == "0", _STATUS_ORDER.index(key) if key in _STATUS_ORDER else len(_STATUS_ORDER), key),
    )


def _tops(
    column: _Column, keys: Sequence[str], paths: Iterable[Path], scale: float, layout: Layout
) -> dict[str, tuple[float, float]]:
    heights = dict.fromkeys(keys, 0.0)
    for path in paths:
        heights[column.key(path)] += path.requests * scale
    heights = {key: max(height, _LEAST_HEIGHT) for key, height in heights.items()}
    y = (layout.height - sum(heights.values()) - layout.gap * (len(keys) - 1)) / 2
    found = {}
    for key, height in heights.items():
        found[key] = (y, height)
        y += height + layout.gap
    return found


def _node(number: int, key: str, top: float, height: float, layout: Layout, step: float, paths: Sequence[Path]) -> Node:
    column = _COLUMNS[number]
    requests = sum(path.requests for path in paths if column.key(path) == key)
    total = sum(path.requests for path in paths)
    x = layout.before + number * step
    first = number == 0
    name = (
        column.name(key) if layout.shares else column.name(key).replace("No answer", "None").replace("No tier", "None")
    )
    share_of = share(requests / total)
    figure = count(requests) if first or not layout.shares else f"{count(requests)} · {share_of}"
    return Node(
        x=round(x, 1),
        y=round(top, 1),
        height=round(height, 1),
        colour=column.colour(key),
        name=name,
        figure=figure,
        # What is to be seen comes first, for who speaks it to have it chosen.
        spoken=f"{name} {figure}, {share_of} of requests {_SPOKEN[number]}: show them",
        query=column.query(key),
        text_x=round(x - 10 if first else x + layout.bar + 8, 1),
        anchor="end" if first else "start",
    )


def _bands(
    number: int,
    paths: Sequence[Path],
    tops: Sequence[dict[str, tuple[float, float]]],
    scale: float,
    layout: Layout,
    step: float,
) -> list[Band]:
    left, right = _COLUMNS[number], _COLUMNS[number + 1]
    sums: dict[tuple[str, str], int] = {}
    for path in paths:
        ends = (left.key(path), right.key(path))
        sums[ends] = sums.get(ends, 0) + path.requests
    used_left = {key: top for key, (top, _) in tops[number].items()}
    used_right = {key: top for key, (top, _) in tops[number + 1].items()}
    places = {ends: n for n, ends in enumerate((one, other) for one in used_left for other in used_right)}
    found = []
    for (one, other), requests in sorted(sums.items(), key=lambda item: places[item[0]]):
        height = requests * scale
        x0 = layout.before + number * step + layout.bar
        x1 = layout.before + (number + 1) * step
        y0, y1 = used_left[one] + height / 2, used_right[other] + height / 2
        used_left[one] += height
        used_right[other] += height
        middle = (x0 + x1) / 2
        colour = left.colour(one) if number else right.colour(other)
        spoken = f"{left.name(one)} to {right.name(other)}: {count(requests)}"
        found.append(Band(_ribbon(x0, y0, x1, y1, middle, max(height, 1.0)), colour, spoken))
    return found


def _ribbon(x0: float, y0: float, x1: float, y1: float, middle: float, height: float) -> str:
    half = height / 2
    return (
        f"M{x0:.1f} {y0 - half:.1f}C{middle:.1f} {y0 - half:.1f} {middle:.1f} {y1 - half:.1f} {x1:.1f} {y1 - half:.1f}"
        f"V{y1 + half:.1f}C{middle:.1f} {y1 + half:.1f} {middle:.1f} {y0 + half:.1f} {x0:.1f} {y0 + half:.1f}Z"
    )

"""What a chart shows, as data: the page has it as a table and as JSON, from which the script draws."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from tierstream.dashboard.words import count, money, share, span

Unit = Literal["usd", "count", "share", "ms"]
Kind = Literal["bars", "lines", "steps"]

WRITTEN: Final = {"usd": money, "count": count, "share": share, "ms": span}
"""How figures of a unit are written."""
_SHADES: Final = 3
_TIERS_WITH_COLOURS: Final = 4


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one layer of the bars.

    Attributes:
        name: In the legend.
        colour: Name of a colour of the style sheet, such as `t1-0`.
        values: One for each label; None: nothing is known.
    """

    name: str
    colour: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with its title, its series over labels, and a sentence that says what is to be seen.

    Attributes:
        kind: Stacked bars, lines, or the steps from one figure to another (one series, first and last value whole).
    """

    id: str
    title: str
    kind: Kind
    unit: Unit
    labels: Sequence[str]
    series: Sequence[Series]
    summary: str
    first: str = "When"
    """What the labels are, for the head of the table."""
    empty: str = "Nothing in this period."
    note: str = ""
    hrefs: Sequence[str] = field(default=())
    """Where each label leads, if anywhere."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for one in self.series for value in one.values)

    @property
    def data(self) -> str:
        """What the script draws, as JSON that can stand in a page."""
        content = {
            "kind": self.kind,
            "unit": self.unit,
            "labels": list(self.labels),
            "series": [{"name": one.name, "colour": one.colour, "values": list(one.values)} for one in self.series],
        }
        return json.dumps(content, default=_plain).replace("<", "\\u003c")

    def written(self, value: float | None) -> str:
        """Write one of its figures with its unit."""
        return WRITTEN[self.unit](value)

    def rows(self) -> list[tuple[str, list[str]]]:
        """Return the rows of its table: label and figures."""
        return [
            (label, [self.written(one.values[n]) for one in self.series])
            for n, label in enumerate(self.labels)
            if any(one.values[n] is not None for one in self.series)
        ]


def tier_colour(tier: int, shade: int = 0) -> str:
    """Name the colour of a tier, or a shade of it for one of its models; 0 has that of what no tier answered."""
    if tier == 0:
        return "none"
    return f"t{(tier - 1) % _TIERS_WITH_COLOURS + 1}-{shade % _SHADES}"


def _plain(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no figure")

"""The first page: five queries of roll-ups, and what they say."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from analytics.bound_times import second_of
from analytics.ledger_window import PriceList
from tierstream.dashboard.charts import Chart, Series, tier_colour
from tierstream.dashboard.flow import Path
from tierstream.dashboard.ledger import Ledger
from tierstream.dashboard.period import Period
from tierstream.dashboard.words import change, count, money, share, span

FLOW_SPAN: Final = timedelta(hours=1)
_EARLIER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The step of what lies before the period, and of quantiles of the whole."""
_MODELS_SHOWN: Final = 8
_LEAST_BUCKETS: Final = 7
_ANSWERED: Final = ("ok", "degraded")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure with what it means.

    Attributes:
        good: Whether the change is for the better; None: neither.
    """

    name: str
    figure: str
    detail: str
    change: str | None = None
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """A breaker that is not closed, and how many workers say so."""

    target: str
    state: str
    forced: bool
    since: datetime
    workers: int


@dataclass(frozen=True, slots=True)
class State:
    """How the deployment is at this moment."""

    breakers: Sequence[Breaker]
    queues: Sequence[tuple[str, float]]
    """Stages and the 95th percentile of the wait for each, in milliseconds."""
    newest: datetime | None
    rolled_up: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """All that the first page shows."""

    tiles: Sequence[Tile]
    spend: Chart
    saved: Chart
    tiers: Chart
    quality: Chart
    latency: Chart
    paths: Sequence[Path]
    state: State
    is_empty: bool
    """Whether nothing was settled and nothing spent in the period."""


async def overview(
    ledger: Ledger, period: Period, now: datetime, frontier: str, prices: Callable[[], PriceList]
) -> Overview:
    """Ask the five queries and make the page's content of them.

    Args:
        ledger: To ask.
        period: Of all but flow and state, which are of now.
        now: The present moment.
        frontier: `provider/model` that costs are compared with.
        prices: What the configured models cost.

    Raises:
        ClickHouseUnavailable: The ledger can't be asked.
    """
    grain = period.grain
    shown = {"since": second_of(period.since), "until": second_of(period.until), "step": period.step_s}
    compared = {**shown, "before": second_of(period.before)}
    spend, results, times, flow, state = await asyncio.gather(
        ledger.rows("dashboard_spend", {**compared, "spend": f"spend_by_{grain}"}),
        ledger.rows("dashboard_results", {**compared, "results": f"results_by_{grain}"}),
        ledger.rows("dashboard_times", {**shown, "times": f"times_by_{grain}"}),
        ledger.rows("dashboard_flow", {"since": second_of(now - FLOW_SPAN)}),
        ledger.rows("dashboard_state", {"now": second_of(now)}),
    )
    buckets = _buckets(period, spend, results)
    frontier_costs = _frontier_costs(results, prices)
    spent = _sums(spend, "cost_usd")
    return Overview(
        tiles=_tiles(spend, results, times, spent, frontier_costs, frontier),
        spend=_spend_chart(period, buckets, spend),
        saved=_saved_chart(period, buckets, spent, frontier_costs, frontier),
        tiers=_tiers_chart(period, buckets, results),
        quality=_quality_chart(period, buckets, results),
        latency=_latency_chart(period, buckets, times),
        paths=[Path(row["first_tier"], row["tier"], row["status"], row["requests"]) for row in flow],
        state=_state(state),
        is_empty=not any(row["step"] != _EARLIER for row in (*spend, *results)),
    )


def _buckets(period: Period, *answers: Iterable[Row]) -> list[datetime]:
    """The steps of the period, but for those before there was anything: a week is shown in any case."""
    steps = list(period.buckets())
    first = min((row["step"] for rows in answers for row in rows if row["step"] != _EARLIER), default=None)
    if first is None:
        return steps
    return steps[max(0, min(steps.index(first) if first in steps else 0, len(steps) - _LEAST_BUCKETS)) :]


def _sums(rows: Iterable[Row], name: str) -> dict[datetime, Decimal]:
    found: dict[datetime, Decimal] = defaultdict(Decimal)
    for row in rows:
        found[row["step"]] += row[name]
    return found


def _frontier_costs(results: Iterable[Row], prices: Callable[[], PriceList]) -> dict[datetime, Decimal]:
    """What the tokens of the published answers cost at the frontier model's rates."""
    found: dict[datetime, Decimal] = defaultdict(Decimal)
    rows = [row for row in results if row["input_tokens"] or row["output_tokens"]]
    if rows:
        listed = prices()
        for row in rows:
            found[row["step"]] += listed.cost_on(listed.frontier, row)
    return found


def _in_period(sums: Mapping[datetime, Decimal]) -> Decimal:
    return sum((value for bucket, value in sums.items() if bucket != _EARLIER), start=Decimal(0))


def _tiles(
    spend: Sequence[Row],
    results: Sequence[Row],
    times: Sequence[Row],
    spent: Mapping[datetime, Decimal],
    frontier_costs: Mapping[datetime, Decimal],
    frontier: str,
) -> list[Tile]:
    now = [row for row in results if row["step"] != _EARLIER]
    requests = _count(now, "requests")
    before = _count((row for row in results if row["step"] == _EARLIER), "requests")
    answered = sum(row["requests"] for row in now if row["status"] in _ANSWERED)
    total, full = _in_period(spent), _in_period(frontier_costs)
    sharing = _in_period(_sums(spend, "sharing_saved_usd"))
    caching = _in_period(_sums(spend, "cache_saved_usd"))
    whole = {row["kind"]: row["quantiles"] for row in times if row["step"] == _EARLIER and row["n"]}
    latency, own = whole.get("request"), whole.get("own")
    changed = change(total, spent.get(_EARLIER))
    return [
        Tile(
            "Spend",
            money(total),
            f"{money(total / requests * 1000)} per 1,000 requests" if requests else "no requests",
            changed,
            None if changed is None else total <= spent[_EARLIER],
        ),
        Tile(
            "Saved by routing",
            share(1 - total / full) if full else share(None),
            f"{money(full - total)} less than all on {frontier}" if full else f"compared with all on {frontier}",
        ),
        Tile(
            "Saved by reuse",
            money(sharing + caching),
            f"{money(sharing)} shared calls, {money(caching)} prompt caches",
        ),
        Tile(
            "Requests",
            count(requests),
            f"{share(answered / requests)} answered" if requests else "none settled",
            change(requests, before),
        ),
        Tile(
            "Escalated",
            share(_count(now, "escalated") / requests) if requests else share(None),
            f"{share(_count(now, 'judged') / requests)} judged" if requests else "for a bad answer",
        ),
        Tile(
            "Latency p95",
            span(latency[1]) if latency else span(None),
            f"median {span(latency[0])}; own part p95 {span(own[1] if own else None)}" if latency else "of requests",
        ),
    ]


def _count(rows: Iterable[Row], name: str) -> int:
    return sum(row[name] for row in rows)


def _spend_chart(period: Period, buckets: Sequence[datetime], spend: Sequence[Row]) -> Chart:
    totals: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    cells: dict[tuple[int, str, datetime], Decimal] = defaultdict(Decimal)
    for row in spend:
        if row["step"] != _EARLIER:
            ref = f"{row['provider']}/{row['model']}"
            totals[row["tier"], ref] += row["cost_usd"]
            cells[row["tier"], ref, row["step"]] += row["cost_usd"]
    # The dearest ones have a layer of their own, all others share one.
    shown = sorted(sorted(totals, key=lambda one: (-totals[one], one))[:_MODELS_SHOWN])
    shades: dict[int, int] = defaultdict(int)
    series = []
    for tier, ref in shown:
        values = [float(cells[tier, ref, bucket]) for bucket in buckets]
        series.append(Series(f"{ref} (tier {tier})", tier_colour(tier, shades[tier]), values))
        shades[tier] += 1
    if others := set(totals) - set(shown):
        sums = [float(sum(cells[tier, ref, bucket] for tier, ref in others)) for bucket in buckets]
        series.append(Series("1 other model" if len(others) == 1 else f"{len(others)} other models", "none", sums))
    total = sum(totals.values(), start=Decimal(0))
    dearest = max(totals, key=lambda one: totals[one], default=None)
    said = f"{money(total)} in {period.words}."
    if dearest and total:
        said += f" {dearest[1]} makes {share(totals[dearest] / total)} of it."
    return Chart(
        id="spend",
        title=f"Spend per {period.step}, by model",
        kind="bars",
        unit="usd",
        labels=[period.label(bucket) for bucket in buckets],
        series=series,
        summary=said,
        empty="Nothing was spent in this period.",
        note="Every paid call once: answers, judges, votes and shadows.",
    )


def _saved_chart(
    period: Period,
    buckets: Sequence[datetime],
    spent: Mapping[datetime, Decimal],
    frontier_costs: Mapping[datetime, Decimal],
    frontier: str,
) -> Chart:
    actual = [float(spent.get(bucket, 0)) for bucket in buckets]
    full = [float(frontier_costs.get(bucket, 0)) for bucket in buckets]
    saved = [whole - part if whole or part else None for whole, part in zip(full, actual, strict=True)]
    whole, part = _in_period(frontier_costs), _in_period(spent)
    return Chart(
        id="saved",
        title=f"Saved by routing per {period.step}",
        kind="bars",
        unit="usd",
        labels=[period.label(bucket) for bucket in buckets],
        series=[Series("Saved", "saved", saved)] if whole else [],
        summary=f"{money(whole - part)} less than {money(whole)}, what the same answers cost on {frontier}.",
        empty="Nothing was answered in this period.",
        note=f"Against the same tokens on {frontier}, at its rates of today.",
    )


def _tiers_chart(period: Period, buckets: Sequence[datetime], results: Sequence[Row]) -> Chart:
    cells: dict[tuple[int, datetime], int] = defaultdict(int)
    for row in results:
        if row["step"] != _EARLIER:
            cells[row["tier"], row["step"]] += row["requests"]
    tiers = sorted({tier for tier, _ in cells}, key=lambda tier: (tier == 0, tier))
    sums = {tier: sum(number for (one, _), number in cells.items() if one == tier) for tier in tiers}
    total = sum(sums.values())
    said = ", ".join(f"{_tier_name(tier)} {share(sums[tier] / total)}" for tier in tiers) if total else "No requests"
    return Chart(
        id="tiers",
        title="Requests by tier",
        kind="bars",
        unit="count",
        labels=[period.label(bucket) for bucket in buckets],
        series=[
            Series(_tier_name(tier), tier_colour(tier), [cells[tier, bucket] for bucket in buckets]) for tier in tiers
        ],
        summary=f"{said}.",
        empty="No request was settled in this period.",
        note="By the tier whose answer was published.",
    )


def _tier_name(tier: int) -> str:
    return f"Tier {tier}" if tier else "No answer"


def _quality_chart(period: Period, buckets: Sequence[datetime], results: Sequence[Row]) -> Chart:
    wanted = {
        "Judged": ("judged", "t2-0"),
        "Failed by a judge": ("judge_failed", "bad"),
        "Failed a free check": ("check_failed", "fair"),
        "Escalated": ("escalated", "t3-0"),
    }
    sums = {bucket: {"requests": 0, **{key: 0 for key, _ in wanted.values()}} for bucket in buckets}
    for row in results:
        if row["step"] in sums:
            for key, so_far in sums[row["step"]].items():
                sums[row["step"]][key] = so_far + row[key]
    whole = {key: sum(one[key] for one in sums.values()) for key in ("requests", *(key for key, _ in wanted.values()))}
    said = ", ".join(
        f"{name.lower()} {share(whole[key] / whole['requests'])}"
        for name, (key, _) in wanted.items()
        if whole["requests"]
    )
    return Chart(
        id="quality",
        title="Quality",
        kind="lines",
        unit="share",
        labels=[period.label(bucket) for bucket in buckets],
        series=[
            Series(
                name,
                colour,
                [one[key] / one["requests"] if one["requests"] else None for one in (sums[at] for at in buckets)],
            )
            for name, (key, colour) in wanted.items()
        ]
        if whole["requests"]
        else [],
        summary=f"{said.capitalize()}." if said else "No requests.",
        empty="No request was settled in this period.",
        note="Share of requests that had such an answer on their way.",
    )


def _latency_chart(period: Period, buckets: Sequence[datetime], times: Sequence[Row]) -> Chart:
    cells = {(row["kind"], row["step"]): row["quantiles"] for row in times if row["n"]}
    whole = cells.get(("request", _EARLIER))
    lines = (("p50", 0, "t1-0"), ("p95", 1, "t2-0"), ("p99", 2, "t3-0"))
    return Chart(
        id="latency",
        title="Latency of requests",
        kind="lines",
        unit="ms",
        labels=[period.label(bucket) for bucket in buckets],
        series=[
            Series(name, colour, [_quantile(cells.get(("request", bucket)), n) for bucket in buckets])
            for name, n, colour in lines
        ]
        if whole
        else [],
        summary=f"Median {span(whole[0])}, 95th percentile {span(whole[1])}." if whole else "No requests.",
        empty="No request was settled in this period.",
        note="From the append of the request to its result.",
    )


def _quantile(quantiles: Sequence[float] | None, n: int) -> float | None:
    return round(quantiles[n], 1) if quantiles else None


def _state(rows: Sequence[Row]) -> State:
    breakers: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["kind"] == "breaker":
            breakers[row["name"], row["text"]].append(row)
    newest = {row["name"]: row["at"] for row in rows if row["kind"] == "newest"}
    return State(
        breakers=[
            Breaker(target, state, any(one["number"] for one in said), min(one["at"] for one in said), len(said))
            for (target, state), said in sorted(breakers.items())
        ],
        queues=sorted((row["name"], row["number"]) for row in rows if row["kind"] == "queue"),
        newest=newest.get("ledger"),
        rolled_up=newest.get("rollups"),
    )

"""Where a tier between two tiers pays, from the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from analytics.clickhouse import AsyncClient
from analytics.leverage.model_facts import ModelFacts
from analytics.leverage.quality import Evidence
from analytics.leverage.split import Estimate, Flow, Kind, Part, propose
from analytics.named_query import named_query
from analytics.period import Period
from analytics.reports.report import Report

_BINS: Final = 5
"""Of how sure the router was."""
_READ: Final = 40_000
"""Requests that are read, about: of more, some hours."""
_DAY_S: Final = 86_400
_MONTH_DAYS: Final = 30


class Interval(Report):
    """An estimate, with its interval of 95 %."""

    value: float
    low: float
    high: float


class PartRow(Report):
    """Requests of one kind that come to the upper tier in one way."""

    query_type: str
    """Empty: not said."""
    sure: float | None
    """How sure the router was that the lower tier would do; None: it did not say."""
    is_escalated: bool
    """After a bad answer of the lower tier."""
    moves: bool
    """Whether the middle tier should get them."""
    requests: int
    upper_usd: float
    """What the upper tier's answers cost."""
    good: Interval
    """Share that the middle tier would answer well."""
    upper_good: float
    saving_usd: Interval


class Proposal(Report):
    """What a model would do in between. Amounts are of the period, and scaled up where not all hours were read."""

    model: str
    """`provider/model`."""
    pays: bool
    reason: str
    requests: int
    """That it would get."""
    as_good_share: Interval
    """Of the upper tier's requests: those that it would get and answer well."""
    saving_usd: Interval
    saving_share: float
    """Of what the upper tier costs."""
    monthly_saving_usd: Interval
    """In 30 days like these."""
    parts: tuple[PartRow, ...]
    """Those that move first."""


class SplitReport(Report):
    """Whether a tier between two tiers pays, for each model that could be it."""

    since: datetime
    until: datetime
    lower: int
    upper: int
    upper_requests: int
    upper_usd: float
    read_share: float
    """Of the hours of the period."""
    margin: float
    closes_from: float
    """Part of the gap between the tiers, in log odds, that a model in between is taken to close: from here"""
    closes_to: float
    """to here."""
    proposals: tuple[Proposal, ...]
    """What saves most first."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the ledger does not know.

    Attributes:
        lower: Number of the lower tier; the upper one is the next.
        margin: By how much the share of good answers may be lower.
        closes: Part of the gap in log odds that a model in between closes, from and to.
    """

    lower: int
    margin: float
    closes: tuple[float, float]


async def split_tiers(
    client: AsyncClient, database: str, period: Period, models: Sequence[ModelFacts], assumed: Assumed
) -> SplitReport:
    """Propose which requests models in between two tiers should get.

    Args:
        client: Of the server.
        database: Of the ledger.
        period: Of results.
        models: That could be in between.
        assumed: What the ledger does not know.
    """
    results = f"results_by_{period.grain}"
    [counted] = await named_query(client, database, "split_requests", {**period.bounds, "results": results})
    every = max(1, round(counted["requests"] / _READ))
    tiers = {"lower": assumed.lower, "upper": assumed.lower + 1}
    rows = await named_query(
        client, database, "split_clusters", {**period.bounds, **tiers, "bins": _BINS, "every": every}
    )
    # Hours are unlike, so what was read is scaled by requests and not by hours.
    requests_read = sum(row["requests_read"] for row in rows)
    scale = counted["requests"] / requests_read if requests_read and every > 1 else 1.0
    days = (period.until - period.since).total_seconds() / _DAY_S
    proposals = [_proposal(model, rows, assumed, scale, _MONTH_DAYS / days) for model in models]
    return SplitReport(
        since=period.since,
        until=period.until,
        **tiers,
        upper_requests=round(scale * sum(sum(row["requests"]) for row in rows)),
        upper_usd=scale * sum(float(sum(row["costs"])) for row in rows),
        read_share=1 / scale,
        margin=assumed.margin,
        closes_from=assumed.closes[0],
        closes_to=assumed.closes[1],
        proposals=tuple(sorted(proposals, key=lambda one: -one.saving_usd.value)),
    )


def _proposal(
    model: ModelFacts, rows: Iterable[Mapping[str, Any]], assumed: Assumed, scale: float, monthly: float
) -> Proposal:
    kinds = [_kind(row, model, scale) for row in rows]
    split = propose(kinds, margin=assumed.margin, closes=assumed.closes)
    above = sum(float(part.flow.upper_usd) for part in split.parts)
    return Proposal(
        model=model.ref,
        pays=split.pays,
        reason=split.reason,
        requests=split.moved,
        as_good_share=_interval(split.as_good),
        saving_usd=_interval(split.saving),
        saving_share=split.saving.value / above if above else 0.0,
        monthly_saving_usd=_interval(split.saving, monthly),
        parts=tuple(map(_row, split.parts)),
    )


def _kind(row: Mapping[str, Any], model: ModelFacts, scale: float) -> Kind:
    flows = [
        Flow(
            round(row["requests"][way] * scale),
            row["costs"][way] * Decimal(scale),
            Decimal(scale)
            * model.rates.cost(
                fresh=row["fresh"][way], cached=row["cached"][way], written=0, output=Decimal(row["output"][way])
            ),
        )
        for way in (0, 1)
    ]
    lower = Evidence(row["lower_answers"], row["lower_check_failures"], row["lower_judged"], row["lower_passed"])
    upper = Evidence(row["upper_answers"], 0, min(row["upper_judged"], row["upper_answers"]), row["upper_passed"])
    return Kind(row["query_type"], None if row["bin"] < 0 else row["sure"], lower, upper, *flows)


def _row(part: Part) -> PartRow:
    return PartRow(
        query_type=part.kind.query_type,
        sure=part.kind.sure,
        is_escalated=part.is_escalated,
        moves=part.moves,
        requests=part.flow.requests,
        upper_usd=float(part.flow.upper_usd),
        good=_interval(part.good),
        upper_good=part.upper_good,
        saving_usd=_interval(part.saving),
    )


def _interval(estimate: Estimate, factor: float = 1.0) -> Interval:
    return Interval(value=estimate.value * factor, low=estimate.low * factor, high=estimate.high * factor)

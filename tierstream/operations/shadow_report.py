"""What shadows have shown: figures of the ledger, with intervals, and the decision that follows."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from analytics.ledger_window import BEGINNING, END, LedgerWindow
from streams.config.settings import Settings
from streams.config.settings_candidates import ShadowSettings
from streams.learning.comparison import Comparison, Costs, Decision, Finding, Tally, decide

_MARGIN: Final = float(ShadowSettings.model_fields["margin"].default)
"""Of a shadow that the settings have no longer."""


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class ComparedType(_Report):
    """How the candidate compares on one query type; the figures are those of `ShadowReport`."""

    query_type: str
    wins: int
    ties: int
    losses: int
    difference: float | None
    low: float
    high: float
    is_worse: bool
    """The whole interval is below 0."""


class ShadowReport(_Report):
    """How one candidate compares with the models of its tier."""

    name: str
    model: str
    """`provider/model`."""
    is_configured: bool
    """Whether it is the candidate that the settings have under the name."""
    decision: Decision
    reason: str
    margin: float
    wins: int
    ties: int
    losses: int
    difference: float | None
    """Wins less losses, as a share of the comparisons; None where there are none."""
    low: float
    """Lower end of the interval of the difference, which holds over all looks."""
    high: float
    failed: int
    """Requests on which the candidate gave no answer."""
    unjudged: int
    unaffordable: int
    late: int
    candidate_cost_usd: Decimal | None
    """Mean of the candidate's calls that were compared; None where no result is known of their requests."""
    incumbent_cost_usd: Decimal | None
    """Mean of what the answers cost that were given to the same requests."""
    candidate_p50_ms: float | None
    """Median of the candidate's calls, on the wire and at the provider."""
    incumbent_p50_ms: float | None
    types: tuple[ComparedType, ...]
    """In the order of their first comparisons."""


class ShadowCost(_Report):
    """What a shadow has cost in the window; the name is empty where its steps have not told of it yet."""

    name: str
    candidate_calls: int
    judge_calls: int
    candidate_cost_usd: Decimal
    judge_cost_usd: Decimal


class ShadowsReport(_Report):
    """All shadows that ended a comparison in [since, until), or one of them."""

    since: datetime
    until: datetime
    tag: str | None
    shadows: tuple[ShadowReport, ...]
    costs: tuple[ShadowCost, ...]


async def shadows_report(window: LedgerWindow, settings: Settings, name: str | None = None) -> ShadowsReport:
    """Compare candidates with what they are to replace.

    Args:
        window: Of comparisons that ended in it.
        settings: Have the margins.
        name: Of one shadow; None: all.
    """
    found, costs = await asyncio.gather(
        window.rows("shadow_findings", name=name or ""), window.rows("shadow_costs", name=name or "")
    )
    by_candidate = groupby(found, key=lambda row: (row["name"], row["provider"], row["model"]))
    plans = {plan.name: plan for plan in settings.shadow}
    return ShadowsReport(
        since=window.since or BEGINNING,
        until=window.until or END,
        tag=window.tag,
        shadows=tuple(_shadow(list(rows), plans.get(key[0])) for key, rows in by_candidate),
        costs=tuple(ShadowCost(**row) for row in costs),
    )


def _shadow(rows: Sequence[Mapping[str, Any]], plan: ShadowSettings | None) -> ShadowReport:
    [total] = [row for row in rows if row["is_total"]]
    types = [(row["query_type"], _tally(row)) for row in rows if not row["is_total"]]
    comparison = Comparison(tuple((kind, tally) for kind, tally in types if tally.total))
    paired, ref = total["paired"], f"{total['provider']}/{total['model']}"
    costs = Costs(*(total[f"{who}_cost_usd"] / paired if paired else None for who in ("candidate", "incumbent")))
    margin = plan.margin if plan is not None else _MARGIN
    decision, reason = decide(comparison, costs, failed=total["failed"], margin=margin)
    counted = ("failed", "unjudged", "unaffordable", "late", "candidate_p50_ms", "incumbent_p50_ms")
    return ShadowReport(
        name=total["name"],
        model=ref,
        is_configured=plan is not None and plan.model.ref == ref,
        decision=decision,
        reason=reason,
        margin=margin,
        **_figures(comparison.overall),
        **{column: total[column] for column in counted},
        candidate_cost_usd=costs.candidate,
        incumbent_cost_usd=costs.incumbent,
        types=tuple(_types(comparison)),
    )


def _types(comparison: Comparison) -> Iterator[ComparedType]:
    for query_type, finding in comparison.by_type():
        yield ComparedType(query_type=query_type, is_worse=finding.is_worse(), **_figures(finding))


def _figures(finding: Finding) -> dict[str, Any]:
    tally = finding.tally
    interval = {"difference": tally.difference, "low": finding.low, "high": finding.high}
    return {"wins": tally.wins, "ties": tally.ties, "losses": tally.losses, **interval}


def _tally(row: Mapping[str, Any]) -> Tally:
    return Tally(row["wins"], row["ties"], row["losses"])

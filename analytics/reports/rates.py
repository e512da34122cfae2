"""How often requests were sent on, and how often answers failed."""

import asyncio
from typing import Literal

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import ALL, Report, RollupReport, rolled_up

Dimension = Literal["tier", "model", "query_type", "feature"]


class RatesRow(Report):
    """The requests of one tier, model, …; shares are of them where nothing else is said."""

    key: str
    """Of tiers: the one that was asked first; empty where none was."""
    requests: int
    """A retry after feedback is one of its own."""
    answered_share: float
    degraded_share: float
    """Answered, but no answer was good enough."""
    escalated_share: float
    """Sent a tier up for a bad answer."""
    promoted_share: float
    """Sent a tier up because no provider answered."""
    fell_back_share: float
    """Asked of a further model of the same tier."""
    judged: int
    """Had an answer that a judge looked at before it was published."""
    judged_share: float
    check_failed_share: float
    """Had an answer that failed a free check."""
    judge_failed_share: float | None
    """Of the judged ones; None where there are none."""
    retries: int


class RatesReport(RollupReport):
    """Rates of escalation, validation and fallback, most requests first."""

    by: Dimension
    rows: tuple[RatesRow, ...]


async def rates(window: LedgerWindow, *, by: Dimension = "tier", top: int = 20) -> RatesReport:
    """Show rates of escalation, validation and fallback by the tier asked first, the model, query type or feature.

    Args:
        window: Of requests that settled in it.
        by: What to tell apart.
        top: How many rows at most; 0: all.
    """
    head, rows = await asyncio.gather(rolled_up(window), window.rollup_rows("report_rates", by=by, top=top or ALL))
    return RatesReport(**head, by=by, rows=tuple(RatesRow(**row) for row in rows))

"""When circuit breakers were not closed."""

from datetime import datetime

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import ALL, Report


class BreakerPeriod(Report):
    """What one worker said of one breaker, until it said something else."""

    target: str
    """`provider/model` or `tier:N`."""
    worker: str
    state: str
    """open or half_open."""
    since: datetime
    until: datetime | None
    """None: the worker has said nothing else yet."""
    last_said_at: datetime
    is_forced: bool
    """By an operator."""
    reason: str
    calls: int
    """Of the window of calls in which it opened; so are the next two."""
    failures: int
    slow: int


class BreakersReport(Report):
    """The history of breakers in whole hours or days, [since, until)."""

    since: datetime
    until: datetime
    rows: tuple[BreakerPeriod, ...]


async def breakers(window: LedgerWindow, *, top: int = 50) -> BreakersReport:
    """Show when each circuit breaker was open, in which worker and why, latest first.

    Args:
        window: In which workers said so.
        top: How many rows at most; 0: all.
    """
    rows = await window.rollup_rows("report_breakers", top=top or ALL)
    period = window.period
    return BreakersReport(since=period.since, until=period.until, rows=tuple(BreakerPeriod(**row) for row in rows))

"""What went wrong."""

import asyncio
from decimal import Decimal
from typing import Literal

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import ALL, Report, RollupReport, rolled_up


class ErrorRow(Report):
    """Calls or requests that ended alike."""

    source: Literal["request", "call"]
    provider: str
    """Of a call; so is the model."""
    model: str
    error: str
    """Of a request: its error code. Of a call: the kind of its error, or `unknown` where it never ended."""
    n: int
    share: float
    """Of all requests, or of the calls of the model."""
    cost_usd: Decimal


class ErrorsReport(RollupReport):
    """Requests without an answer and failed calls, most frequent first."""

    rows: tuple[ErrorRow, ...]


async def errors(window: LedgerWindow, *, top: int = 50) -> ErrorsReport:
    """Show which requests got no answer and which calls failed, by the kind of the error.

    Args:
        window: Of requests that settled in it, and calls that ended.
        top: How many rows at most; 0: all.
    """
    head, rows = await asyncio.gather(rolled_up(window), window.rollup_rows("report_errors", top=top or ALL))
    return ErrorsReport(**head, rows=tuple(ErrorRow(**row) for row in rows))

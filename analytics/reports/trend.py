"""Requests, money and latency over time."""

import asyncio
from datetime import datetime
from decimal import Decimal

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import Report, RollupReport, rolled_up


class TrendRow(Report):
    """One tier in one hour or day."""

    bucket: datetime
    """Its start."""
    tier: int
    """0: of requests without an answer."""
    requests: int
    """Settled in it, with an answer of this tier."""
    calls: int
    """Ended in it, on the wire."""
    failed_calls: int
    cost_usd: Decimal
    """Of these calls, judges included."""
    p50_ms: float | None
    """Of requests, within 1 %; None where there are none."""
    p95_ms: float | None


class TrendReport(RollupReport):
    """Hours, or days where the period is longer than eight of them; those without traffic are left out."""

    rows: tuple[TrendRow, ...]


async def trend(window: LedgerWindow) -> TrendReport:
    """Show requests, calls, money and latency by tier, hour by hour or day by day.

    Args:
        window: Of requests that settled in it, and calls that ended.
    """
    head, rows = await asyncio.gather(rolled_up(window), window.rollup_rows("report_trend"))
    return TrendReport(**head, rows=tuple(TrendRow(**row) for row in rows))

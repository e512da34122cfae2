"""How long things took."""

import asyncio
from typing import Literal

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import Report, RollupReport, rolled_up

Dimension = Literal["hop", "tier", "provider", "model"]


class LatencyRow(Report):
    """Spans of one kind; quantiles are within 1 % of their value."""

    kind: Literal[
        "request", "provider", "own", "call", "first_token", "request_in_batch", "call_in_batch", "queue", "step"
    ]
    """Of a request: all of it, of it the wait for providers, and the rest. Of a paid call: to its last token, and to
    its first one, where it was streamed. `…_in_batch` are those that waited for a batch of a provider, which are in no
    other kind. Of a hop: the wait for it, and its work."""
    key: str
    """Empty where no tier answered."""
    n: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


class LatencyReport(RollupReport):
    """Spans by kind, and by what took them."""

    by: Dimension
    rows: tuple[LatencyRow, ...]


async def latency(window: LedgerWindow, *, by: Dimension = "tier") -> LatencyReport:
    """Show how long requests, calls and hops took, by tier, provider, model or hop.

    Args:
        window: Of requests that settled in it, calls that ended, and hops that were published.
        by: What to tell apart.
    """
    head, rows = await asyncio.gather(rolled_up(window), window.rollup_rows("report_latency", by=by))
    return LatencyReport(**head, by=by, rows=tuple(LatencyRow(**row) for row in rows))

"""Input that providers had in their caches."""

import asyncio
from decimal import Decimal

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import Report, RollupReport, rolled_up


class CacheRow(Report):
    """The input of one model."""

    model: str
    """`provider/model`."""
    calls: int
    """On the wire."""
    input_tokens: int
    cached_tokens: int
    cached_share: float
    """Of the input."""
    cache_written_tokens: int
    fresh_cost_usd: Decimal
    cached_cost_usd: Decimal
    cache_written_cost_usd: Decimal
    saved_usd: Decimal
    """Cached tokens at the rate of fresh ones, less what they cost."""


class CacheReport(RollupReport):
    """Cached tokens by model, most money saved first."""

    input_tokens: int
    cached_tokens: int
    cached_share: float | None
    """None where there was no input."""
    saved_usd: Decimal
    rows: tuple[CacheRow, ...]


async def cache(window: LedgerWindow) -> CacheReport:
    """Show how much of the input providers had in their caches, and what that saved.

    Args:
        window: Of calls that ended in it.
    """
    head, found = await asyncio.gather(rolled_up(window), window.rollup_rows("report_cache"))
    rows = tuple(CacheRow(**row) for row in found)
    given, cached = (sum(getattr(row, name) for row in rows) for name in ("input_tokens", "cached_tokens"))
    return CacheReport(
        **head,
        input_tokens=given,
        cached_tokens=cached,
        cached_share=cached / given if given else None,
        saved_usd=sum((row.saved_usd for row in rows), start=Decimal(0)),
        rows=rows,
    )

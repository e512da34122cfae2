"""What shared calls saved, and how calls left."""

import asyncio
from decimal import Decimal

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import Report, RollupReport, rolled_up


class SharingRow(Report):
    """The calls of one tier to one model."""

    tier: int
    model: str
    """`provider/model`."""
    answers: int
    """Calls, each counted by every request that shares it."""
    calls: int
    """On the wire."""
    shared_calls: int
    """Of them, answers to several requests."""
    saved_calls: int
    cost_usd: Decimal
    saved_usd: Decimal
    """What more it would have cost had nobody shared."""
    batched_calls: int
    """On the wire, together with others."""
    mean_batch_size: float
    """Over calls on the wire; so is the next."""
    mean_batch_wait_ms: float


class SharingReport(RollupReport):
    """Sharing and batches, by tier and model."""

    saved_calls: int
    saved_usd: Decimal
    rows: tuple[SharingRow, ...]


async def sharing(window: LedgerWindow) -> SharingReport:
    """Show what shared calls saved, and in which batches calls left.

    Args:
        window: Of calls that ended in it.
    """
    head, found = await asyncio.gather(rolled_up(window), window.rollup_rows("report_sharing"))
    rows = tuple(SharingRow(**row) for row in found)
    return SharingReport(
        **head,
        saved_calls=sum(row.saved_calls for row in rows),
        saved_usd=sum((row.saved_usd for row in rows), start=Decimal(0)),
        rows=rows,
    )

"""What was paid, by any one dimension."""

import asyncio
from decimal import Decimal
from typing import Final, Literal

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import ALL, Report, RollupReport, rolled_up

Dimension = Literal["user", "feature", "query_type", "tier", "provider", "model", "tag", "purpose", "service_class"]

_QUERIES: Final = {"user": "report_costs_by_user", "tag": "report_costs_by_tag"}


class CostRow(Report):
    """What one user, feature, … cost."""

    key: str
    """Empty where the request did not say, or has no result yet."""
    calls: int
    """Paid ones; one that several requests share counts for each of them."""
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_usd: Decimal
    cost_share: float
    """Of what was paid in all."""


class CostsReport(RollupReport):
    """What was paid, dearest first."""

    by: Dimension
    total_cost_usd: Decimal
    """Paid in all, by those who are not listed too."""
    rows: tuple[CostRow, ...]


async def costs(window: LedgerWindow, *, by: Dimension = "feature", top: int = 20) -> CostsReport:
    """Show what was paid by user, feature, query type, tier, provider, model, tag, purpose or service class.

    Args:
        window: Of calls that ended in it.
        by: What to add up by; a request counts under each of its tags.
        top: How many rows at most; 0: all.
    """
    query = _QUERIES.get(by, "report_costs")
    head, [total], rows = await asyncio.gather(
        rolled_up(window), window.rollup_rows("report_total"), window.rollup_rows(query, by=by, top=top or ALL)
    )
    paid = total["total_cost_usd"]
    return CostsReport(
        **head,
        by=by,
        total_cost_usd=paid,
        rows=tuple(CostRow(cost_share=float(row["cost_usd"] / paid) if paid else 0.0, **row) for row in rows),
    )

"""What the answers would have cost elsewhere."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from analytics.ledger_window import LedgerWindow
from analytics.reports.report import Report, RollupReport, rolled_up

_STORED: Final = Decimal("0.000000000001")
"""US dollars, as exact as the ledger has them."""


class ModelAlone(Report):
    """What it would have been, had one model given all answers."""

    model: str
    """`provider/model`."""
    alone_usd: Decimal
    """The tokens of the published answers, at its rates."""
    saved_usd: Decimal
    """Less what was paid; below zero where it would have been cheaper."""
    saved_share: float | None
    """Of what it would have cost; None where that is nothing."""


class BatchSavings(Report):
    """What batches of one provider saved."""

    provider: str
    calls: int
    """That a batch answered."""
    cost_usd: Decimal
    saved_usd: Decimal | None
    """What more they would have cost by themselves, at the share that the settings have for batches now; None where the
    provider is not in the settings."""


class SavingsReport(RollupReport):
    """What was paid against each model alone, dearest first."""

    frontier: str
    paid_usd: Decimal
    """All paid calls, judges, votes and comparisons included."""
    frontier_usd: Decimal
    saved_usd: Decimal
    saved_share: float | None
    """Against the frontier model; None where nothing was answered."""
    rows: tuple[ModelAlone, ...]
    """The configured models, at the rates of today."""
    batches: tuple[BatchSavings, ...]
    """Of providers, where there were any; what they saved is in `saved_usd` too."""


async def savings(window: LedgerWindow) -> SavingsReport:
    """Show what was saved against all answers on the frontier model, and against all on each other model.

    Args:
        window: Of requests that settled in it, and calls that ended.

    Raises:
        ValueError: The window has no prices.
    """
    prices = window.prices()
    rates = list(prices.rates.values())
    head, [total], batches, rows = await asyncio.gather(
        rolled_up(window),
        window.rollup_rows("report_total"),
        window.rollup_rows("report_batches"),
        window.rollup_rows(
            "report_savings",
            models=list(prices.rates),
            input_rates=[rate[0] for rate in rates],
            output_rates=[rate[1] for rate in rates],
            cached_rates=[rate[2] for rate in rates],
        ),
    )
    alone = tuple(ModelAlone(**row) for row in rows)
    [frontier] = (row for row in alone if row.model == prices.frontier)
    return SavingsReport(
        **head,
        frontier=frontier.model,
        paid_usd=total["total_cost_usd"],
        frontier_usd=frontier.alone_usd,
        saved_usd=frontier.saved_usd,
        saved_share=frontier.saved_share,
        rows=alone,
        batches=tuple(BatchSavings(saved_usd=_saved(row, prices.batch_shares), **row) for row in batches),
    )


def _saved(row: Mapping[str, Any], shares: Mapping[str, Decimal]) -> Decimal | None:
    share, cost = shares.get(row["provider"]), row["cost_usd"]
    return None if share is None else (cost / share).quantize(_STORED) - cost

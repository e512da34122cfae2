"""The reports that compare, and what they need of the settings beside the ledger's sums; for all who show them."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from pydantic import BaseModel

from analytics.change.periods import compared_periods, whole_period
from analytics.change.report import CostChange, Dimension, cost_change
from analytics.clickhouse import AsyncClient
from analytics.ledger_window import LedgerWindow
from analytics.leverage.report import LeverageReport, leverage
from analytics.leverage.split_report import Assumed, SplitReport, split_tiers
from analytics.period import Period
from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from tierstream.operations.model_facts import FactsOfModels, middle_models

USUAL_MONTH: Final = timedelta(days=30)
DISCOUNT: Final = Decimal("0.2")
MARGIN: Final = 0.05
CLOSES: Final = (0.5, 1.0)


class WindowError(ValueError):
    """Nothing whole is over in the window that a report is asked of; the message says which."""


class SplitError(ValueError):
    """What is asked of a tier in between can't be told; the message says why."""


@dataclass(frozen=True, slots=True)
class CostReports:
    """The reports on change, leverage and a tier in between, of one deployment.

    Attributes:
        settings: With the models, their providers and prices.
        clock: Tells the present moment: periods that reach beyond it end with the last hour or day that is over.
    """

    settings: Settings
    clock: Callable[[], datetime] = utc_now

    def by_name(self) -> Mapping[str, Callable[..., Awaitable[BaseModel]]]:
        """Return those that can be asked of a window, with their usual assumptions; `REPORTS` has the others."""
        return {"change": self.change, "leverage": self.leverage, "split": self.split}

    async def change(self, window: LedgerWindow, *, by: Dimension = "model", top: int = 10) -> CostChange:
        """Say why the cost changed against as much time before: volume, tokens, models, escalations, caching, price.

        Raises:
            WindowError: No hour or day of the window is over.
        """
        with _told_of_window():
            periods = compared_periods(self.clock(), window.since, self._end(window))
        return await cost_change(window.client, window.database, periods, by, top)

    async def leverage(self, window: LedgerWindow) -> LeverageReport:
        """Show what could move to other providers, by measured quality: volume, saving, and what each would lose.

        Raises:
            WindowError: No hour or day of the window is over.
        """
        return await self.leveraged(window.client, window.database, self._whole(window))

    async def split(self, window: LedgerWindow) -> SplitReport:
        """Propose which requests a tier between tiers 1 and 2 should get, and what that saves, if any pays.

        Raises:
            WindowError: No hour or day of the window is over.
            SplitError: There is no second tier.
        """
        return await self.splits(window.client, window.database, self._whole(window))

    async def leveraged(
        self,
        client: AsyncClient,
        database: str,
        period: Period,
        *,
        margin: float = MARGIN,
        discount: Decimal = DISCOUNT,
    ) -> LeverageReport:
        """Find what could move; `analytics.leverage.report.leverage` says what is asked."""
        return await leverage(client, database, period, FactsOfModels(self.settings), margin=margin, discount=discount)

    async def splits(
        self,
        client: AsyncClient,
        database: str,
        period: Period,
        *,
        named: Sequence[str] = (),
        assumed: Assumed = Assumed(1, MARGIN, CLOSES),  # noqa: B008 - frozen
    ) -> SplitReport:
        """Propose which requests models in between two tiers should get.

        Args:
            client: Of the server.
            database: Of the ledger.
            period: Of results.
            named: Models as `provider/model`; none: those in the middle of the shipped settings of three tiers.
            assumed: What the ledger does not know.

        Raises:
            SplitError: A named model can't be called or has no price, or nothing is above the lower tier.
        """
        tiers = self.settings.tiers
        if assumed.lower >= len(tiers):
            raise SplitError(f"tier {assumed.lower} has none above it: there are {len(tiers)}")
        answering = {model.ref for tier in tiers[assumed.lower - 1 : assumed.lower + 1] for model in tier.models}
        refs = named or [ref for ref in middle_models() if ref not in answering]
        facts = FactsOfModels(self.settings)(refs)
        if missing := [ref for ref in named if ref not in facts]:
            raise SplitError(f"{missing[0]} can't be called, or its price is unknown")
        models = [facts[ref] for ref in refs if ref in facts]
        return await split_tiers(client, database, period, models, assumed)

    def _whole(self, window: LedgerWindow) -> Period:
        with _told_of_window():
            return whole_period(self.clock(), window.since, self._end(window), USUAL_MONTH)

    def _end(self, window: LedgerWindow) -> datetime | None:
        """Return the window's end; None where it is not there yet, so that no part of an hour or day is compared."""
        return None if window.until is None or window.until > self.clock() else window.until


@contextmanager
def _told_of_window() -> Iterator[None]:
    try:
        yield
    except ValueError as problem:
        raise WindowError(str(problem)) from problem

"""What a report is asked: a window of time in a ledger."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from analytics.bound_times import microsecond_of
from analytics.clickhouse import AsyncClient
from analytics.named_query import named_query
from analytics.period import Period
from analytics.rollup_families import FAMILIES
from analytics.table_filters import UNFILTERED, only_between

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
END: Final = datetime(2200, 1, 1, tzinfo=UTC)

ROLLUPS: Final = tuple(family.name for family in FAMILIES if family.by_day)
"""Families of roll-ups with tables by hour and by day; a query names the table by the family, as an identifier."""

_MILLION: Final = Decimal(1_000_000)

Rates = tuple[Decimal, Decimal, Decimal]
"""US dollars a million tokens: input, output, cached input."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """What the configured models cost.

    Attributes:
        frontier: The model that costs are compared with, as `provider/model`.
        rates: Of each model, the frontier model among them, by `provider/model`.
        batch_shares: What a call of a batch costs at each provider, as a share of the usual price.
    """

    frontier: str
    rates: Mapping[str, Rates]
    batch_shares: Mapping[str, Decimal] = field(default_factory=dict)

    def cost_on(self, model: str, tokens: Mapping[str, int]) -> Decimal:
        """Return what tokens would cost on a model: `input_tokens`, of them `cached_tokens`, and `output_tokens`."""
        input_rate, output_rate, cached_rate = self.rates[model]
        fresh = tokens["input_tokens"] - tokens["cached_tokens"]
        cost = fresh * input_rate + tokens["cached_tokens"] * cached_rate + tokens["output_tokens"] * output_rate
        return cost / _MILLION


def _no_prices() -> PriceList:
    raise ValueError("the report needs the rates of the models")


@dataclass(frozen=True, slots=True)
class LedgerWindow:
    """A ledger in [since, until), as the broker's clock saw it.

    Attributes:
        client: Of the server.
        database: Of the ledger.
        since: First moment; None: the beginning.
        until: First moment after the window; None: no end.
        tag: Only requests that carry it; None: all.
        prices: Looks up what the configured models cost.
        lifetime: Between the first call of a request and its result, at most.
    """

    client: AsyncClient
    database: str
    since: datetime | None = None
    until: datetime | None = None
    tag: str | None = None
    prices: Callable[[], PriceList] = _no_prices
    lifetime: timedelta = timedelta(days=1)

    @property
    def period(self) -> Period:
        """The whole hours or days of the window, which is what roll-ups know of it."""
        return Period.over(self.since, self.until)

    async def rows(
        self,
        query: str,
        *,
        settings: Mapping[str, str] = UNFILTERED,
        **more: Any,  # noqa: ANN401 - any bound value
    ) -> Sequence[dict[str, Any]]:
        """Run `queries/<query>.sql` for the window and return its rows by column name.

        Args:
            query: Its parameters are `database`, `since`, `until` and `tag`, of which it may leave some out.
            settings: Of the server, for this query.
            more: Values of further parameters.

        Raises:
            ValueError: A time has no zone.
        """
        window = {"since": microsecond_of(self.since or BEGINNING), "until": microsecond_of(self.until or END)}
        parameters = {**window, "tag": self.tag or "", **more}
        return await named_query(self.client, self.database, query, parameters, settings)

    async def rows_of_calls(self, query: str) -> Sequence[dict[str, Any]]:
        """Run a query that puts calls together with their ends and results, as `rows` does.

        Its views group all calls before any bound on their time: only what a lifetime lies around the window is read.
        """
        since = self.since - self.lifetime if self.since else None
        until = self.until + self.lifetime if self.until else None
        near = only_between(self.database, ("calls_log", "requests_log"), since, until)
        return await self.rows(query, settings=near)

    async def rollup_rows(
        self,
        query: str,
        **more: Any,  # noqa: ANN401 - any bound value
    ) -> Sequence[dict[str, Any]]:
        """Run `queries/<query>.sql` for the period of the window and return its rows by column name.

        Args:
            query: Its parameters are `database`, `since`, `until`, and the families of ROLLUPS, which stand for their
                tables by hour or by day; it may leave some out.
            more: Values of further parameters.

        Raises:
            ValueError: A time has no zone.
        """
        period = self.period
        tables = {family: f"{family}_by_{period.grain}" for family in ROLLUPS}
        return await named_query(self.client, self.database, query, {**tables, **period.bounds, **more})

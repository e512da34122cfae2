"""What a report is asked: a window of time in a ledger."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from analytics.bound_times import microsecond_of
from analytics.clickhouse import AsyncClient, checked_database
from analytics.named_query import NO_SETTINGS, named_query
from analytics.period import Period

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
END: Final = datetime(2200, 1, 1, tzinfo=UTC)

ROLLUPS: Final = (
    "spend",
    "users",
    "tags",
    "results",
    "times",
    "steps",
    "quality",
    "questions",
    "askers",
    "standings",
    "feedback",
)
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
    """

    frontier: str
    rates: Mapping[str, Rates]

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
        settings: Mapping[str, str] = NO_SETTINGS,
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
        return await self.rows(query, settings=_only_near(self.database, self.since, self.until, self.lifetime))

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


def _only_near(database: str, since: datetime | None, until: datetime | None, lifetime: timedelta) -> Mapping[str, str]:
    """Return the setting that has the server read calls and results around a window alone, in views too."""
    bounds = [(">=", since - lifetime)] if since else []
    bounds += [("<", until + lifetime)] if until else []
    near = " AND ".join(f"at {compared} toDateTime64('{microsecond_of(at)}', 6, 'UTC')" for compared, at in bounds)
    if not near:
        return NO_SETTINGS
    filters = {f"{checked_database(database)}.{table}": near for table in ("calls_log", "requests_log")}
    return {"additional_table_filters": _map(filters)}


def _map(entries: Mapping[str, str]) -> str:
    """Write a value of the type Map."""
    quoted = ("'{}': '{}'".format(*(text.replace("'", "\\'") for text in entry)) for entry in entries.items())
    return "{" + ", ".join(quoted) + "}"

"""What a report is asked: a window of time in a ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from analytics.clickhouse import AsyncClient
from analytics.named_query import named_query

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
END: Final = datetime(2200, 1, 1, tzinfo=UTC)

Rates = tuple[Decimal, Decimal, Decimal]
"""US dollars a million tokens: input, output, cached input."""


def _no_rates() -> Rates:
    raise ValueError("the report needs the rates of the frontier model")


@dataclass(frozen=True, slots=True)
class LedgerWindow:
    """A ledger in [since, until), as the broker's clock saw it.

    Attributes:
        client: Of the server.
        database: Of the ledger.
        since: First moment; None: the beginning.
        until: First moment after the window; None: no end.
        tag: Only requests that carry it; None: all.
        frontier_rates: Looks up what the frontier model costs, that costs are compared with.
    """

    client: AsyncClient
    database: str
    since: datetime | None = None
    until: datetime | None = None
    tag: str | None = None
    frontier_rates: Callable[[], Rates] = _no_rates

    async def rows(self, query: str, **more: Any) -> Sequence[dict[str, Any]]:  # noqa: ANN401 - any bound value
        """Run `queries/<query>.sql` for the window and return its rows by column name.

        Args:
            query: Its parameters are `database`, `since`, `until` and `tag`, of which it may leave some out.
            more: Values of further parameters.

        Raises:
            ValueError: A time has no zone.
        """
        window = {"since": _moment(self.since or BEGINNING), "until": _moment(self.until or END)}
        return await named_query(self.client, self.database, query, {**window, "tag": self.tag or "", **more})


def _moment(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("a window needs times with a zone")
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

"""The dashboard's way to ClickHouse: one client that is kept open, and a new one after it was away."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from analytics.clickhouse import UNREACHABLE, AsyncClient, ClickHouseUnavailable, explained, is_away, open_client
from analytics.named_query import named_query

_TIMEOUT_S: Final = 30.0
"""Longest time that a statement may take: nobody looks at an empty page for longer."""


class Ledger:
    """A ledger that is asked for one page after the other. One event loop owns it."""

    def __init__(self, url: str, database: str) -> None:
        """Connect to nothing yet."""
        self.database = database
        self._url = url
        self._client: AsyncClient | None = None
        self._opened = AsyncExitStack()
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncClient]:
        """Lend the client; what its statements raise says what to do.

        Raises:
            ClickHouseUnavailable: The server is away, refuses the user or lacks the ledger.
        """
        client = await self._open()
        try:
            with explained(self._url):
                yield client
        except (ClickHouseUnavailable, *UNREACHABLE) as error:
            if is_away(error):
                await self._forget(client)
            raise

    async def rows(self, query: str, parameters: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """Run `queries/<query>.sql` and return its rows by column name.

        Raises:
            ClickHouseUnavailable: The server is away, refuses the user or lacks the ledger.
        """
        async with self.client() as client:
            return await named_query(client, self.database, query, parameters)

    async def close(self) -> None:
        """Close the client."""
        self._client = None
        await self._opened.aclose()

    async def _open(self) -> AsyncClient:
        async with self._opening:
            if self._client is None:
                self._client = await self._opened.enter_async_context(open_client(self._url, timeout_s=_TIMEOUT_S))
            return self._client

    async def _forget(self, client: AsyncClient) -> None:
        # Of several statements that fail together the first one closes it.
        async with self._opening:
            if self._client is client:
                await self.close()

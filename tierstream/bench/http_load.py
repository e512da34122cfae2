"""Load on an HTTP proxy that speaks chat completions: a connection for each request that waits."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import aiohttp

from tierstream.bench.load import Load
from tierstream.bench.workload import Workload

_PATH: Final = "/v1/chat/completions"


class HttpLoad(Load):
    """Posts the requests of a workload; one that fails is not sent again. Open it with `opened`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, workload: Workload, give_up_s: float) -> None:
        super().__init__(give_up_s)
        self._session = session
        self._url = url
        self._workload = workload
        self._waiting: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, url: str, workload: Workload, *, headers: Mapping[str, str], give_up_s: float
    ) -> AsyncIterator["HttpLoad"]:
        """Prepare to connect.

        Args:
            url: Root of the proxy.
            workload: What is sent.
            headers: Of each request.
            give_up_s: Seconds without any answer after which those that are left count as missing.
        """
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={**headers, "Content-Type": "application/json"},
        )
        async with session:
            load = cls(session, f"{url}{_PATH}", workload, give_up_s)
            try:
                yield load
            finally:
                await load.abandon()

    async def submit(self, number: int) -> None:
        """Begin to post a request."""
        posting = asyncio.create_task(self._post(number))
        self._waiting.add(posting)
        posting.add_done_callback(self._waiting.discard)

    async def abandon(self) -> None:
        """Leave what is still unanswered."""
        waiting = list(self._waiting)
        for posting in waiting:
            posting.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _post(self, number: int) -> None:
        try:
            async with self._session.post(self._url, data=self._workload.chat_body(number)) as response:
                value = await response.read()
        except aiohttp.ClientError as error:
            self.refuse(number, type(error).__name__)
            return
        if response.status == HTTPStatus.OK:
            self.take(number, value, asyncio.get_running_loop().time())
        else:
            self.refuse(number, f"HTTP {response.status}")

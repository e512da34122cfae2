"""Who waits for which answer, and one reader of each topic for all of them.

Every process of the door reads the results and chunks of all requests, and decodes those that somebody waits for here:
keys are looked at first. So any process serves any request, and none has to be asked for another's.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from streams.config.settings_sections import KafkaSettings
from tierstream.client.record_reader import RecordReader
from tierstream.serve.surface import DoorError
from topics.events import Chunk
from topics.registry import CHUNKS, RESULTS
from topics.results import Result, Settled

News = Chunk | Result | Settled
"""A piece of an answer, an answer, or the marker that there is one."""

_RETRY_S = 1.0


class Waiter:
    """The news of one request, in the order in which they came."""

    def __init__(self, request_id: str, *, wants_chunks: bool, wants_markers: bool) -> None:
        self.request_id = request_id
        self.wants_chunks = wants_chunks
        self.wants_markers = wants_markers
        self._news: asyncio.Queue[News] = asyncio.Queue()

    def give(self, news: News) -> None:
        """Add news."""
        self._news.put_nowait(news)

    async def next(self) -> News:
        """Return the next news once there are some."""
        return await self._news.get()

    def rest(self) -> Iterator[News]:
        """Yield the news that are there."""
        while not self._news.empty():
            yield self._news.get_nowait()


class AnswerBoard:
    """Hands what comes on the topics to those who wait for it.

    Args:
        kafka: Where the cluster is.
        max_waiting: How many may wait at a time.
    """

    def __init__(self, kafka: KafkaSettings, *, max_waiting: int) -> None:
        self._kafka = kafka
        self._max_waiting = max_waiting
        self._waiters: dict[str, list[Waiter]] = {}
        self._chunks = RecordReader(CHUNKS, kafka, keep=self._wants_chunks)
        self._polled = asyncio.Condition()
        """Told when chunks have been handed out."""
        self.waiting = 0
        """How many wait now."""

    async def run(self, ready: asyncio.Event) -> None:
        """Follow results and chunks from now on until cancelled; sets `ready` when it does.

        Raises:
            aiokafka.errors.KafkaError: The broker refuses to be read.
        """
        async with (
            RecordReader(RESULTS, self._kafka, keep=self._waiters.__contains__) as results,
            self._chunks,
            asyncio.TaskGroup() as following,
        ):
            following.create_task(self._hand_out_results(results))
            following.create_task(self._hand_out_chunks())
            ready.set()

    async def catch_up(self) -> None:
        """Return when all chunks have been handed out that were published before: their reader may be behind.

        Raises:
            aiokafka.errors.KafkaError: The broker does not say where the chunks end.
        """
        ends = await self._chunks.ends()
        async with self._polled:
            while not await self._chunks.has_reached(ends):
                await self._polled.wait()

    def _wants_chunks(self, request_id: str) -> bool:
        return any(waiter.wants_chunks for waiter in self._waiters.get(request_id, ()))

    async def _hand_out_results(self, results: RecordReader[Result]) -> None:
        async for result in results:
            self.take(result)

    async def _hand_out_chunks(self) -> None:
        while True:
            for chunk in await self._chunks.poll():
                self.take(chunk)
            async with self._polled:
                self._polled.notify_all()

    def take(self, news: News) -> None:
        """Hand news to those who wait for it; of results and markers the first revision alone."""
        if news.revision:
            return
        for waiter in self._waiters.get(news.request_id, ()):
            if isinstance(news, Chunk) and not waiter.wants_chunks:
                continue
            if isinstance(news, Settled) and not waiter.wants_markers:
                continue
            waiter.give(news)

    @contextmanager
    def place(self, request_id: str, *, chunks: bool = False, markers: bool = False) -> Iterator[Waiter]:
        """Wait for the news of a request from now on, for as long as the block lasts.

        Args:
            request_id: Of the request.
            chunks: Whether pieces of its answer are wanted.
            markers: Whether the marker of its result is wanted.

        Raises:
            DoorError: 503, too many wait already.
        """
        if self.waiting >= self._max_waiting:
            message = "too many requests wait for their answers here; come back in a moment"
            raise DoorError(503, "overloaded", message, retry_after_s=_RETRY_S)
        waiter = Waiter(request_id, wants_chunks=chunks, wants_markers=markers)
        self._waiters.setdefault(request_id, []).append(waiter)
        self.waiting += 1
        try:
            yield waiter
        finally:
            self.waiting -= 1
            self._leave(waiter)

    def is_awaited(self, request_id: str) -> bool:
        """Whether anybody waits for the news of a request."""
        return request_id in self._waiters

    def _leave(self, waiter: Waiter) -> None:
        others = self._waiters[waiter.request_id]
        others.remove(waiter)
        if not others:
            del self._waiters[waiter.request_id]

"""Text as it streams, the calls that it comes from and the results that settle it, in an order that makes sense."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self, TypeVar

from streams.config.settings_sections import KafkaSettings
from tierstream.client.record_reader import RecordReader, Start
from topics.base import Record
from topics.events import Chunk
from topics.journal import CallEnded, CallStarted
from topics.registry import CALLS, CHUNKS, RESULTS
from topics.results import Result

M = TypeVar("M", bound=Record)

StreamRecord = CallStarted | CallEnded | Chunk | Result

_POLL_MS: Final = 100


class AnswerStream:
    """Follows the topics of chunks, calls and results as one stream.

    There is no order between topics, but their writers keep one: CallStarted is published before the call's first
    chunk, its chunks before its CallEnded, and all of them before the Result. So results are read first, chunks next
    and up to the end that they have by then, calls last, and each is passed on after what it builds on.

    Args:
        kafka: Where the cluster is.
        start: Where to begin.
        partitions: Which partitions; None: all.
        keep: Given a request id, whether its records are wanted.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        start: Start = "end",
        partitions: Iterable[int] | None = None,
        keep: Callable[[str], bool] | None = None,
    ) -> None:
        numbers = range(kafka.partitions) if partitions is None else tuple(partitions)
        self._results = RecordReader(RESULTS, kafka, start=start, partitions=numbers, keep=keep)
        self._chunks = RecordReader(CHUNKS, kafka, start=start, partitions=numbers, keep=keep)
        self._calls = RecordReader(CALLS, kafka, start=start, partitions=numbers, keep=keep)
        self._readers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as readers:
            # What others build on first, so that reading from the end misses as little of it as can be.
            for reader in (self._calls, self._chunks, self._results):
                await readers.enter_async_context(reader)
            self._readers = readers.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._readers.aclose()

    async def __aiter__(self) -> AsyncIterator[Sequence[StreamRecord]]:
        """Yield batches of records for ever; an empty one at least whenever nothing came for a while."""
        while True:
            results = await self._results.poll(0)
            if not results:
                chunks = await self._chunks.poll(_POLL_MS)
                if chunks:
                    async for calls in self._new_calls():
                        yield calls
                yield chunks
                continue
            async for chunks in _rest_of(self._chunks):
                async for calls in self._new_calls():
                    yield calls
                yield chunks
            async for calls in self._new_calls():
                yield calls
            yield results

    async def caught_up(self) -> bool:
        """Whether all results have been read that were there when the stream was entered."""
        return await self._results.caught_up()

    async def _new_calls(self) -> AsyncIterator[Sequence[StreamRecord]]:
        async for calls in _rest_of(self._calls):
            yield [call for call in calls if isinstance(call, CallStarted | CallEnded)]


async def _rest_of(reader: RecordReader[M]) -> AsyncIterator[list[M]]:
    await reader.aim_at_end()
    while not await reader.caught_up():
        yield await reader.poll()

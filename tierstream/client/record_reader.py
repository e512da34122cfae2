"""Reading results and other public records, decoded, from all partitions of a topic or from some."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar

from aiokafka import TopicPartition

from streams.config.settings_sections import KafkaSettings
from streams.kafka.clock import utc_now
from streams.kafka.topic_reader import Cursor, RawRecord, TopicReader, partitions_of
from topics.base import Record
from topics.codec import DecodeError, decode
from topics.partitioning import partition_for
from topics.registry import RESULTS, TopicSpec
from topics.results import Result

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Record)

_POLL_MS = 200
_AT_ONCE = 2000

Start = datetime | Literal["beginning", "end"]
"""Where reading begins: at what was published since a moment, at all that is kept, or at what comes from now on."""


class RecordReader(Generic[M]):
    """Reads the records of a topic, committed ones only, outside any consumer group.

    Args:
        spec: The topic; its partition keys are request ids.
        kafka: Where the cluster is.
        start: Where to begin.
        partitions: Which partitions; None: all.
        keep: Given a request id, whether its records are wanted; others are passed over without being decoded.

    Example:
        async with RecordReader(RESULTS, kafka, start="beginning") as reader:
            async for result in reader: ...
    """

    def __init__(
        self,
        spec: TopicSpec[M],
        kafka: KafkaSettings,
        *,
        start: Start = "end",
        partitions: Iterable[int] | None = None,
        keep: Callable[[str], bool] | None = None,
    ) -> None:
        self._spec = spec
        self._kafka = kafka
        self._start = start
        numbers = range(kafka.partitions) if partitions is None else set(partitions)
        self._tps = [tp for tp in partitions_of(spec, kafka) if tp.partition in numbers]
        self._keep = keep
        self._ends: Mapping[TopicPartition, int] = {}
        self._opened: Cursor | None = None
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as closing:
            cursor = self._opened = await closing.enter_async_context(TopicReader(self._kafka).opened(self._tps))
            await self.aim_at_end()
            if isinstance(self._start, datetime):
                cursor.seek(await cursor.offsets_at(int(self._start.timestamp() * 1000), self._ends))
            else:
                cursor.seek(await cursor.beginnings() if self._start == "beginning" else self._ends)
            self._closing = closing.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened = None
        await self._closing.aclose()

    @property
    def _cursor(self) -> Cursor:
        if self._opened is None:
            raise RuntimeError(f"the reader of {self._spec.name} is not started")
        return self._opened

    async def ends(self) -> Mapping[TopicPartition, int]:
        """Return the offset of each partition behind all that has been published by now."""
        return await self._cursor.ends()

    async def has_reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether everything before these offsets has been read."""
        return await self._cursor.has_reached(ends)

    async def aim_at_end(self) -> None:
        """Make the end of the log, as it is now, what `caught_up` is about."""
        self._ends = await self.ends()

    async def caught_up(self) -> bool:
        """Whether everything has been read up to the end that was aimed at, first when the reader was entered."""
        return await self.has_reached(self._ends)

    async def poll(self, timeout_ms: int = _POLL_MS) -> list[M]:
        """Return the next records; none if nothing came in `timeout_ms`."""
        batches = await self._cursor.poll(timeout_ms, most=_AT_ONCE)
        return [
            decoded
            for records in batches.values()
            for record in records
            if self._is_wanted(record.key) and (decoded := self._decode(record)) is not None
        ]

    async def __aiter__(self) -> AsyncIterator[M]:
        """Yield records for ever, as they are published."""
        while True:
            for record in await self.poll():
                yield record

    async def until_end(self) -> AsyncIterator[M]:
        """Yield the records up to the end that was aimed at."""
        while not await self.caught_up():
            for record in await self.poll():
                yield record

    def _is_wanted(self, key: bytes | None) -> bool:
        return self._keep is None or key is None or self._keep(key.decode(errors="replace"))

    def _decode(self, record: RawRecord) -> M | None:
        try:
            return decode(self._spec, record.value, record.headers).record
        except DecodeError as error:
            place = (self._spec.full_name(self._kafka.prefix), record.partition, record.offset)
            log.warning("%s, partition %d, offset %d can't be read: %s", *place, error.message)
            return None


async def find_result(kafka: KafkaSettings, request_id: str, *, lookback: timedelta, timeout_s: float) -> Result | None:
    """Look for the result of a request, back over `lookback` and then on until it comes; None after `timeout_s`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    reader = RecordReader(
        RESULTS,
        kafka,
        start=utc_now() - lookback,
        partitions=[partition_for(request_id, kafka.partitions)],
        keep=lambda key: key == request_id,
    )
    latest: Result | None = None
    async with reader:
        while True:
            for result in await reader.poll():
                if latest is None or result.revision >= latest.revision:
                    latest = result
            is_over = latest is not None or asyncio.get_running_loop().time() >= deadline
            if is_over and await reader.caught_up():
                return latest

"""Reading a stretch of a partition back: from a time or an offset to a known end, outside any consumer group."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

import streams.damaged_batches  # noqa: F401 - changes what aiokafka does
from streams.sections import KafkaSettings
from topics.dead_letters import Received

_FOLLOWED_BYTES = 1024 * 1024
"""Fetched of a partition at a time while following; a larger record comes alone."""


class RawRecord(Received, Protocol):
    """A record as aiokafka gives it, from a topic without tombstones."""

    @property
    def value(self) -> bytes:
        """Value bytes."""


class LogReader:
    """Opens a consumer without a group for each stretch that it reads, or for as long as it follows.

    A consumer that is kept and assigned anew is cheaper, but aiokafka 0.14 can hang when it is stopped without an
    assignment, and with one it goes on fetching.

    Args:
        kafka: Where the cluster is.
        isolation_level: `read_committed` for topics that are written in transactions.
    """

    def __init__(self, kafka: KafkaSettings, *, isolation_level: str = "read_uncommitted") -> None:
        self._kafka = kafka
        self._isolation_level = isolation_level

    async def end_offset(self, tp: TopicPartition) -> int:
        """Return the offset that the next record will have (with read_committed: the last stable offset)."""
        async with self._consumer(tp) as consumer:
            return await _end(consumer, tp)

    async def record_at(self, tp: TopicPartition, offset: int) -> RawRecord | None:
        """Return the record at an offset; the next one where that offset holds none; None at the end."""
        async for record in self.read(tp, since_offset=offset, limit=1):
            return record
        return None

    async def read(
        self,
        tp: TopicPartition,
        *,
        since_ms: int | None = None,
        since_offset: int | None = None,
        until_offset: int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[RawRecord]:
        """Yield the records from a time (ms) or offset up to the end as it is now, or up to `until_offset`."""
        async with self._consumer(tp) as consumer:
            end = until_offset if until_offset is not None else await _end(consumer, tp)
            start = await _start(consumer, tp, since_ms, since_offset, end)
            consumer.seek(tp, start)
            count = 0
            while start < end and (await consumer.position(tp)) < end:
                for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, ()):
                    if record.offset >= end or (limit is not None and count >= limit):
                        return
                    yield record
                    count += 1
                if limit is not None and count >= limit:
                    return

    async def follow(
        self, tps: Sequence[TopicPartition]
    ) -> AsyncIterator[tuple[TopicPartition, Sequence[RawRecord], int]]:
        """Yield what is appended to partitions from now on, without end: records, and the offset after them.

        For each partition it first yields where it ends now, without records.
        """
        async with self._consumer(*tps, fetch_bytes=_FOLLOWED_BYTES) as consumer:
            for tp, end in (await consumer.end_offsets(tps)).items():
                consumer.seek(tp, end)
                yield tp, (), end
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=1000)).items():
                    yield tp, records, records[-1].offset + 1

    @asynccontextmanager
    async def _consumer(self, *tps: TopicPartition, fetch_bytes: int | None = None) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=self._isolation_level,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=fetch_bytes or self._kafka.record_max_bytes,
        )
        try:
            await consumer.start()
            consumer.assign(tps)
            yield consumer
        finally:
            await consumer.stop()


async def _end(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    return int((await consumer.end_offsets([tp]))[tp])


async def _start(
    consumer: AIOKafkaConsumer, tp: TopicPartition, since_ms: int | None, since_offset: int | None, end: int
) -> int:
    if since_ms is not None:
        found = (await consumer.offsets_for_times({tp: max(since_ms, 0)}))[tp]
        return end if found is None else int(found.offset)
    beginning = int((await consumer.beginning_offsets([tp]))[tp])
    return max(beginning, since_offset if since_offset is not None else beginning)

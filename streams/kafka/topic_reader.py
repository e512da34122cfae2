"""Reading a stretch of a partition back: from a time or an offset to a known end, outside any consumer group."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

import streams.kafka.damaged_batches  # noqa: F401 - changes what aiokafka does
from streams.config.settings_sections import KafkaSettings
from topics.dead_letters import Received

_FOLLOWED_BYTES = 1024 * 1024
"""Fetched of a partition at a time while following; a larger record comes alone."""
_IDLE_MS = 500
"""How long a broker keeps a question open while nothing is appended."""
_FOLLOW_MS = 200
"""How long markers of transactions, which wake nobody, may go unnoticed."""


class RawRecord(Received, Protocol):
    """A record as aiokafka gives it, from a topic without tombstones."""

    @property
    def partition(self) -> int:
        """Partition of its topic."""

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
        return (await self.end_offsets([tp]))[tp]

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that the next record of each partition will have."""
        async with self._consumer(*tps) as consumer:
            # Nothing is to be fetched meanwhile.
            consumer.pause(*tps)
            ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
            return ends

    async def last_record(self, tp: TopicPartition) -> RawRecord | None:
        """Return the last record of a partition; None where it holds none.

        With read_committed the end of the log may be markers of transactions and what was aborted: it is looked for
        further and further back.
        """
        end, found, back = await self.end_offset(tp), None, 16
        while found is None and end > 0:
            async for record in self.read(tp, since_offset=max(end - back, 0), until_offset=end):
                found = record
            if back >= end:
                break
            back *= 16
        return found

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
            end = until_offset if until_offset is not None else (await consumer.end_offsets([tp]))[tp]
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
        self, tps: Sequence[TopicPartition], *, since_ms: int, lag_ms: int
    ) -> AsyncIterator[tuple[TopicPartition, Sequence[RawRecord], int]]:
        """Yield what was appended to partitions since a time (ms since the epoch), and is from now on, without end.

        Each time it yields records of one partition, and the offset up to which that one is read; first, for each of
        them, where that begins, without records.

        Args:
            tps: The partitions.
            since_ms: From when on.
            lag_ms: How late a record may come for the sake of coming with others: to be woken costs more than to read.
        """
        timeout_ms = _FOLLOW_MS if self._isolation_level == "read_committed" else 5 * _FOLLOW_MS
        least = _FOLLOWED_BYTES if lag_ms else 1
        fetching = {"fetch_min_bytes": least, "fetch_max_wait_ms": lag_ms or _IDLE_MS}
        async with self._consumer(*tps, max_partition_fetch_bytes=_FOLLOWED_BYTES, **fetching) as consumer:
            ends = await consumer.end_offsets(tps)
            starts = await consumer.offsets_for_times(dict.fromkeys(tps, max(since_ms, 0)))
            at = {tp: ends[tp] if starts[tp] is None else int(starts[tp].offset) for tp in tps}
            for tp, start in at.items():
                consumer.seek(tp, start)
                yield tp, (), start
            while True:
                found = await consumer.getmany(timeout_ms=timeout_ms)
                for tp in tps:
                    # Markers of transactions move it on too, and bring no record.
                    position = await consumer.position(tp)
                    if position != at[tp]:
                        at[tp] = position
                        yield tp, found.get(tp, ()), position

    @asynccontextmanager
    async def _consumer(self, *tps: TopicPartition, **more: int) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=self._isolation_level,
            **{"fetch_max_wait_ms": 100, "max_partition_fetch_bytes": self._kafka.record_max_bytes} | more,
        )
        try:
            await consumer.start()
            consumer.assign(tps)
            yield consumer
        finally:
            await consumer.stop()


async def _start(
    consumer: AIOKafkaConsumer, tp: TopicPartition, since_ms: int | None, since_offset: int | None, end: int
) -> int:
    if since_ms is not None:
        found = (await consumer.offsets_for_times({tp: max(since_ms, 0)}))[tp]
        return end if found is None else int(found.offset)
    beginning = int((await consumer.beginning_offsets([tp]))[tp])
    return max(beginning, since_offset if since_offset is not None else beginning)

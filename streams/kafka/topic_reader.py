"""Reading topics outside any consumer group: stretches of partitions, single records, and what comes from now on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

import streams.kafka.closing_connections  # changes what aiokafka does
import streams.kafka.damaged_batches  # noqa: F401 - changes what aiokafka does
from streams.config.settings_sections import KafkaSettings
from topics.dead_letters import Received
from topics.registry import TopicSpec

_POLL_MS = 500
_FETCH_WAIT_MS = 100
_FOLLOWED_BYTES = 1024 * 1024
"""Fetched of a partition at a time while following; a larger record comes alone."""
_IDLE_MS = 500
"""How long a broker keeps a question open while nothing is appended."""
_FOLLOW_MS = 250
"""How long markers of transactions, which wake nobody, may go unnoticed."""


class RawRecord(Received, Protocol):
    """A record as aiokafka gives it, from a topic without tombstones."""

    @property
    def partition(self) -> int:
        """Partition of its topic."""

    @property
    def value(self) -> bytes:
        """Value bytes."""


def partitions_of(spec: TopicSpec[Any], kafka: KafkaSettings) -> list[TopicPartition]:
    """List all partitions of a topic."""
    return [TopicPartition(spec.full_name(kafka.prefix), number) for number in range(kafka.partitions)]


class Cursor:
    """Some partitions, and up to where each has been read; nothing is read of one before it was sought to."""

    def __init__(self, consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._tps = tps

    async def beginnings(self) -> dict[TopicPartition, int]:
        """Return the offset of the first record that each partition keeps."""
        return dict(await self._consumer.beginning_offsets(self._tps))

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the offset that the next committed record of each partition will have at the earliest."""
        return dict(await self._consumer.end_offsets(self._tps))

    async def offsets_at(self, since_ms: int, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return where the records begin that were appended since a time (ms since the epoch); the end for none."""
        found = await self._consumer.offsets_for_times(dict.fromkeys(self._tps, max(since_ms, 0)))
        return {tp: ends[tp] if found[tp] is None else min(int(found[tp].offset), ends[tp]) for tp in self._tps}

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read on from these offsets."""
        for tp, offset in offsets.items():
            self._consumer.seek(tp, offset)
        self._consumer.resume(*offsets)

    async def position(self, tp: TopicPartition) -> int:
        """Return the offset up to which a partition has been read, markers of transactions among it."""
        return int(await self._consumer.position(tp))

    async def has_reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether each of these partitions has been read up to an offset."""
        for tp, end in ends.items():
            if await self.position(tp) < end:
                return False
        return True

    async def poll(
        self, timeout_ms: int = _POLL_MS, *, most: int | None = None
    ) -> Mapping[TopicPartition, Sequence[RawRecord]]:
        """Return the next records by partition, at most so many; none if nothing came in time."""
        found: Mapping[TopicPartition, Sequence[RawRecord]]
        found = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=most)
        return found

    async def until(self, ends: Mapping[TopicPartition, int]) -> AsyncIterator[RawRecord]:
        """Yield the records before these offsets."""
        while not await self.has_reached(ends):
            for tp, records in (await self.poll()).items():
                for record in records:
                    if record.offset < ends[tp]:
                        yield record


class TopicReader:
    """Reads committed records. Opens a consumer for each stretch that it reads, or for as long as it follows.

    A consumer that is kept and assigned anew is cheaper, but aiokafka 0.14 can hang when it is stopped without an
    assignment, and with one it goes on fetching.

    Every method raises aiokafka.errors.KafkaError where the broker can't be reached, or refuses.

    Args:
        kafka: Where the cluster is.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset that the next record of each partition will have: the last stable offset."""
        async with self.opened(tps) as cursor:
            return await cursor.ends()

    async def last_record(self, tp: TopicPartition) -> RawRecord | None:
        """Return the last record of a partition; None where it holds none.

        The end of the log may be markers of transactions and what was aborted: it is looked for further and further
        back.
        """
        end, found, back = (await self.end_offsets([tp]))[tp], None, 16
        while found is None and end > 0:
            async for record in self.read(tp, since_offset=max(end - back, 0), until_offset=end):
                found = record
            if back >= end:
                break
            back *= 16
        return found

    async def record_at(self, tp: TopicPartition, offset: int) -> RawRecord | None:
        """Return the record at an offset; None where that offset holds none: no longer, or not yet."""
        record = await self.next_record(tp, offset)
        return record if record is not None and record.offset == offset else None

    async def next_record(self, tp: TopicPartition, offset: int) -> RawRecord | None:
        """Return the first record that a partition holds from an offset on; None at the end."""
        async with aclosing(self.read(tp, since_offset=offset)) as records:
            return await anext(records, None)

    async def read(
        self,
        tp: TopicPartition,
        *,
        since_ms: int | None = None,
        since_offset: int = 0,
        until_offset: int | None = None,
    ) -> AsyncGenerator[RawRecord, None]:
        """Yield the records from a time (ms) or offset up to the end as it is now, or up to `until_offset`."""
        async with self.opened([tp]) as cursor:
            ends = await cursor.ends() if until_offset is None else {tp: until_offset}
            if since_ms is None:
                starts = {tp: max(since_offset, (await cursor.beginnings())[tp])}
            else:
                starts = await cursor.offsets_at(since_ms, ends)
            cursor.seek(starts)
            async for record in cursor.until(ends):
                yield record

    async def follow(
        self, tps: Sequence[TopicPartition], *, since_ms: int, lag_ms: int, hurry: asyncio.Event | None = None
    ) -> AsyncGenerator[tuple[TopicPartition, Sequence[RawRecord], int], None]:
        """Yield what was appended to partitions since a time (ms since the epoch), and is from now on, without end.

        Each time it yields records of one partition, and the offset up to which that one is read; first, for each of
        them, where that begins, without records.

        Args:
            tps: The partitions.
            since_ms: From when on.
            lag_ms: How late a record may come for the sake of coming with others: to be woken costs more than to read.
            hurry: While it is set, nothing waits for others.
        """
        async with self.opened(tps, follows=True) as cursor:
            at = await cursor.offsets_at(since_ms, await cursor.ends())
            cursor.seek(at)
            for tp, start in at.items():
                yield tp, (), start
            while True:
                found = await cursor.poll(_FOLLOW_MS)
                for tp in tps:
                    # Markers of transactions move it on too, and bring no record.
                    position = await cursor.position(tp)
                    if position != at[tp]:
                        at[tp] = position
                        yield tp, found.get(tp, ()), position
                if found and lag_ms:
                    await _rest(lag_ms / 1000, hurry)

    @asynccontextmanager
    async def opened(self, tps: Iterable[TopicPartition], *, follows: bool = False) -> AsyncIterator[Cursor]:
        """Open a cursor over partitions.

        Args:
            tps: The partitions.
            follows: Whether it is read on and on; else it is a stretch that is read at one go.
        """
        fetching = {"fetch_max_wait_ms": _FETCH_WAIT_MS, "max_partition_fetch_bytes": self._kafka.record_max_bytes}
        if follows:
            fetching = {"fetch_max_wait_ms": _IDLE_MS, "max_partition_fetch_bytes": _FOLLOWED_BYTES}
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **fetching,
        )
        assigned = list(tps)
        try:
            await consumer.start()
            consumer.assign(assigned)
            # What is fetched before it is known where to begin would be fetched for nothing.
            consumer.pause(*assigned)
            yield Cursor(consumer, assigned)
        finally:
            await consumer.stop()


async def _rest(seconds: float, hurry: asyncio.Event | None) -> None:
    if hurry is None:
        await asyncio.sleep(seconds)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await hurry.wait()

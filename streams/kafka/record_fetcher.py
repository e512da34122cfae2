"""Reading single records by their place, again and again, through a connection that stays open."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

import streams.kafka.closing_connections  # changes what aiokafka does
import streams.kafka.damaged_batches  # noqa: F401 - changes what aiokafka does
from streams.config.settings_sections import KafkaSettings
from streams.kafka.topic_reader import RawRecord, partitions_of
from topics.registry import TopicSpec

_POLL_MS = 500
_FETCHED_BYTES = 16 * 1024
"""What comes behind a record comes with it; a larger record comes alone."""


class RecordFetcher:
    """Fetches one committed record after the other; `TopicReader` would connect anew for each.

    The partitions are always assigned and, but for the one that is read, paused, so that nothing is fetched in between.
    It connects when the first record is asked for.

    Args:
        kafka: Where the cluster is.
        specs: The topics.
    """

    def __init__(self, kafka: KafkaSettings, *specs: TopicSpec[Any]) -> None:
        self._kafka = kafka
        self._tps = [tp for spec in specs for tp in partitions_of(spec, kafka)]
        self._turn = asyncio.Lock()
        self._neighbours: dict[TopicPartition, dict[int, RawRecord]] = {}
        """What came last of each partition: who fetches many records in order needs them next."""
        self._consumer: AIOKafkaConsumer | None = None

    async def record_at(self, tp: TopicPartition, offset: int) -> RawRecord | None:
        """Return the record at an offset; None where that offset holds none: no longer, or not yet.

        Raises:
            aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        """
        async with self._turn:
            if (known := self._neighbours.get(tp, {}).get(offset)) is not None:
                return known
            consumer = await self._opened()
            try:
                consumer.seek(tp, offset)
                consumer.resume(tp)
                found = await _read(consumer, tp, offset)
                # A large record comes alone, and is not kept.
                self._neighbours[tp] = {record.offset: record for record in found} if len(found) > 1 else {}
                return found[0] if found and found[0].offset == offset else None
            finally:
                # Before anything is awaited: the fetcher looks at what is paused when it has handed a record out.
                consumer.pause(tp)

    async def close(self) -> None:
        """Leave the broker."""
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is not None:
            return self._consumer
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            # Of a place that is no longer kept the first record behind it comes.
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=_FETCHED_BYTES,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        consumer.assign(self._tps)
        consumer.pause(*self._tps)
        self._consumer = consumer
        return consumer


async def _read(consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> Sequence[RawRecord]:
    """Return the first records from an offset on, as many as come together; none where there is none."""
    while True:
        # All that was fetched: aiokafka lets other partitions wait for what is left.
        found = await consumer.getmany(tp, timeout_ms=_POLL_MS)
        if records := found.get(tp):
            read: Sequence[RawRecord] = records
            return read
        # Markers of transactions move it on, and bring no record.
        is_passed = await consumer.position(tp) > offset
        if is_passed or (await consumer.end_offsets([tp]))[tp] <= offset:
            return ()

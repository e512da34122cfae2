"""Kafka -> ClickHouse. Puts every result, call, hop and breaker state into the ledger once, whatever fails around it.

What makes that true, in this order:

1. Where to resume is asked of ClickHouse, not of the consumer group: rows carry their topic, partition and offset,
   so a row and the memory of having written it appear in the same instant. The group's offsets are committed only
   so that lag can be displayed.
2. Batches are written one after the other and each in offset order, so behind the highest offset there is no hole.
   Records and tombstones of `llm.control` that make no row, and offsets that compaction took, are read past; after
   a restart those behind the last row are read again, which changes nothing.
3. A batch whose fate is unknown is written again, and so is one that a former owner of the partition still writes:
   rows with the same identity count once (see `migrations/001_ledger.sql`).

Kafka is the only buffer: while ClickHouse is away the sink stops polling and keeps at most two batches.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from analytics.clickhouse import retry_for_ever
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.rows import LogBodies, Position, Table, rows_of
from analytics.sink_progress import SinkProgress
from topics.base import Record
from topics.codec import DecodeError, decode
from topics.registry import CALLS, CONTROL, HOPS, RESULTS, TopicSpec

logger = logging.getLogger(__name__)

_SOURCES: Final[tuple[tuple[TopicSpec[Record], Table], ...]] = (
    (RESULTS, Table.REQUESTS),
    (CALLS, Table.CALLS),
    (HOPS, Table.HOPS),
    (CONTROL, Table.BREAKERS),
)
_POLL_RECORDS: Final = 2000
_FETCH_BYTES: Final = 16 * 1024 * 1024
_FETCH_WAIT_MS: Final = 50
"""Short, because a fetch that waits on partitions without records keeps back those of all others."""
_POLL_S: Final = 0.15
"""More than a fetch takes on a busy machine: one that comes too late is read an interval later."""
_BEHIND: Final = 500
"""Records behind the ends of the partitions for which reading goes on without a rest."""
_LONGEST_WAIT_S: Final = 1.0
_LAST_FLUSH_S: Final = 5.0
_LEAVE_S: Final = 5.0
_LAG_WARNING_EVERY_S: Final = 60.0


class LedgerAheadError(Exception):
    """ClickHouse holds offsets that Kafka has not reached: these are not the topics that it was filled from."""

    def __init__(self, topic: str, partition: int, held: int, end: int, database: str) -> None:
        super().__init__(
            f"ClickHouse database {database!r} holds offset {held} of {topic}-{partition}, but the topic ends at "
            f"{end}: the topic was deleted or restored from an older copy. Use another topic prefix or database, or "
            "delete the rows of this topic, then start the sink again"
        )


class Sink(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """The consumer of `llm.results`, `llm.calls`, `llm.hops` and `llm.control`; several processes may share the work.

    Args:
        bootstrap_servers: Of Kafka.
        prefix: Of the topics and of the group, `<prefix>sink`.
        clickhouse_url: See `analytics.clickhouse.open_client`.
        database: Migrated before the sink starts.
        log_bodies: What is kept of texts.
        batch_rows: Rows that make a batch due at once.
        flush_interval_s: Seconds between smaller batches. Kafka is read as often, and on and on while much is behind.
        retention_ms: Of the topics; None: no warning about being late.
        batch_bytes: Bytes of records that make a batch due at once.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        prefix: str,
        clickhouse_url: str,
        database: str,
        log_bodies: LogBodies = "none",
        batch_rows: int = 10_000,
        flush_interval_s: float = 1.0,
        retention_ms: int | None = None,
        batch_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.stats = SinkStats()
        self.progress = SinkProgress()
        self._bootstrap_servers = bootstrap_servers
        self._group = f"{prefix}sink"
        self._sources = {spec.full_name(prefix): (spec, table) for spec, table in _SOURCES}
        self._lead = RESULTS.full_name(prefix)
        self._ledger = Ledger(clickhouse_url, database, self.stats)
        self._database = database
        self._log_bodies = log_bodies
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._flush_interval_s = flush_interval_s
        self._retention_ms = retention_ms
        self._cluster = ""
        self._consumer: Any = None
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._assigned = asyncio.Event()
        self._next: dict[TopicPartition, int] | None = None
        """Offset after the last record read, of each partition; None until the places are known."""
        self._places_lost = asyncio.Event()
        """Ends a rest: set while the places are not known."""
        self._buffer: list[Entry] = []
        self._buffered_rows = 0
        self._buffered_bytes = 0
        self._flushed_at = 0.0
        self._awake_since = 0.0
        self._flush: asyncio.Task[None] | None = None
        self._in_flight: Sequence[Entry] = ()
        self._lag_warned_at = 0.0

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Work until `stop` is set, then write what is buffered if ClickHouse takes it at once.

        Args:
            stop: Ends the work.
            on_ready: Called once, when the first assignment is being read.

        Raises:
            LedgerAheadError: ClickHouse was filled from other topics than these.
            aiokafka.errors.KafkaError: Kafka can't be reached, or the topics may not be read.
        """
        stopping = asyncio.create_task(stop.wait())
        working = asyncio.create_task(self._work(on_ready))
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            # Wherever it is cut short, what was read and not written is read again from the place in ClickHouse.
            working.cancel()
            await asyncio.wait({working})
            await self._finish()
        finally:
            tasks = [stopping, working, *([self._flush] if self._flush is not None else [])]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._leave()
            await self._ledger.close()

    @property
    def leads(self) -> bool:
        """Whether this is the one of all sinks that does what is to be done once."""
        return any(tp.topic == self._lead and tp.partition == 0 for tp in self._next or ())

    async def _start(self) -> None:
        self._cluster = await self._cluster_id()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=self._group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            # Places come from ClickHouse; falling back to a guess would hide a gap.
            auto_offset_reset="none",
            fetch_max_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            # How often its fetcher looks around although nothing has happened.
            consumer_timeout_ms=int(_LONGEST_WAIT_S * 1000),
            # Not polling is how the sink waits for ClickHouse, for days if need be; heartbeats show that it lives.
            max_poll_interval_ms=2**31 - 1,
        )
        self._consumer.subscribe(list(self._sources), listener=self)
        await self._consumer.start()

    async def _leave(self) -> None:
        if self._consumer is None:
            return
        # A broker that hangs takes as long to be told as to be asked; its group finds out by itself.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                await self._consumer.stop()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forget what is not written; the next owner reads it again."""
        del revoked
        self._assigned.clear()
        self._forget_places()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take note only: to wait here for ClickHouse would stop the heartbeats."""
        self._forget_places()
        self._assignment = frozenset(assigned)
        self._assigned.set()

    def _forget_places(self) -> None:
        self._next = None
        self.progress.forget()
        self._places_lost.set()
        self._take_buffer()

    async def _cluster_id(self) -> str:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        try:
            await admin.start()
            return str((await admin.describe_cluster())["cluster_id"])
        finally:
            await admin.close()

    async def _work(self, on_ready: Callable[[], None]) -> None:
        await self._start()
        ready = False
        while True:
            if self._next is None:
                await self._find_places()
                continue
            if not ready:
                on_ready()
                ready = True
            self._start_flush_if_due()
            self._warn_when_late()
            if self._flush is not None and self._is_full():
                await asyncio.wait([self._flush], timeout=_LONGEST_WAIT_S)
            else:
                await self._read()

    async def _find_places(self) -> None:
        """Seek each assigned partition to the record after the last one that ClickHouse holds."""
        await self._assigned.wait()
        assignment = self._assignment
        if self._flush is not None:
            await asyncio.wait([self._flush])
        held = {}
        for topic, (_, table) in self._sources.items():
            offsets = await retry_for_ever(
                "read the offsets in ClickHouse",
                partial(self._ledger.last_offsets, table, self._cluster, topic),
            )
            held.update({TopicPartition(topic, partition): offset for partition, offset in offsets.items()})
        try:
            begins = await self._consumer.beginning_offsets(list(assignment)) if assignment else {}
            ends = await self._consumer.end_offsets(list(assignment)) if assignment else {}
        except KafkaError as error:
            logger.warning("Could not read the ends of the topics, trying again: %s", error)
            await asyncio.sleep(_LONGEST_WAIT_S)
            return
        if self._assignment is not assignment or not self._assigned.is_set():
            return
        places = {tp: self._place(tp, held.get(tp, -1), begins[tp], ends[tp]) for tp in assignment}
        for tp, offset in places.items():
            self._consumer.seek(tp, offset)
        self._next = places
        self.progress.begin(self._consumer, places)
        self._places_lost.clear()
        logger.info("The sink reads %d partitions", len(places))

    def _place(self, tp: TopicPartition, held: int, begin: int, end: int) -> int:
        if held >= end:
            raise LedgerAheadError(tp.topic, tp.partition, held, end, self._database)
        if begin > held + 1:
            logger.error(
                "The ledger has a gap: %d offsets of %s-%d, from %d on, left Kafka before they were stored",
                begin - held - 1,
                tp.topic,
                tp.partition,
                held + 1,
            )
        return max(begin, held + 1)

    async def _read(self) -> None:
        try:
            polled = await self._consumer.getmany(
                timeout_ms=int(_POLL_S * 1000), max_records=min(_POLL_RECORDS, self._batch_rows)
            )
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            logger.warning("The place in a topic is gone, looking for it again: %s", type(error).__name__)
            self._forget_places()
            return
        for tp, records in polled.items():
            # A rebalance during the poll: these are read again from the new place.
            if self._next is None or tp not in self._next:
                continue
            for record in records:
                self._take(tp, record)
            self._next[tp] = records[-1].offset + 1
        if not polled or self._behind() < _BEHIND:
            await self._rest()

    def _behind(self) -> int:
        """How many records are known to be there that are not read."""
        places = self._next or {}
        return sum(max((self._consumer.last_stable_offset(tp) or 0) - offset, 0) for tp, offset in places.items())

    async def _rest(self) -> None:
        """Let records come together: a fetch for each, and a batch of few, cost many times what the records do."""
        if self._flush is not None and self._buffer:
            await asyncio.wait([self._flush], timeout=self._flush_interval_s)
        self._start_flush_if_due(at_rest=True)
        rest_s = self._awake_since + self._flush_interval_s - time.monotonic()
        if rest_s > 0:
            self._consumer.pause(*self._consumer.assignment())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._places_lost.wait()
            self._consumer.resume(*self._consumer.assignment())
        self._awake_since = time.monotonic()

    def _take(self, tp: TopicPartition, record: ConsumerRecord) -> None:
        spec, _ = self._sources[tp.topic]
        if record.value is None and spec.cleanup == "compact":
            return
        position = Position(self._cluster, tp.topic, tp.partition, record.offset, record.timestamp)
        try:
            decoded = decode(spec, record.value, record.headers)
        except DecodeError as error:
            self.stats.skip(error.reason)
            where = f"{tp.topic}-{tp.partition}@{record.offset}"
            logger.warning("Skipped %s: %s (%s)", where, error.message, error.reason)
            return
        try:
            rows = rows_of(decoded.record, position, self._log_bodies)
        except (ValueError, OverflowError) as error:
            self._ledger.skip(position, error)
            return
        self._buffer.append(Entry(position, rows))
        self._buffered_rows += len(rows)
        self._buffered_bytes += len(record.value)

    def _take_buffer(self) -> Sequence[Entry]:
        entries, self._buffer = self._buffer, []
        self._buffered_rows = self._buffered_bytes = 0
        return entries

    def _is_full(self) -> bool:
        return self._buffered_rows >= self._batch_rows or self._buffered_bytes >= self._batch_bytes

    def _start_flush_if_due(self, *, at_rest: bool = False) -> None:
        if self._flush is not None:
            if not self._flush.done():
                return
            self._flush.result()
            self._flush = None
            self._in_flight = ()
        if not self._buffer or self._next is None:
            return
        if at_rest or self._is_full() or time.monotonic() >= self._flushed_at + self._flush_interval_s:
            self._flushed_at = time.monotonic()
            self._in_flight = self._take_buffer()
            self._flush = asyncio.create_task(self._write(self._in_flight, dict(self._next)))

    async def _write(self, entries: Sequence[Entry], next_offsets: dict[TopicPartition, int]) -> None:
        self.progress.oldest = entries[0]
        await retry_for_ever("write to ClickHouse", partial(self._insert, entries))
        self.stats.batches += 1
        self.progress.note_stored(next_offsets)
        self.progress.oldest = next(iter(self._buffer), None)
        try:
            await self._consumer.commit(next_offsets)
        except (KafkaError, IllegalStateError) as error:
            # Nothing depends on it: the next commit corrects the displayed lag.
            logger.debug("The offsets for display were not committed: %s", error)

    async def _insert(self, entries: Sequence[Entry]) -> None:
        try:
            await self._ledger.insert(entries)
        except Exception:
            self.progress.is_failing = True
            self.stats.failures += 1
            raise
        self.progress.is_failing = False

    async def _finish(self) -> None:
        """Write what is left, within a few seconds; Kafka still has it if that fails."""
        try:
            async with asyncio.timeout(_LAST_FLUSH_S):
                if self._flush is not None:
                    await self._flush
                    self._flush = None
                if self._buffer and self._next is not None:
                    await self._write(self._buffer, dict(self._next))
        except TimeoutError:
            logger.warning("Stopped without writing the last batch; it is read again from Kafka at the next start")

    def _warn_when_late(self) -> None:
        oldest = next(filter(self._expires, self._in_flight or self._buffer), None)
        if self._retention_ms is None or oldest is None:
            return
        behind_ms = time.time() * 1000 - oldest.position.timestamp_ms
        if behind_ms > self._retention_ms / 2 and time.monotonic() - self._lag_warned_at > _LAG_WARNING_EVERY_S:
            self._lag_warned_at = time.monotonic()
            logger.warning(
                "The sink is %.1f h behind and Kafka keeps records for %.1f h: rows will be lost unless it catches up",
                behind_ms / 3_600_000,
                self._retention_ms / 3_600_000,
            )

    def _expires(self, entry: Entry) -> bool:
        """Whether Kafka deletes the record some day: a compacted topic keeps the latest of each key."""
        spec, _ = self._sources[entry.position.topic]
        return spec.cleanup == "delete"

"""The journal of paid calls, and the memory of it by which a finished call is never paid again.

A call may take a minute while thousands of records behind it finish, and offsets are committed in order; so after
a crash finished work is delivered again. Before a stage pays, it asks the memory: the journal partition is read
back as far as the request is old, once, and indexed by attempt id. Answers stay in Kafka but for a bounded cache.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from aiokafka import TopicPartition

from streams.clock import Clock
from streams.log_reader import LogReader, RawRecord
from streams.publisher import Delivered, Output, Publisher
from topics.codec import SCHEMA_HEADER, decode, header
from topics.journal import ATTEMPT_HEADER, STAGE_HEADER, CallEnded, CallStarted
from topics.registry import CALLS

log = logging.getLogger(__name__)

_SLACK = timedelta(seconds=5)
"""How far the clocks of brokers may be apart."""
_STEP = timedelta(seconds=60)
"""An extension reads at least this much further back, so that a run of old tasks does not extend one by one."""


@dataclass(slots=True)
class _Partition:
    """What is known of one journal partition in one generation."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    covered_from_ms: int | None = None
    first_offset: int = 0
    next_offset: int = 0
    """Up to where the partition was read; our own records behind it are remembered as they are written."""
    open: set[bytes] = field(default_factory=set)
    """Attempts that were started before the partition was read, and had no end then."""
    ended: OrderedDict[bytes, tuple[int, int]] = field(default_factory=OrderedDict)
    """Attempt id to offset and timestamp (ms) of its CallEnded, oldest first."""


class Journal:
    """Writes the calls of one stage and remembers how they ended.

    Args:
        stage: Whose calls these are; those of other stages are passed over.
        publisher: Writes the journal; what it returned for is acknowledged.
        reader: Reads `llm.calls` back.
        topic: Full name of the journal topic.
        horizon: Older attempts are forgotten; at least the longest request lifetime.
        cache_bytes: Most bytes of answers kept in memory.
        clock: Current moment.
    """

    def __init__(
        self,
        *,
        stage: str,
        publisher: Publisher,
        reader: LogReader,
        topic: str,
        horizon: timedelta,
        cache_bytes: int,
        clock: Clock,
    ) -> None:
        self._stage = stage.encode()
        self._publisher = publisher
        self._reader = reader
        self._topic = topic
        self._horizon = horizon
        self._clock = clock
        self._partitions: dict[int, _Partition] = {}
        self._answers = AnswerCache(cache_bytes)

    async def started(self, calls: Sequence[CallStarted], also: Sequence[Output] = ()) -> None:
        """Record that calls are about to leave; return when the broker has all of it.

        Raises:
            DeliveryError: None of the calls must be made.
        """
        await self._publisher.publish([*(Output(CALLS, call) for call in calls), *also])

    async def ended(self, calls: Sequence[CallEnded]) -> None:
        """Record how calls came out; return when the broker has all of it.

        Raises:
            DeliveryError: Nothing derived from the calls may be published.
        """
        delivered = await self._publisher.publish([Output(CALLS, call) for call in calls])
        for call, place in zip(calls, delivered, strict=True):
            self._remember(call, place)

    async def recall(self, partition: int, attempt: UUID, asked_at_ms: int) -> CallEnded | None:
        """Return how an attempt ended earlier, in this process or in another one; None if it has not.

        An attempt that another process had on the wire may end at any time, if that process was only stopped: for
        such a one the journal is read on to its end each time.

        Args:
            partition: Partition of the task, which is also the journal's.
            attempt: The attempt's id.
            asked_at_ms: When the request came in, ms since the epoch: nothing about it was written before.
        """
        known = self._partitions.setdefault(partition, _Partition())
        await self._cover(partition, known, asked_at_ms)
        if attempt.bytes in known.open:
            await self._read_on(partition, known)
        found = known.ended.get(attempt.bytes)
        if found is None:
            return None
        return self._answers.get(attempt.bytes) or await self._fetch(partition, attempt, found[0])

    def was_open(self, partition: int, attempt: UUID) -> bool:
        """Whether another process has the attempt on the wire, or had it there when it died."""
        known = self._partitions.get(partition)
        return known is not None and attempt.bytes in known.open

    def forget(self, partition: int) -> None:
        """Drop what is known of a partition that now belongs to somebody else."""
        self._partitions.pop(partition, None)

    @property
    def remembered(self) -> int:
        """Number of attempts in memory."""
        return sum(len(known.ended) for known in self._partitions.values())

    async def _cover(self, partition: int, known: _Partition, asked_at_ms: int) -> None:
        slack = int(_SLACK.total_seconds() * 1000)
        wanted = asked_at_ms - slack
        if known.covered_from_ms is not None and known.covered_from_ms <= wanted:
            return
        async with known.lock:
            if known.covered_from_ms is not None and known.covered_from_ms <= wanted:
                return
            oldest = int((self._clock() - self._horizon).timestamp() * 1000) - slack
            since = max(wanted, oldest)
            if known.covered_from_ms is None:
                await self._scan(partition, known, since, until_offset=None)
            elif since < known.covered_from_ms:
                since = max(min(since, known.covered_from_ms - int(_STEP.total_seconds() * 1000)), oldest)
                await self._scan(partition, known, since, until_offset=known.first_offset)
            # What the horizon has cut off counts as covered: no request that old is served any more.
            known.covered_from_ms = min(since, wanted)

    async def _scan(self, partition: int, known: _Partition, since_ms: int, until_offset: int | None) -> None:
        tp = TopicPartition(self._topic, partition)
        is_first = until_offset is None
        end = await self._reader.end_offset(tp) if until_offset is None else until_offset
        found: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        started: set[bytes] = set()
        known.first_offset = end
        async for record in self._reader.read(tp, since_ms=since_ms, until_offset=end):
            known.first_offset = min(known.first_offset, record.offset)
            self._index(record, found, started)
        for attempt, place in known.ended.items():
            found.setdefault(attempt, place)
        known.ended = found
        known.open = (known.open | started) - found.keys()
        if is_first:
            known.next_offset = end
        log.debug("%s: remembers %d attempts of journal partition %d", self._stage.decode(), len(found), partition)

    async def _read_on(self, partition: int, known: _Partition) -> None:
        tp = TopicPartition(self._topic, partition)
        async with known.lock:
            end = await self._reader.end_offset(tp)
            if end > known.next_offset:
                async for record in self._reader.read(tp, since_offset=known.next_offset, until_offset=end):
                    self._index(record, known.ended, set())
                known.next_offset = end
            known.open -= known.ended.keys()

    def _index(self, record: RawRecord, ended: OrderedDict[bytes, tuple[int, int]], started: set[bytes]) -> None:
        """Take note of a record by its headers alone, so that a restore does not parse answers."""
        named = dict(record.headers)
        attempt = named.get(ATTEMPT_HEADER)
        if named.get(STAGE_HEADER) != self._stage or attempt is None:
            return
        if header(record.headers, SCHEMA_HEADER) != CallEnded.SCHEMA:
            started.add(attempt)
        # A stopped process that goes on may end its call after the new owner's; what came first was built on.
        elif attempt not in ended:
            ended[attempt] = (record.offset, record.timestamp)
            self._answers.put(attempt, record.value)

    async def _fetch(self, partition: int, attempt: UUID, offset: int) -> CallEnded | None:
        record = await self._reader.record_at(TopicPartition(self._topic, partition), offset)
        if record is None or record.offset != offset:
            return None
        self._answers.put(attempt.bytes, record.value)
        return read_ended(record.value)

    def _remember(self, call: CallEnded, delivered: Delivered) -> None:
        known = self._partitions.get(delivered.partition)
        if known is None:
            return
        known.ended[call.attempt_id.bytes] = (delivered.offset, delivered.timestamp_ms)
        oldest_ms = int((self._clock() - self._horizon).timestamp() * 1000)
        while known.ended and next(iter(known.ended.values()))[1] < oldest_ms:
            known.ended.popitem(last=False)


class AnswerCache:
    """Bytes of the latest CallEnded records, bounded by their sum."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._values: OrderedDict[bytes, bytes] = OrderedDict()

    def put(self, attempt: bytes, value: bytes) -> None:
        """Keep an answer; the oldest ones make room for it."""
        self._bytes += len(value) - len(self._values.pop(attempt, b""))
        self._values[attempt] = value
        while self._bytes > self._max_bytes:
            _, dropped = self._values.popitem(last=False)
            self._bytes -= len(dropped)

    def get(self, attempt: bytes) -> CallEnded | None:
        """Return an answer that is still kept."""
        value = self._values.get(attempt)
        return None if value is None else read_ended(value)


def read_ended(value: bytes) -> CallEnded | None:
    """Read the value of a record of the journal; None where it is no end."""
    record = decode(CALLS, value, [(SCHEMA_HEADER, CallEnded.SCHEMA.encode())]).record
    return record if isinstance(record, CallEnded) else None

"""The journal of classifications as one log: whose call of an attempt came first, and which end of it decides.

Two copies of a request under different keys may be in two processes at once, and a stopped process may go on when
another has its work. What they must agree on is the order of their records in the journal. So each process follows all
of its partitions: a record of its own tells nothing before all that stands ahead of it is known.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from aiokafka import TopicPartition

from streams.clock import Clock
from streams.journal import AnswerCache, read_ended
from streams.log_reader import LogReader, RawRecord
from streams.publisher import Delivered, DeliveryError, Output, Publisher
from topics.codec import SCHEMA_HEADER, header
from topics.journal import ATTEMPT_HEADER, STAGE_HEADER, CallEnded, CallStarted
from topics.registry import CALLS
from topics.tasks import CLASSIFY

_STAGE = CLASSIFY.encode()
_SLACK_MS = 5_000
"""How far the clocks of brokers may be apart."""
_STEP_MS = 60_000
"""An extension reads at least this much further back, so that a run of old requests does not extend one by one."""
_SILENT_S = 30.0
"""What the broker has acknowledged can be read; if it does not come for so long, the connection is broken."""


@dataclass(slots=True)
class _Attempt:
    """The offsets of the first records of an attempt, as far as they are known."""

    seen_ms: int
    started: int | None = None
    ended: int | None = None


_Attempts = OrderedDict[bytes, _Attempt]


@dataclass(slots=True)
class _Partition:
    first_offset: int
    """From here to `next_offset` everything is known."""
    next_offset: int
    covered_from_ms: int | None = None
    attempts: _Attempts = field(default_factory=OrderedDict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class OpinionJournal:
    """Writes the calls of classify, and knows in which order all processes wrote theirs.

    What it knows does not depend on who owns which partition, so a rebalance changes nothing.

    Args:
        publisher: Writes the journal; what it returned for is acknowledged.
        reader: Follows it, and reads it back.
        prefix: Of the topics.
        partitions: How many the journal has.
        horizon: Older attempts are forgotten; at least the longest request lifetime.
        cache_bytes: Most bytes of ends kept in memory.
        clock: Current moment.
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        reader: LogReader,
        prefix: str,
        partitions: int,
        horizon: timedelta,
        cache_bytes: int,
        clock: Clock,
    ) -> None:
        self._publisher = publisher
        self._reader = reader
        self._topic = CALLS.full_name(prefix)
        self._count = partitions
        self._horizon_ms = int(horizon.total_seconds() * 1000)
        self._clock = clock
        self._partitions: dict[int, _Partition] = {}
        self._ends = AnswerCache(cache_bytes)
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}

    def __len__(self) -> int:
        return sum(len(partition.attempts) for partition in self._partitions.values())

    async def run(self, ready: asyncio.Event) -> None:
        """Follow the journal until cancelled; set `ready` when nothing that comes from now on is missed.

        Raises:
            aiokafka.errors.KafkaError: The broker refuses to be read.
        """
        tps = [TopicPartition(self._topic, number) for number in range(self._count)]
        async for tp, records, next_offset in self._reader.follow(tps):
            partition = self._partitions.setdefault(tp.partition, _Partition(next_offset, next_offset))
            for record in records:
                self._note(record, partition.attempts)
            partition.next_offset = next_offset
            if records:
                _forget(partition.attempts, records[-1].timestamp - self._horizon_ms)
            if len(self._partitions) == self._count:
                ready.set()
            for waiting, holds in self._waiting.items():
                if not waiting.done() and holds():
                    waiting.set_result(None)

    async def cover(self, partition: int, since_ms: int) -> None:
        """Read a partition back to a time (ms since the epoch), once; the horizon is the furthest."""
        known, wanted = self._partitions[partition], since_ms - _SLACK_MS
        if known.first_offset == 0:
            # All of it is known: a consumer that is opened to find that out makes the first requests of a new
            # deployment wait for their opinions longer than they may.
            return
        async with known.lock:
            if known.covered_from_ms is not None and known.covered_from_ms <= wanted:
                return
            oldest = int(self._clock().timestamp() * 1000) - self._horizon_ms - _SLACK_MS
            since = max(wanted, oldest)
            if known.covered_from_ms is None:
                await self._extend(partition, known, since)
            elif since < known.covered_from_ms:
                since = max(min(since, known.covered_from_ms - _STEP_MS), oldest)
                await self._extend(partition, known, since)
            # What the horizon has cut off counts as covered: no request that old is served any more.
            known.covered_from_ms = min(since, wanted)

    async def write(self, calls: Sequence[CallStarted | CallEnded]) -> list[Delivered]:
        """Publish records, and return when all that stands ahead of them is known.

        Raises:
            DeliveryError: The broker did not take them, or can't be read; the process has to stop.
        """
        places = await self._publisher.publish([Output(CALLS, call) for call in calls])
        last = {place.partition: place.offset for place in sorted(places, key=lambda place: place.offset)}
        partitions = self._partitions
        try:
            await self._until(lambda: all(partitions[p].next_offset > offset for p, offset in last.items()), _SILENT_S)
        except TimeoutError:
            raise DeliveryError(f"the journal could not be read for {_SILENT_S:g} s") from None
        return places

    def may_call(self, attempt: UUID, start: Delivered) -> bool:
        """Whether this start is the attempt's first record of all: then, and only then, its call may leave."""
        found = self._partitions[start.partition].attempts.get(attempt.bytes)
        return found is not None and found.started == start.offset and found.ended is None

    async def first_end(self, partition: int, attempt: UUID) -> CallEnded | None:
        """Return the end that decides: the first one in the journal, as far as that is covered and followed."""
        found = self._partitions[partition].attempts.get(attempt.bytes)
        if found is None or found.ended is None:
            return None
        kept = self._ends.get(_end_key(attempt.bytes, found.ended))
        return kept or await self._fetch(partition, attempt, found.ended)

    async def wait_ended(self, attempts: Collection[tuple[int, UUID]], timeout_s: float) -> None:
        """Wait until each of these attempts, by partition and id, has an end, or until the time is over."""

        def have_ended() -> bool:
            found = (self._partitions[partition].attempts.get(attempt.bytes) for partition, attempt in attempts)
            return all(one is not None and one.ended is not None for one in found)

        with contextlib.suppress(TimeoutError):
            await self._until(have_ended, timeout_s)

    async def _until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something holds of what was followed so far.

        Raises:
            TimeoutError: It took too long.
        """
        if holds():
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = holds
        try:
            async with asyncio.timeout(timeout_s):
                await waiting
        finally:
            del self._waiting[waiting]

    async def _extend(self, partition: int, known: _Partition, since_ms: int) -> None:
        """Read what is older than all that is known, as far back as to a time."""
        older: _Attempts = OrderedDict()
        first_offset = known.first_offset
        tp = TopicPartition(self._topic, partition)
        async for record in self._reader.read(tp, since_ms=since_ms, until_offset=known.first_offset):
            first_offset = min(first_offset, record.offset)
            self._note(record, older)
        for attempt, later in known.attempts.items():
            found = older.setdefault(attempt, later)
            if found.ended is None:
                found.ended = later.ended
        known.attempts, known.first_offset = older, first_offset

    def _note(self, record: RawRecord, attempts: _Attempts) -> None:
        """Take note of a record by its headers alone: most are answers of other stages."""
        named = dict(record.headers)
        attempt = named.get(ATTEMPT_HEADER)
        if attempt is None or named.get(STAGE_HEADER) != _STAGE:
            return
        found = attempts.setdefault(attempt, _Attempt(record.timestamp))
        if header(record.headers, SCHEMA_HEADER) != CallEnded.SCHEMA:
            found.started = record.offset if found.started is None else found.started
        elif found.ended is None:
            found.ended = record.offset
            self._ends.put(_end_key(attempt, record.offset), record.value)

    async def _fetch(self, partition: int, attempt: UUID, offset: int) -> CallEnded | None:
        record = await self._reader.record_at(TopicPartition(self._topic, partition), offset)
        if record is None or record.offset != offset:
            return None
        self._ends.put(_end_key(attempt.bytes, offset), record.value)
        return read_ended(record.value)


def _forget(attempts: _Attempts, before_ms: int) -> None:
    while attempts and next(iter(attempts.values())).seen_ms < before_ms:
        attempts.popitem(last=False)


def _end_key(attempt: bytes, offset: int) -> bytes:
    """Name an end of an attempt: what is followed may look like the first one until older records are read."""
    return attempt + offset.to_bytes(8)

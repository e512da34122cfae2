"""A topic as a memory: read back over the window when the process starts, then followed, and extended on demand.

A memory of a log answers for a record only if it holds everything that may have been written about the record's copies:
all that was appended since a window before the record. How far that is from now depends on how old the record is, and
after an outage it may be old. So who asks says for which moment, and where that reaches too far the log is read back
further. What nobody has asked for in a while is forgotten, and read again if somebody does.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from streams.config.settings import Settings
from streams.kafka.aged_memory import AgedMemory
from streams.kafka.clock import Clock
from streams.kafka.publisher import DeliveryError
from streams.kafka.topic_reader import RawRecord, TopicReader, partitions_of
from topics.registry import TopicSpec

log = logging.getLogger(__name__)

_SLACK_MS = 5_000
"""How far the clocks of brokers may be apart."""
_STEP_MS = 60_000
"""An extension reads at least this much further back, so that a run of old records does not extend one by one."""
_SILENT_S = 30.0
"""What the broker has acknowledged can be read; if it does not come for so long, the connection is broken."""
_TRIMS = 8
"""How often what is too old is forgotten, in a window."""


@dataclass(slots=True)
class _Partition:
    first_offset: int
    """From here to `next_offset` everything was noted."""
    next_offset: int
    since_ms: int
    """Everything about requests that came in since then is known."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class FollowedLog:
    """Feeds all records of a topic to a memory.

    What is about requests older than the window and the longest deadline is forgotten unless it was asked for.

    Args:
        reader: Of the topic's isolation level.
        spec: The topic.
        settings: The window, the deadlines, and how many partitions there are.
        memory: Of what was noted, which is cut where nobody asks.
        note: Takes note of a record; the same one may come again.
        lag_ms: How late a record may be noted while nobody waits for one.
        clock: Current moment.
    """

    def __init__(
        self,
        reader: TopicReader,
        spec: TopicSpec[Any],
        settings: Settings,
        *,
        memory: AgedMemory,
        note: Callable[[RawRecord], None],
        lag_ms: int,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._tps = partitions_of(spec, settings.kafka)
        self._memory = memory
        self._note = note
        self._window_ms = int(settings.delivery.dedup_window_s * 1000)
        longest_ms = int(settings.deadlines.longest.total_seconds() * 1000)
        self._kept_ms = self._window_ms + longest_ms + _SLACK_MS
        self._lag_ms = lag_ms
        self._clock = clock
        self._partitions: dict[int, _Partition] = {}
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._is_awaited = asyncio.Event()
        self._is_ready = asyncio.Event()
        self._oldest_wanted: float = math.inf
        self._trimmed_ms = 0

    async def run(self, ready: asyncio.Event) -> None:
        """Read the last window, set `ready`, and go on following until cancelled.

        Raises:
            aiokafka.errors.KafkaError: The broker refuses to be read.
        """
        since_ms = self._trimmed_ms = self._now_ms() - self._window_ms - _SLACK_MS - _STEP_MS
        ends = await self._reader.end_offsets(self._tps)
        async for tp, records, next_offset in self._reader.follow(
            self._tps, since_ms=since_ms, lag_ms=self._lag_ms, hurry=self._is_awaited
        ):
            partition = self._partitions.get(tp.partition)
            if partition is None:
                partition = self._partitions[tp.partition] = _Partition(next_offset, next_offset, since_ms)
            for record in records:
                self._note(record)
            partition.next_offset = next_offset
            if not self._is_ready.is_set() and self._has_reached(ends):
                log.debug("%s: %d entries are remembered", tp.topic, len(self._memory))
                self._is_ready.set()
                ready.set()
            for waiting, holds in self._waiting.items():
                if not waiting.done() and holds():
                    waiting.set_result(None)
            self._trim()

    async def cover(self, partition: int, asked_ms: int) -> None:
        """Read a partition back as far as an earlier copy of a request may lie that came in at `asked_ms`."""
        await self._is_ready.wait()
        if self._covers(partition, asked_ms):
            return
        known = self._partitions[partition]
        async with known.lock:
            if self._covers(partition, asked_ms):
                return
            since_ms = min(asked_ms - self._window_ms - _SLACK_MS, known.since_ms - _STEP_MS)
            first_offset = known.first_offset
            tp = self._tps[partition]
            async for record in self._reader.read(tp, since_ms=since_ms, until_offset=known.first_offset):
                first_offset = min(first_offset, record.offset)
                self._note(record)
            known.first_offset, known.since_ms = first_offset, since_ms

    async def catch_up(self, partitions: Iterable[int]) -> None:
        """Return when all is known that these partitions hold at this moment.

        Raises:
            DeliveryError: They can't be read; the process has to stop.
        """
        await self.pass_by(await self._reader.end_offsets([self._tps[number] for number in partitions]))

    async def pass_by(self, ends: Mapping[TopicPartition, int]) -> None:
        """Return when each of these partitions is known up to an offset.

        Raises:
            DeliveryError: They can't be read; the process has to stop.
        """
        try:
            await self.until(lambda: self._has_reached(ends), _SILENT_S)
        except TimeoutError:
            raise DeliveryError(f"{self._tps[0].topic} could not be read for {_SILENT_S:g} s") from None

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something holds of what was noted so far.

        Raises:
            TimeoutError: It took too long.
        """
        if holds():
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = holds
        self._is_awaited.set()
        try:
            async with asyncio.timeout(timeout_s):
                await waiting
        finally:
            del self._waiting[waiting]
            if not self._waiting:
                self._is_awaited.clear()

    def _covers(self, partition: int, asked_ms: int) -> bool:
        """Whether all is known that may have been written about copies of a request that came in at that moment."""
        known, wanted = self._partitions[partition], asked_ms - self._window_ms - _SLACK_MS
        self._oldest_wanted = min(self._oldest_wanted, wanted)
        return known.since_ms <= wanted or known.first_offset == 0

    def _has_reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        partitions = self._partitions
        return all(tp.partition in partitions and partitions[tp.partition].next_offset >= ends[tp] for tp in ends)

    def _trim(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._trimmed_ms < self._window_ms / _TRIMS:
            return
        before_ms = int(min(now_ms - self._kept_ms, self._oldest_wanted))
        self._trimmed_ms, self._oldest_wanted = now_ms, math.inf
        self._memory.forget(before_ms)
        for known in self._partitions.values():
            if known.since_ms < before_ms:
                # Who wants older ones has to read everything: they may be written about at any later time.
                known.since_ms, known.first_offset = before_ms, known.next_offset

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)

"""The journal of paid calls as a memory: of each attempt, where its first start and its first end stand.

Records of one attempt may come from several processes: a copy of the request was in two of them, or a stopped one went
on when another had its work. What stands first in the journal decides, for everybody alike.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from aiokafka import TopicPartition

from streams.config.settings import Settings
from streams.kafka.aged_memory import AgedMemory
from streams.kafka.clock import Clock
from streams.kafka.followed_log import FollowedLog
from streams.kafka.publisher import Delivered
from streams.kafka.topic_reader import RawRecord, TopicReader
from topics.codec import SCHEMA_HEADER, decode
from topics.journal import ASKED_HEADER, ATTEMPT_HEADER, STAGE_HEADER, CallEnded
from topics.registry import CALLS

_NONE = 2**63 - 1
"""Offset of a record that is not there: later than all."""
_LAG_MS = 250
_ENDED = CallEnded.SCHEMA.encode()


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """An attempt, and where its records are looked for."""

    partition: int
    """Of the journal."""
    attempt: UUID
    asked_ms: int
    """When the request came in, ms since the epoch: only what was written about its copies counts."""


class AttemptLog:
    """Knows the attempts of some stages; one for all stages of a process.

    Args:
        settings: The window, the longest deadlines, and how many bytes of answers are kept.
        stages: Whose attempts; those of others are passed over.
        clock: Current moment.
        reader: None: one of the cluster that the settings name.
    """

    def __init__(
        self, settings: Settings, stages: Collection[str], clock: Clock, reader: TopicReader | None = None
    ) -> None:
        kafka, delivery = settings.kafka, settings.delivery
        window = timedelta(seconds=delivery.dedup_window_s)
        self._stages = {stage.encode() for stage in stages}
        self._reader = reader or TopicReader(kafka)
        self._topic = CALLS.full_name(kafka.prefix)
        self._memory = AgedMemory(window, "qq")
        self._answers = _AnswerCache(delivery.answer_cache_bytes)
        self._log = FollowedLog(
            self._reader, CALLS, settings, memory=self._memory, note=self._note, lag_ms=_LAG_MS, clock=clock
        )

    def __len__(self) -> int:
        return len(self._memory)

    async def run(self, ready: asyncio.Event) -> None:
        """Read the journal of the last window, set `ready`, and go on following until cancelled."""
        await self._log.run(ready)

    async def cover(self, one: AttemptRef) -> None:
        """Make sure that all is known of the copies of the attempt's request.

        What another process writes at this very moment may be missing.
        """
        await self._log.cover(one.partition, one.asked_ms)

    async def catch_up(self, partitions: Collection[int]) -> None:
        """Return when all is known that these partitions hold at this moment."""
        await self._log.catch_up(partitions)

    async def pass_by(self, places: Collection[tuple[int, int]]) -> None:
        """Return when these records, by partition and offset, and all that stand ahead of them, are known."""
        ends: dict[TopicPartition, int] = {}
        for partition, offset in places:
            tp = TopicPartition(self._topic, partition)
            ends[tp] = max(ends.get(tp, 0), offset + 1)
        await self._log.pass_by(ends)

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something holds of what is known.

        Raises:
            TimeoutError: It took too long.
        """
        await self._log.until(holds, timeout_s)

    def first_start(self, one: AttemptRef) -> int | None:
        """Return the offset of the first start of an attempt."""
        return _first(start for start, _ in self._memory.find(one.attempt.bytes, one.asked_ms))

    def has_ended(self, one: AttemptRef) -> bool:
        """Whether an attempt has an end."""
        return self.end_offset(one) is not None

    def end_offset(self, one: AttemptRef) -> int | None:
        """Return the offset of the first end of an attempt."""
        return _first(end for _, end in self._memory.find(one.attempt.bytes, one.asked_ms))

    async def first_end(self, one: AttemptRef) -> CallEnded | None:
        """Return the first end of an attempt; None where it has none."""
        offset = self.end_offset(one)
        if offset is None:
            return None
        place = (one.partition, offset)
        if (kept := self._answers.get(place)) is not None:
            return read_ended(kept)
        record = await self._reader.record_at(TopicPartition(self._topic, one.partition), offset)
        if record is None:
            return None
        self._answers.put(place, record.value)
        return read_ended(record.value)

    def note_end(self, call: CallEnded, place: Delivered) -> None:
        """Know an end as soon as it is acknowledged; it may take a moment until it is read."""
        self._put(call.attempt_id.bytes, call.request_ms(place.timestamp_ms), _NONE, place.offset)

    def _note(self, record: RawRecord) -> None:
        """Take note of a record by its headers alone, so that a restore does not parse answers."""
        named = dict(record.headers)
        attempt = named.get(ATTEMPT_HEADER)
        if attempt is None or named.get(STAGE_HEADER) not in self._stages:
            return
        asked = named.get(ASKED_HEADER)
        asked_ms = record.timestamp if asked is None else int.from_bytes(asked, signed=True)
        if named.get(SCHEMA_HEADER) == _ENDED:
            self._put(attempt, asked_ms, _NONE, record.offset)
            self._answers.put((record.partition, record.offset), record.value)
        else:
            self._put(attempt, asked_ms, record.offset, _NONE)

    def _put(self, attempt: bytes, asked_ms: int, start: int, end: int) -> None:
        known = self._memory.get(attempt, asked_ms)
        if known is not None:
            start, end = min(start, known[0]), min(end, known[1])
        self._memory.put(attempt, asked_ms, start, end)


class _AnswerCache:
    """Bytes of the latest ends that were read, by partition and offset, bounded by their sum."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._values: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def put(self, place: tuple[int, int], value: bytes) -> None:
        """Keep an answer; the oldest ones make room for it."""
        self._bytes += len(value) - len(self._values.pop(place, b""))
        self._values[place] = value
        while self._bytes > self._max_bytes:
            _, dropped = self._values.popitem(last=False)
            self._bytes -= len(dropped)

    def get(self, place: tuple[int, int]) -> bytes | None:
        """Return an answer that is still kept."""
        return self._values.get(place)


def _first(offsets: Iterable[int]) -> int | None:
    first = min(offsets, default=_NONE)
    return None if first == _NONE else first


def read_ended(value: bytes) -> CallEnded | None:
    """Read the value of a record of the journal; None where it is no end."""
    record = decode(CALLS, value, [(SCHEMA_HEADER, _ENDED)]).record
    return record if isinstance(record, CallEnded) else None

"""Where the results of a week are, in 16 bytes each: from the markers that every process follows anyway.

A marker says which outcome it settled, and so leads to the answer: results are large, markers are small. A process
knows the markers of the last window from its start on. Of what is older it reads a partition back once somebody asks
for a request that it does not know, in growing stretches, until the request is found or the bounds are reached; a
worker that starts reads none of it. What is known is always everything from some offset on: who finds a result also
knows whether there is a later one of the same request.
"""

import asyncio
import hashlib
from array import array
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from aiokafka import TopicPartition

from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.record_fetcher import RecordFetcher
from streams.kafka.topic_reader import RawRecord, TopicReader
from streams.runtime.settled_requests import SettledRequests, read_marker
from streams.runtime.unless import unless
from topics.base import Record, from_millis
from topics.codec import DecodeError, decode
from topics.partitioning import partition_for
from topics.registry import OUTCOMES, REQUESTS, SETTLED, TopicSpec
from topics.requests import Request
from topics.results import Outcome, Result, Settled
from topics.tasks import Source

M = TypeVar("M", bound=Record)

_SILENT_S = 60.0
"""Longer than it may take to learn that the markers can't be read."""
_SEGMENT = 8_192
"""Entries that are sorted into one stretch of memory."""
_FIRST_STRETCH, _LONGEST_STRETCH = 2_048, 65_536
"""Offsets that are read back at a time."""
_REVISIONS = 256
_HASH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Settlement:
    """A result that is known: its revision, and where its outcome stands in the request's partition."""

    revision: int
    outcome_offset: int


class ResultIndex:
    """Finds results by the request's id.

    Args:
        settings: How much is known, and how far back.
        settled: Reads the markers.
        clock: Current moment.
        reader: Of committed records; None: one of the cluster that the settings name.
        fetcher: Of outcomes and requests; None: one of that cluster, which `close` closes.
    """

    def __init__(
        self,
        settings: Settings,
        settled: SettledRequests,
        clock: Clock,
        reader: TopicReader | None = None,
        fetcher: RecordFetcher | None = None,
    ) -> None:
        kafka = settings.kafka
        self._kafka = kafka
        self._reader = reader or TopicReader(kafka)
        self._fetcher = fetcher or RecordFetcher(kafka, OUTCOMES, REQUESTS)
        self._settled = settled
        self._clock = clock
        self._window_ms = int(settings.feedback.window_s * 1000)
        self._patience_s = settings.feedback.patience_s
        most = max(settings.feedback.max_entries // kafka.partitions, 1)
        self._partitions = [_Partition(most) for _ in range(kafka.partitions)]
        settled.listen(self._note)

    def __len__(self) -> int:
        return sum(map(len, self._partitions))

    async def close(self) -> None:
        """Leave the broker."""
        await self._fetcher.close()

    async def of(self, request_id: str, revision: int) -> list[Settlement]:
        """Return the results of a request, the latest revision last; none where it has no result of a revision.

        Of an id that was used anew they are those of its latest use. A result that is not there yet is waited for,
        but not for long.

        Args:
            request_id: Of the request.
            revision: That must be among them.

        Raises:
            DeliveryError: The markers can't be read; the process has to stop.
        """
        number = partition_for(request_id, self._kafka.partitions)

        def is_known() -> bool:
            return any(one.revision == revision for one in self._known(number, request_id))

        if not is_known():
            # Most feedback is on what was settled just now; that it is on nothing of the kind takes longer to tell.
            await unless(self._settled.until(is_known, _SILENT_S), self._settled.catch_up(number))
        while not is_known() and await self._read_back(number):
            pass
        with suppress(TimeoutError):
            await self._settled.until(is_known, self._patience_s)
        return self._known(number, request_id) if is_known() else []

    async def outcome(self, request_id: str, settlement: Settlement) -> Outcome | None:
        """Return the outcome that became a result; None where it is no longer kept, or too old to be spoken of."""
        found = await self._settled_outcome(request_id, settlement)
        return None if found is None else found[0]

    async def result(self, request_id: str, digest: str) -> Result | None:
        """Return the first result of a request; None where there is none, or where another body had its id.

        Args:
            request_id: Of the request.
            digest: Of its body.

        Raises:
            DeliveryError: The markers can't be read; the process has to stop.
        """
        for settlement in await self.of(request_id, 0):
            found = await self._settled_outcome(request_id, settlement) if settlement.revision == 0 else None
            if found is not None and found[0].digest == digest:
                return Result.of(found[0], from_millis(found[1].timestamp))
        return None

    async def _settled_outcome(self, request_id: str, settlement: Settlement) -> tuple[Outcome, RawRecord] | None:
        tp = TopicPartition(OUTCOMES.full_name(self._kafka.prefix), partition_for(request_id, self._kafka.partitions))
        record = await self._fetcher.record_at(tp, settlement.outcome_offset)
        if record is None or record.timestamp < self._oldest_ms():
            return None
        outcome = _decoded(OUTCOMES, record)
        is_it = outcome is not None and (outcome.request_id, outcome.revision) == (request_id, settlement.revision)
        return (outcome, record) if outcome is not None and is_it else None

    async def asked_at(self, partition: int, offset: int) -> tuple[Request, int] | None:
        """Return the request that came in at a place, and when, ms since the epoch; None where it is no longer kept."""
        tp = TopicPartition(REQUESTS.full_name(self._kafka.prefix), partition)
        record = await self._fetcher.record_at(tp, offset)
        request = None if record is None else _decoded(REQUESTS, record)
        return None if record is None or request is None else (request, record.timestamp)

    async def request(self, source: Source) -> Request | None:
        """Return the request that came in at a place; None where it is no longer kept."""
        found = await self.asked_at(source.partition, source.offset)
        return None if found is None else found[0]

    def _known(self, number: int, request_id: str) -> list[Settlement]:
        """List the results of the latest use of an id by revision, the latest one of each."""
        found = sorted(self._partitions[number].find(_hash(request_id)), key=lambda one: one.outcome_offset)
        starts = [at for at, one in enumerate(found) if one.revision == 0]
        latest = {one.revision: one for one in found[starts[-1] if starts else 0 :]}
        return [latest[revision] for revision in sorted(latest)]

    def _note(self, marker: Settled, record: RawRecord) -> None:
        known = self._partitions[record.partition]
        if record.offset < known.next_offset:
            # The memory of what is settled reads old stretches again.
            return
        if known.first_offset is None:
            known.first_offset = record.offset
        known.next_offset = record.offset + 1
        if (entry := _entry(marker)) is not None:
            known.append(*entry)

    async def _read_back(self, number: int) -> bool:
        """Know a further stretch of a partition; False where there is no more to know."""
        known, tp = self._partitions[number], TopicPartition(SETTLED.full_name(self._kafka.prefix), number)
        async with known.lock:
            if known.is_whole:
                return False
            if known.first_offset is None:
                end = (await self._reader.end_offsets([tp]))[tp]
                if known.first_offset is None:
                    known.first_offset = known.next_offset = end
            start, until = max(known.first_offset - known.stretch, 0), known.first_offset
            entries: list[tuple[int, int]] = []
            first_ms: int | None = None
            async for record in self._reader.read(tp, since_offset=start, until_offset=until):
                first_ms = record.timestamp if first_ms is None else first_ms
                marker = read_marker(record)
                if isinstance(marker, Settled) and (entry := _entry(marker)) is not None:
                    entries.append(entry)
            # What was forgotten meanwhile would be a gap in front of what was read.
            if not known.is_whole:
                known.prepend(entries)
                is_longest = known.stretch >= _LONGEST_STRETCH
                # Where nothing was read there may be aborted records alone, or nothing is kept.
                is_past = is_longest if first_ms is None else first_ms < self._oldest_ms()
                known.is_whole = start == 0 or known.is_full or is_past
                known.first_offset, known.stretch = start, min(known.stretch * 2, _LONGEST_STRETCH)
            return True

    def _oldest_ms(self) -> int:
        return int(self._clock().timestamp() * 1000) - self._window_ms


@dataclass(slots=True)
class _Partition:
    most: int
    first_offset: int | None = None
    """Of the markers; from here to `next_offset` all are known. None: none was seen."""
    next_offset: int = 0
    stretch: int = _FIRST_STRETCH
    is_whole: bool = False
    """Whether nothing is to be had from further back: it is not kept, too old, or too much."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _latest: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _latest_count: int = 0
    _sorted: deque["_Segment"] = field(default_factory=deque)
    """The oldest first."""

    def __len__(self) -> int:
        return self._latest_count + sum(map(len, self._sorted))

    @property
    def is_full(self) -> bool:
        return len(self) >= self.most

    def append(self, key: int, value: int) -> None:
        self._latest[key].append(value)
        self._latest_count += 1
        if self._latest_count >= min(_SEGMENT, self.most):
            self._sorted.append(_Segment([(name, one) for name, values in self._latest.items() for one in values]))
            self._latest.clear()
            self._latest_count = 0
            while len(self) - len(self._sorted[0]) >= self.most:
                self._sorted.popleft()
                self.is_whole = True

    def prepend(self, entries: list[tuple[int, int]]) -> None:
        room = max(self.most - len(self), 0)
        newest = entries[len(entries) - min(room, len(entries)) :]
        for end in range(len(newest), 0, -_SEGMENT):
            self._sorted.appendleft(_Segment(newest[max(end - _SEGMENT, 0) : end]))

    def find(self, key: int) -> Iterator[Settlement]:
        for value in self._latest.get(key, ()):
            yield _settlement(value)
        for segment in self._sorted:
            for value in segment.find(key):
                yield _settlement(value)


class _Segment:
    """Entries in two arrays, sorted by key."""

    def __init__(self, entries: list[tuple[int, int]]) -> None:
        entries = sorted(entries)
        self._keys = array("Q", [key for key, _ in entries])
        self._values = array("Q", [value for _, value in entries])

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key: int) -> Iterator[int]:
        at = bisect_left(self._keys, key)
        while at < len(self._keys) and self._keys[at] == key:
            yield self._values[at]
            at += 1


def _decoded(spec: TopicSpec[M], record: RawRecord) -> M | None:
    try:
        return decode(spec, record.value, record.headers).record
    except DecodeError:
        return None


def _entry(marker: Settled) -> tuple[int, int] | None:
    """Pack a marker; one that is older than its field, or of a revision that feedback never comes to, is left out."""
    if marker.outcome_offset is None or marker.revision >= _REVISIONS:
        return None
    return _hash(marker.request_id), marker.outcome_offset * _REVISIONS + marker.revision


def _settlement(value: int) -> Settlement:
    offset, revision = divmod(value, _REVISIONS)
    return Settlement(revision, offset)


def _hash(request_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=_HASH_BYTES).digest())

"""The memory of what is settled: which requests have their result, known from the markers."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from aiokafka import TopicPartition
from pydantic import ValidationError

from streams.config.settings import Settings
from streams.kafka.aged_memory import AgedMemory
from streams.kafka.clock import Clock
from streams.kafka.followed_log import FollowedLog
from streams.kafka.publisher import Output
from streams.kafka.topic_reader import RawRecord, TopicReader
from topics.codec import SCHEMA_HEADER, DecodeError, decode, header
from topics.events import DROPPED, Hop, Hops, Status, StatusEvent, StatusKind
from topics.registry import HOPS, OUTCOMES, SETTLED, STATUS
from topics.results import Cancelled, Settled
from topics.tasks import Attempt, TierTask

log = logging.getLogger(__name__)

_LAG_MS = 250
"""How late the markers of other processes may be known; settle knows its own at once."""
_CANCELLED_IN_A_ROW = 1_000
"""Behind so many cancellations no marker of a result is looked for."""
_KEY_BYTES = 16
_DIGEST_BYTES = 8


class SettledRequests:
    """Recognises the copies of settled (request, revision) pairs.

    Every stage drops what is settled: the source of the first one is keyed by the producer, so that any request may
    come in on any partition, and of the others a copy may be in work when the result is published.

    Args:
        settings: The window, and the longest deadlines.
        clock: Current moment.
        reader: Of committed records; None: one of the cluster that the settings name.
    """

    def __init__(self, settings: Settings, clock: Clock, reader: TopicReader | None = None) -> None:
        kafka = settings.kafka
        window = timedelta(seconds=settings.delivery.dedup_window_s)
        self._clock = clock
        self._memory = AgedMemory(window, f"{_DIGEST_BYTES}s")
        self.cancellations = 0
        """How many markers of a cancellation were read: who looks at many requests does so when there are more."""
        self._listeners: list[Callable[[Settled, RawRecord], None]] = []
        self._reader = reader or TopicReader(kafka)
        self._outcomes = OUTCOMES.full_name(kafka.prefix)
        self._markers = SETTLED.full_name(kafka.prefix)
        self._log = FollowedLog(
            self._reader, SETTLED, settings, memory=self._memory, note=self.note, lag_ms=_LAG_MS, clock=clock
        )

    def __len__(self) -> int:
        return len(self._memory)

    async def run(self, ready: asyncio.Event) -> None:
        """Read the markers of the last window, set `ready`, and go on following until cancelled."""
        await self._log.run(ready)

    def listen(self, listener: Callable[[Settled, RawRecord], None]) -> None:
        """Have each marker told as it is read; the same one may come again, and old ones behind new ones."""
        self._listeners.append(listener)

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something holds of what was read.

        Raises:
            TimeoutError: It took too long.
        """
        await self._log.until(holds, timeout_s)

    async def cover(self, partition: int, asked_ms: int) -> None:
        """Make sure that the markers of all copies are known of a request that came in at `asked_ms`.

        Args:
            partition: Where its markers are: murmur2 of its id decides.
            asked_ms: Append time of the copy in hand, ms since the epoch.
        """
        await self._log.cover(partition, asked_ms)

    async def catch_up(self, partition: int) -> None:
        """Return when all markers are known that a partition holds at this moment."""
        await self._log.catch_up([partition])

    async def settled_up_to(self, partition: int) -> int:
        """Return the offset in the outcomes up to which all were settled, as the latest marker says; 0 if none does.

        Offsets that were committed may be lost, or set back by an operator, further than any memory reaches. The
        latest marker knows better, unless the topic of the outcomes is another one by now.
        """
        marker = await self._last_settled(TopicPartition(self._markers, partition))
        if marker is None or marker.outcome_offset is None:
            return 0
        outcomes = TopicPartition(self._outcomes, partition)
        source = await self._reader.record_at(outcomes, marker.outcome_offset)
        if source is None:
            return 0
        with contextlib.suppress(DecodeError):
            outcome = decode(OUTCOMES, source.value, source.headers).record
            if (outcome.request_id, outcome.revision) == (marker.request_id, marker.revision):
                return marker.outcome_offset + 1
        return 0

    async def _last_settled(self, markers: TopicPartition) -> Settled | None:
        """Return the latest marker of a result; None where none is near the end of the partition."""
        record = await self._reader.last_record(markers)
        last = None if record is None else read_marker(record)
        if record is None or not isinstance(last, Cancelled):
            return last if isinstance(last, Settled) else None
        latest = None
        async for earlier in self._reader.read(
            markers, since_offset=max(record.offset - _CANCELLED_IN_A_ROW, 0), until_offset=record.offset
        ):
            marker = read_marker(earlier)
            latest = marker if isinstance(marker, Settled) else latest
        return latest

    def note(self, record: RawRecord) -> None:
        """Remember a marker as it was read; a value that is no marker is logged and passed over."""
        match read_marker(record):
            case Settled() as marker:
                self.add(marker, record.timestamp)
                for listener in self._listeners:
                    listener(marker, record)
            case Cancelled() as marker:
                self.cancellations += 1
                # It is about whatever has the id within a window of it: who cancels knows of no other.
                self._memory.put(_cancelled(marker.request_id, marker.revision), record.timestamp, b"")

    def add(self, marker: Settled, at_ms: int) -> None:
        """Remember a marker that the broker appended at `at_ms`."""
        asked_ms = at_ms if marker.asked_ms is None else marker.asked_ms
        self._memory.put(_key(marker.request_id, marker.revision), asked_ms, _short(marker.digest))

    def knows(self, request_id: str, revision: int, asked_ms: int) -> bool:
        """Whether a copy of a request that came in at `asked_ms` (ms since the epoch) has its result."""
        return any(True for _ in self._memory.find(_key(request_id, revision), asked_ms))

    def is_cancelled(self, request_id: str, revision: int, asked_ms: int) -> bool:
        """Whether nobody waits for a request any more that came in at `asked_ms` (ms since the epoch).

        Who cancels an old request does so long after it came in, and as long as it has no result means that one.
        """
        now_ms = int(self._clock().timestamp() * 1000)
        return any(True for _ in self._memory.find(_cancelled(request_id, revision), asked_ms, now_ms))

    async def has_result(self, task: TierTask, partition: int) -> bool:
        """Whether the request behind a task has its result: what is delivered again must not multiply.

        Args:
            task: What a stage was handed.
            partition: Where it came, which is also that of the markers.
        """
        asked_ms = task.source.timestamp_ms
        await self.cover(partition, asked_ms)
        return self.knows(task.request.request_id, task.revision, asked_ms)

    def resent(
        self, request_id: str, revision: int, asked_ms: int, digest: str, tier: int | None = None
    ) -> list[Output]:
        """Say what is published of a copy that is dropped: nothing, or a status where another body had its id first.

        Args:
            request_id: Of the copy, as its revision.
            revision: Of the copy.
            asked_ms: Append time of its request, ms since the epoch.
            digest: Of its body.
            tier: How far it had come.
        """
        if self.same_body(request_id, revision, asked_ms, digest):
            return []
        detail = "the id was used with another body; first wins"
        event = StatusEvent(kind=StatusKind.ID_REUSED, at=self._clock(), tier=tier, detail=detail)
        return [Output(STATUS, Status(request_id=request_id, revision=revision, events=(event,)))]

    def dropped(self, task: TierTask, stage: str) -> list[Output]:
        """Say what a stage publishes of a task that it drops because its request has its result."""
        identity = (task.request.request_id, task.revision)
        resent = self.resent(*identity, task.source.timestamp_ms, task.digest, tier=task.tier)
        return [*resent, *self.paid_in_vain(stage, *identity, task.attempts)]

    def paid_in_vain(self, stage: str, request_id: str, revision: int, attempts: Sequence[Attempt]) -> list[Output]:
        """Tell the ledger which attempts a copy had made that a stage drops; the result may have some of them too."""
        now = self._clock()
        hops = tuple(
            Hop(
                stage=stage,
                started_at=now,
                ended_at=now,
                queue_ms=0.0,
                outcome=DROPPED,
                tier=attempt.tier,
                attempt_id=attempt.attempt_id,
                provider=attempt.provider,
                model=attempt.model,
                detail="by a copy of a request that has its result",
            )
            for attempt in attempts
        )
        return [Output(HOPS, Hops(request_id=request_id, revision=revision, hops=hops))] if hops else []

    def same_body(self, request_id: str, revision: int, asked_ms: int, digest: str) -> bool:
        """Whether the settled copy was asked with this body; False also where there is none."""
        return (_short(digest),) in self._memory.find(_key(request_id, revision), asked_ms)


def read_marker(record: RawRecord) -> Settled | Cancelled | None:
    """Read a marker; None, and a line in the log, where it can't be read.

    Nearly all are plain ones, and a restore of 100,000 has to take less than 2 s.
    """
    if header(record.headers, SCHEMA_HEADER) == Settled.SCHEMA:
        with contextlib.suppress(ValidationError):
            return Settled.model_validate_json(record.value)
    try:
        return decode(SETTLED, record.value, record.headers).record
    except DecodeError as error:
        log.error("a marker at offset %d can't be read: %s", record.offset, error.message)  # noqa: TRY400
        return None


def _key(request_id: str, revision: int) -> bytes:
    return hashlib.blake2b(f"{request_id}\x1f{revision}".encode(), digest_size=_KEY_BYTES).digest()


def _cancelled(request_id: str, revision: int) -> bytes:
    return _key(f"{request_id}\x1fcancelled", revision)


def _short(digest: str) -> bytes:
    return hashlib.blake2b(digest.encode(), digest_size=_DIGEST_BYTES).digest()

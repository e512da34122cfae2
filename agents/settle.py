"""outcomes -> results. Publishes exactly one result for each (request, revision), whatever fails around it.

Each partition has one owner at a time, and the order of its steps is what makes this safe:

(a) fence: initialise the partition's transactional producer, which cuts off a former owner that still lives
    and ends its open transaction;
(b) remember: wait until all markers of the partition are known, and how far the latest one says that all is settled;
(c) settle: write unseen results and their markers in one transaction, then commit the source offset.

A crash between the two halves of (c) delivers outcomes again that (b) recognises: a marker says of which outcome it is,
so it does not matter how far back that lies. A copy of the request is recognised by the markers of a window before it,
counted from the moment at which the copy came in and not from now.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from aiokafka import ConsumerRebalanceListener, TopicPartition

from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.group_consumer import commit_progress, group_consumer, places_of
from streams.kafka.publisher import Output, Publisher, RecordTooLargeError, trace_of
from streams.kafka.topic_reader import RawRecord
from streams.runtime.failed_records import FailedRecord
from streams.runtime.outcomes import without_answer
from streams.runtime.settled_requests import SettledRequests
from streams.runtime.stage import Received
from streams.telemetry import OFF, Telemetry
from streams.telemetry.progress import PartitionName, Place
from topics.base import from_millis
from topics.codec import DecodeError, decode
from topics.events import Hop, Hops, Status, StatusEvent, StatusKind
from topics.registry import HOPS, OUTCOMES, RESULTS, SETTLED, STATUS
from topics.results import Outcome, Result, ResultError, ResultStatus, Settled

if TYPE_CHECKING:
    from streams.telemetry.tracing import StepSpan

log = logging.getLogger(__name__)

STAGE = "settle"
_BATCH = 500
"""Outcomes in a transaction at the most, and read at a time."""
_BATCH_BYTES = 8 * 1024 * 1024
_POLL_MS = 1_000
_WRONG = frozenset({ResultStatus.FAILED, ResultStatus.EXPIRED})
"""What a trace shows as an error; a rejection is a right answer to a wrong request."""
_TRANSACTIONS = 2
"""Under way at a time: with one, a quiet process would wait for the broker; with one for each partition, a busy one
would open a transaction for nearly every result."""


class PartitionOwner:
    """Settles one partition; made anew each time that the partition is assigned."""

    def __init__(
        self,
        settings: Settings,
        tp: TopicPartition,
        settled: SettledRequests,
        clock: Clock,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._tp = tp
        self._settled = settled
        self._clock = clock
        self._stack = AsyncExitStack()
        self._done_before = 0
        self._spans: list[StepSpan] = []
        """Of the results that are about to leave; what does not leave has none."""
        transactional_id = f"{settings.group(STAGE)}-{tp.partition}"
        self._publisher = Publisher(settings.kafka, transactional_id=transactional_id)

    async def open(self) -> None:
        """Fence and remember."""
        await self._stack.enter_async_context(self._publisher)
        await self._settled.catch_up(self._tp.partition)
        self._done_before = await self._settled.settled_up_to(self._tp.partition)
        log.info("partition %d: settled up to outcome %d", self._tp.partition, self._done_before)

    async def close(self) -> None:
        """Let the producer go."""
        await self._stack.aclose()

    async def settle(self, records: Sequence[RawRecord]) -> None:
        """Publish the results of these outcomes that have none yet, all in one transaction.

        Raises:
            ProducerFenced: Somebody else owns the partition now; nothing was published.
            DeliveryError: The broker did not take the results; nothing was published.
        """
        outputs: list[Output] = []
        fresh: list[tuple[Settled, int]] = []
        self._spans.clear()
        for record in records:
            if record.offset >= self._done_before:
                outputs.extend(await self._outputs_of(record, fresh))
        if not outputs:
            return
        async with self._publisher.producer.transaction():
            await self._publisher.publish(outputs)
        for marker, decided_ms in fresh:
            self._settled.add(marker, decided_ms)
        for span in self._spans:
            span.end()
        self._count(outputs)

    def _count(self, outputs: Iterable[Output]) -> None:
        if (metrics := self._telemetry.metrics) is None:
            return
        for output in outputs:
            if isinstance(result := output.record, Result):
                metrics.result_published(result.status, result.tier, result.latency_ms)

    async def _outputs_of(self, record: RawRecord, fresh: list[tuple[Settled, int]]) -> Iterable[Output]:
        try:
            outcome = decode(OUTCOMES, record.value, record.headers).record
        except DecodeError as error:
            return self._failed(record).undecodable(error)
        asked_ms = outcome.source.timestamp_ms
        identity = (outcome.request_id, outcome.revision, asked_ms)
        await self._settled.cover(self._tp.partition, asked_ms)
        same_batch = [marker for marker, _ in fresh if self._is_copy(outcome, marker)]
        if not same_batch and not self._settled.knows(*identity):
            marker = Settled(
                request_id=outcome.request_id,
                revision=outcome.revision,
                digest=outcome.digest,
                asked_ms=asked_ms,
                outcome_offset=record.offset,
            )
            fresh.append((marker, record.timestamp))
            return self._fitting(outcome, marker, record)
        in_vain = self._settled.paid_in_vain(STAGE, outcome.request_id, outcome.revision, outcome.route)
        if any(marker.digest == outcome.digest for marker in same_batch):
            return in_vain
        return [*self._settled.resent(*identity, outcome.digest, outcome.tier), *in_vain]

    def _is_copy(self, outcome: Outcome, marker: Settled) -> bool:
        """Whether an outcome is of a copy of the request that is being settled with this marker."""
        if (outcome.request_id, outcome.revision) != (marker.request_id, marker.revision):
            return False
        apart_ms = abs(outcome.source.timestamp_ms - (marker.asked_ms or 0))
        return apart_ms <= self._settings.delivery.dedup_window_s * 1000

    def _fitting(self, outcome: Outcome, marker: Settled, record: RawRecord) -> list[Output]:
        """Make the result; one that its topic does not take is a dead letter, and says so instead of the answer."""
        outputs = self._settling(outcome, marker, record)
        try:
            self._publisher.check_sizes(outputs)
        except RecordTooLargeError as error:
            problem = ResultError(code="too_large", message=str(error))
            bare = without_answer(outcome, ResultStatus.FAILED, problem)
            letters = self._failed(record).undecodable(DecodeError("too_large", str(error), outcome.request_id))
            return [*letters, *self._settling(bare, marker, record)]
        return outputs

    def _failed(self, record: RawRecord) -> FailedRecord:
        """Make of a record a dead letter alone: what ends a request is what is settled here."""
        kept_bytes = self._settings.kafka.kept_bytes
        received = Received.of(record, self._tp)
        return FailedRecord(STAGE, received, self._clock(), ends_requests=False, kept_bytes=kept_bytes)

    def _settling(self, outcome: Outcome, marker: Settled, record: RawRecord) -> list[Output]:
        """Make the result of an outcome, and what goes with it."""
        decided_ms, now = record.timestamp, self._clock()
        trace = self._begin_span(outcome, trace_of(record.headers))
        result = Result.of(outcome, now)
        hop = Hop(
            stage=STAGE,
            started_at=from_millis(decided_ms),
            ended_at=max(now, from_millis(decided_ms)),
            queue_ms=0.0,
            outcome=outcome.status,
            tier=outcome.tier,
            attempt_id=outcome.attempt_id,
        )
        event = StatusEvent(kind=StatusKind.SETTLED, at=now, tier=outcome.tier, detail=outcome.status)
        return [
            Output(RESULTS, result, trace),
            Output(SETTLED, marker, trace),
            Output(STATUS, Status(request_id=outcome.request_id, revision=outcome.revision, events=(event,)), trace),
            Output(
                HOPS, Hops(request_id=outcome.request_id, revision=outcome.revision, hops=(*outcome.hops, hop)), trace
            ),
        ]

    def _begin_span(self, outcome: Outcome, trace: bytes | None) -> bytes | None:
        """Begin the span of a result, where spans are wanted; return what the records carry."""
        if (tracing := self._telemetry.tracing) is None:
            return trace
        span = tracing.sending(STAGE, RESULTS.full_name(self._settings.kafka.prefix), parent=trace)
        span.note_request(outcome.request_id)
        span.note_outcome(outcome.status, outcome.status if outcome.status in _WRONG else None)
        self._spans.append(span)
        return span.traceparent


class Settle(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """The consumer of `llm.outcomes`: an owner for each partition that the group gives to this process.

    One reader hands out what comes, and few transactions are under way at a time: the busier the process, the more
    results each of them holds, and a process with time to spare settles each result as it comes.
    """

    is_resting: Final = False

    def __init__(self, settings: Settings, settled: SettledRequests, clock: Clock, telemetry: Telemetry = OFF) -> None:
        self._settings = settings
        self._settled = settled
        self._clock = clock
        self._telemetry = telemetry
        self._consumer: Any = None
        self._topic = OUTCOMES.full_name(settings.kafka.prefix)
        self._owned: dict[TopicPartition, _Owned] = {}
        self._turns = asyncio.Semaphore(_TRANSACTIONS)
        self._has_room = asyncio.Event()
        self._assigned = asyncio.Event()
        self._closing = False
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Settle until `stop` is set; any delivery or fencing error ends it by that exception."""
        kafka = self._settings.kafka
        self._consumer = group_consumer(self._settings, STAGE, max_partition_fetch_bytes=kafka.record_max_bytes)
        self._consumer.subscribe([self._topic], listener=self)
        await self._consumer.start()
        stopping, reading = asyncio.create_task(stop.wait()), asyncio.create_task(self._read())
        reading.add_done_callback(self._note_failure)
        ends: list[asyncio.Future[Any]] = [stopping, self._failure]
        try:
            while not any(end.done() for end in ends):
                await asyncio.wait(ends, timeout=kafka.commit_interval_s, return_when=asyncio.FIRST_COMPLETED)
                if self._assigned.is_set():
                    on_ready()
                await self._commit()
        finally:
            stopping.cancel()
            reading.cancel()
            # A rebalance may still come in between; an owner that it starts would outlive us.
            self._closing = True
            await self._let_go(list(self._owned))
            await self._consumer.stop()
        if self._failure.done():
            self._failure.result()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish the transactions in work and commit, then let the partitions go."""
        await self._let_go(list(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start an owner for each partition."""
        for tp in () if self._closing else assigned:
            owned = self._owned[tp] = _Owned()
            owned.task = asyncio.create_task(self._own(tp, owned))
            owned.task.add_done_callback(self._note_failure)
        self._has_room.set()
        self._assigned.set()

    def places(self) -> Mapping[PartitionName, Place]:
        """Say how far the partitions are that are ours, by what is committed."""

        def done(tp: TopicPartition) -> int | None:
            owned = self._owned.get(tp)
            return None if owned is None else owned.committed or owned.first

        return {} if self._consumer is None else places_of(self._consumer, done)

    async def _read(self) -> None:
        """Hand the outcomes to the owners of their partitions, as far as these have room."""
        while True:
            self._has_room.clear()
            wanted = [tp for tp, owned in self._owned.items() if owned.has_room]
            if not wanted:
                await self._has_room.wait()
                continue
            # In a rebalance this waits for the new assignment, whatever its timeout, and nobody waits for this.
            found = await self._consumer.getmany(*wanted, timeout_ms=_POLL_MS, max_records=_BATCH)
            for tp, records in found.items():
                # What came of a partition that was revoked meanwhile is its next owner's.
                if tp in self._owned and tp in wanted:
                    self._owned[tp].take_in(records)

    async def _own(self, tp: TopicPartition, owned: "_Owned") -> None:
        owner = PartitionOwner(self._settings, tp, self._settled, self._clock, self._telemetry)
        try:
            await owner.open()
            while await owned.is_wanted():
                async with self._turns:
                    records = owned.hand_out()
                    self._has_room.set()
                    await owner.settle(records)
                    owned.position = records[-1].offset + 1
        finally:
            await owner.close()

    async def _let_go(self, tps: list[TopicPartition]) -> None:
        """Stop the owners of these partitions; a rebalance and our own end may both ask for the same one."""
        leaving = {tp: self._owned[tp] for tp in tps if tp in self._owned}
        for owned in leaving.values():
            owned.stop()
        await asyncio.gather(*(owned.task for owned in leaving.values() if owned.task), return_exceptions=True)
        await self._commit()
        for tp, owned in leaving.items():
            if self._owned.get(tp) is owned:
                del self._owned[tp]

    async def _commit(self) -> None:
        await commit_progress(self._consumer, self._owned, "the next owner recognises what is settled")

    def _note_failure(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(error)


class _Owned:
    """A partition of ours: who settles it, what waits for that, and how far it is."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.position = 0
        """The next offset to settle; 0 before anything was."""
        self.committed = 0
        self.first: int | None = None
        """The offset of the first record that came; None before one did."""
        self._waiting: list[RawRecord] = []
        self._bytes = 0
        self._changed = asyncio.Event()
        self._stopped = False

    @property
    def has_room(self) -> bool:
        """Whether more may be read."""
        return len(self._waiting) < _BATCH and self._bytes < _BATCH_BYTES and not self._stopped

    def take_in(self, records: Sequence[RawRecord]) -> None:
        """Keep what was read until it is settled."""
        if self.first is None:
            self.first = records[0].offset
        self._waiting.extend(records)
        self._bytes += _bytes_of(records)
        self._changed.set()

    async def is_wanted(self) -> bool:
        """Wait until something is to be settled, or nothing ever will: what waits then is the next owner's."""
        while not self._waiting and not self._stopped:
            self._changed.clear()
            await self._changed.wait()
        return not self._stopped

    def hand_out(self) -> Sequence[RawRecord]:
        """Return what waits, as much of it as a transaction takes."""
        batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        self._bytes -= _bytes_of(batch)
        return batch

    def stop(self) -> None:
        """Have the owner end after the transaction that is under way."""
        self._stopped = True
        self._changed.set()


def _bytes_of(records: Sequence[RawRecord]) -> int:
    return sum(len(record.value or b"") for record in records)

"""parked -> tier tasks or answers. Lets a task rest while no provider is to be had, then sends it back to its tier.

An answer on a critical path that no judge was to be had for rests as well, and goes back to its judges; at the deadline
too, for it is there, and goes out without a verdict then.

A record rests for `attempts.parked_s` from its append, or until the deadline of its request, which then ends. What was
read is held in memory within limits; the rest waits in Kafka. An offset is committed when all before it have left and
their outputs are acknowledged, so a crash delivers some again: infer finds their calls in the journal.

A task may rest for half an hour while others come and go. Where it stands it would keep the offsets of all that left
behind it from being committed, and with enough of its kind those further on from being read. So one that is in the way
moves to the end of its partition: its new record is acknowledged first, then the old one is let go, and a crash between
leaves two copies, of which infer and settle let one count. The new record says since when the task rests. None moves
more often than every few rests, so what that writes is bounded by what may be held.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition

from streams.admission import Gate
from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.group_consumer import commit_progress, group_consumer, places_of
from streams.kafka.publisher import Delivered, Output, Publisher, RecordTooLargeError, trace_of
from streams.runtime.failed_records import FailedRecord
from streams.runtime.hold import Held, Hold
from streams.runtime.outcomes import given_up
from streams.runtime.settled_requests import SettledRequests
from streams.runtime.stage import Received
from streams.telemetry import OFF, Telemetry
from streams.telemetry.log_context import note_work
from streams.telemetry.progress import PartitionName, Place
from streams.validation.judges import judges_of
from topics.base import from_millis
from topics.codec import DecodeError
from topics.events import Hop
from topics.registry import PARKED, VALIDATION, tier_tasks
from topics.results import ResultStatus
from topics.tasks import Answer, Parked, TierTask

log = logging.getLogger(__name__)

STAGE = "parked"
_AT_ONCE = 100
"""Records that are decoded, or leave, without a pause: the other stages of the process have their turn in between."""
_STAYS = 5
"""Rests that a task stays in its place at least, however much it is in the way."""
_POLL_S = 1.0
_IDLE_SLACK_S = 300.0


class Parking(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """The consumer of `llm.parked`.

    Args:
        settings: The rest, and the tiers.
        publisher: Of the process.
        gate: Of the process. While it lets nothing through to any tier that a task may reach, the task goes on
            resting: in a long outage thousands of tasks would otherwise go round and round.
        settled: What has its result; tasks of such requests are dropped.
        clock: Current moment.
        monotonic: Monotonic seconds.
        telemetry: Of the process.
    """

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        gate: Gate,
        settled: SettledRequests,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._telemetry = telemetry
        self._settings = settings
        self._gate = gate
        self._publisher = publisher
        self._settled = settled
        self._clock = clock
        self._monotonic = monotonic
        self._topic = PARKED.full_name(settings.kafka.prefix)
        self._holds: dict[TopicPartition, Hold] = {}
        self._consumer: Any = None
        self._publishing = asyncio.Lock()
        self._assigned = asyncio.Event()

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Send tasks back until `stop` is set; what is held then stays for the next owner.

        Raises:
            DeliveryError: The broker did not take an output; its record stays uncommitted.
        """
        # Nothing is read while all partitions hold as much as they may.
        idle_s = self._settings.attempts.parked_s + _IDLE_SLACK_S
        self._consumer = group_consumer(self._settings, STAGE, max_poll_interval_ms=int(idle_s * 1000))
        self._consumer.subscribe([self._topic], listener=self)
        await self._consumer.start()
        stopping = asyncio.create_task(stop.wait())
        holding = asyncio.create_task(self._hold())
        ends: list[asyncio.Task[Any]] = [stopping, holding]
        try:
            while not any(end.done() for end in ends):
                timeout = self._settings.kafka.commit_interval_s
                await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if self._assigned.is_set():
                    on_ready()
                await self._commit()
            # What is being published is waited for, so that it need not be published again.
            async with self._publishing:
                holding.cancel()
            await self._commit()
        finally:
            for end in ends:
                end.cancel()
            await asyncio.wait(ends)
            await self._consumer.stop()
        if not holding.cancelled():
            holding.result()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - all go at once
        """Finish what is being published and commit, then forget what is held: its next owner reads it again."""
        async with self._publishing:
            await self._commit()
            self._holds.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Hold the records of these partitions."""
        for tp in assigned:
            self._holds.setdefault(tp, Hold())
        self._assigned.set()

    def places(self) -> Mapping[PartitionName, Place]:
        """Say how far the partitions are that are ours, by what is committed."""

        def done(tp: TopicPartition) -> int | None:
            hold = self._holds.get(tp)
            return None if hold is None else hold.committed or hold.first

        return {} if self._consumer is None else places_of(self._consumer, done)

    @property
    def is_resting(self) -> bool:
        """Whether no task that is held is to leave by now."""
        now = self._monotonic()
        return all(hold.next_wake > now for hold in self._holds.values())

    @property
    def held(self) -> int:
        """Number of tasks in memory."""
        return sum(map(len, self._holds.values()))

    async def _hold(self) -> None:
        while True:
            await self._fill()
            await self._release()

    async def _fill(self) -> None:
        """Read what there is room for, until a record has to leave."""
        next_wake = min((hold.next_wake for hold in self._holds.values()), default=math.inf)
        wait_s = min(max(next_wake - self._monotonic(), 0.0), _POLL_S)
        wanted = [tp for tp, hold in self._holds.items() if hold.has_room]
        if not wanted:
            await asyncio.sleep(wait_s)
            return
        # Awaited here and not in a task of its own: what comes of it is held before a rebalance can begin.
        found = await self._consumer.getmany(*wanted, timeout_ms=math.ceil(wait_s * 1000), max_records=_AT_ONCE)
        for tp, records in found.items():
            # aiokafka delivers from an assignment before it tells of it.
            hold = self._holds.setdefault(tp, Hold())
            for record in records:
                hold.add(self._seen(Received.of(record, tp)))

    def _seen(self, received: Received) -> Held:
        parked_s = self._settings.attempts.parked_s
        return Held.of(received, parked_s=parked_s, monotonic=self._monotonic(), now=self._clock())

    async def _release(self) -> None:
        """Publish what comes of the records that are to leave now, all together."""
        async with self._publishing:
            now = self._monotonic()
            most = max(_AT_ONCE // max(len(self._holds), 1), 1)
            leaving = [(hold, self._take(hold, now, most)) for hold in self._holds.values() if hold.next_wake <= now]
            published = await asyncio.gather(*(self._publish(held, now) for _, taken in leaving for held in taken))
            if not published:
                return
            for hold, taken in leaving:
                hold.let_go(taken)

    def _take(self, hold: Hold, now: float, most: int) -> list[Held]:
        """Take what leaves now; what would only come back rests once more, at the end where it is in the way."""
        leaving: list[Held] = []
        parked_s = self._settings.attempts.parked_s
        for held in hold.take(now, most):
            has_stayed = now - held.seen >= _STAYS * parked_s
            if self._rests_on(held, now) and not (has_stayed and hold.is_in_the_way(held)):
                hold.put_back(held, min(now + parked_s, held.expires))
            else:
                leaving.append(held)
        return leaving

    def _rests_on(self, held: Held, now: float) -> bool:
        if now >= held.expires or not isinstance(held.content, Parked):
            return False
        return not self._is_awaited(held.content) and not self._is_cancelled(held.content.task)

    def _is_cancelled(self, task: TierTask) -> bool:
        return self._settled.is_cancelled(task.request.request_id, task.revision, task.source.timestamp_ms)

    def _is_awaited(self, parked: Parked) -> bool:
        """Whether a judge, or a tier that the task may reach, lets calls through, as far as this process knows."""
        task = parked.task
        if parked.completion is not None:
            judges = judges_of(self._settings, parked.completion, task.request.context.data_class)
            return not judges or self._gate.is_open_to_any(judges)
        ceiling = min(task.decision.ceiling, self._settings.top_tier)
        reachable = range(home_tier(task), ceiling + 1)
        # A task of a tier that is no more has nothing to wait for.
        return not reachable or any(map(self._gate.is_open_to, reachable))

    async def _publish(self, held: Held, monotonic: float) -> list[Delivered]:
        """Publish what becomes of a record, within a span where spans are wanted."""
        received, tracing = held.received, self._telemetry.tracing
        trace, request_id = trace_of(received.headers), held.task.request.request_id if held.task else None
        note_work(STAGE, request_id, trace)
        if tracing is None:
            return await self._publish_end(held, monotonic, trace)
        place = (received.topic, received.partition, received.offset)
        with tracing.processing(STAGE, *place, group=self._settings.group(STAGE), parent=trace) as span:
            if request_id is not None:
                span.note_request(request_id)
            return await self._publish_end(held, monotonic, span.traceparent)

    async def _publish_end(self, held: Held, monotonic: float, trace: bytes | None) -> list[Delivered]:
        """Publish what becomes of a record; where a topic does not take that, the end of its request."""
        received, at = held.received, self._clock()
        if held.task is not None and await self._settled.has_result(held.task, received.partition):
            return await self._publisher.publish(self._settled.dropped(held.task, STAGE), trace=trace)
        failed = FailedRecord(STAGE, received, at, kept_bytes=self._settings.kafka.kept_bytes)
        try:
            return await self._publisher.publish(self._outputs(held, failed, monotonic, at), trace=trace)
        except RecordTooLargeError as error:
            if isinstance(held.content, DecodeError):
                raise
            return await self._publisher.publish(failed.raised(held.content, error), trace=trace)

    def _outputs(self, held: Held, failed: FailedRecord, monotonic: float, at: datetime) -> list[Output]:
        if isinstance(held.content, Parked) and self._rests_on(held, monotonic):
            return [Output(PARKED, held.content.model_copy(update={"since_ms": held.since_ms}))]
        return outputs_of(held, failed, has_expired=monotonic >= held.expires, tiers=self._settings.top_tier, at=at)

    async def _commit(self) -> None:
        await commit_progress(self._consumer, self._holds, "some tasks go back to their tier once more")


def outputs_of(held: Held, failed: FailedRecord, *, has_expired: bool, tiers: int, at: datetime) -> list[Output]:
    """Say what becomes of a record that leaves: back to its tier, or the end of its request.

    Args:
        held: The record.
        failed: What becomes of it where it can't be read, or raises.
        has_expired: Whether the deadline of its request has passed.
        tiers: How many tiers there are.
        at: The current moment.
    """
    parked = held.content
    if isinstance(parked, DecodeError):
        return failed.undecodable(parked)
    task = parked.task
    goes_back = not has_expired or parked.completion is not None
    try:
        hop = Hop(
            stage=STAGE,
            started_at=at,
            ended_at=at,
            queue_ms=max(round((at - from_millis(held.since_ms)).total_seconds() * 1000, 3), 0.0),
            outcome="returned" if goes_back else "expired",
            tier=home_tier(task),
            detail=parked.reason,
        )
        stepped = parked.model_copy(update={"task": task.after(hop)})
        return [_back(stepped, tiers) if goes_back else _expired(stepped)]
    except Exception as error:  # noqa: BLE001 - one record must not block a partition for ever
        log.error("%s: a record raised %s at %s", STAGE, type(error).__name__, held.received.source)  # noqa: TRY400 - the letter has the traceback
        return failed.raised(parked, error)


def home_tier(task: TierTask) -> int:
    """Return the tier that a task belongs to: the one that it left only for want of a provider."""
    return task.promoted_from or task.tier


def _back(parked: Parked, tiers: int) -> Output:
    if parked.completion is not None:
        return Output(VALIDATION, Answer(task=parked.task, completion=parked.completion))
    tier = home_tier(parked.task)
    if tier > tiers:
        raise ValueError(f"there is no tier {tier}")
    why = f"back from parking: {parked.reason}"
    task = parked.task.model_copy(update={"tier": tier, "promoted_from": None, "why": why})
    return Output(tier_tasks(tier), task)


def _expired(parked: Parked) -> Output:
    message = f"the deadline passed before a provider was to be had: {parked.reason}"
    task = parked.task
    return given_up(STAGE, task, task.attempts, ResultStatus.EXPIRED, "deadline", message)

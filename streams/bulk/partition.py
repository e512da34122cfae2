"""One partition of the tasks that wait for batches: who waits, and the submissions that are under way."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from aiokafka import TopicPartition

from streams.bulk.departure import Confirm
from streams.bulk.member_calls import why_not
from streams.bulk.member_tasks import MemberTask
from streams.bulk.returns import Returns
from streams.bulk.submission_log import SubmissionLog, SubmissionState
from streams.bulk.submission_run import SubmissionRun
from streams.bulk.waiting import CallKey, Waiter, WaitingTasks, call_of
from streams.kafka.lease import PartitionLostError
from streams.kafka.publisher import Output
from streams.kafka.topic_reader import TopicReader
from streams.runtime.engine import Engine
from streams.runtime.failed_records import FailedRecord
from streams.runtime.stage import Received
from topics.bulk import BulkTask, Submission
from topics.codec import DecodeError, decode
from topics.partitioning import partition_for
from topics.registry import BULK, SUBMISSIONS

log = logging.getLogger(__name__)

_MAX_BYTES: Final = 48 * 1024 * 1024
"""Of the tasks of a submission, and so about of its lines, which are in memory until they have left."""


@dataclass(slots=True, eq=False)
class _Run:
    state: SubmissionState
    run: SubmissionRun
    task: "asyncio.Task[None]"


class BulkPartition:
    """Serves the tasks of a partition, as long as it is ours.

    Args:
        engine: Of the process.
        tp: The partition.
        stage: The name of the stage.
        confirm: Makes sure that it is still ours; raises `PartitionLostError`.
        monotonic: Seconds of a clock that only goes forward.
        reader: Of committed records; None: one of the cluster that the settings name.
    """

    def __init__(
        self,
        engine: Engine,
        tp: TopicPartition,
        stage: str,
        confirm: Confirm,
        monotonic: Callable[[], float] = time.monotonic,
        reader: TopicReader | None = None,
    ) -> None:
        self._engine = engine
        self._tp = tp
        self._stage = stage
        self._confirm = confirm
        self._monotonic = monotonic
        self._reader = reader or TopicReader(engine.settings.kafka)
        self._returns = Returns(engine, stage)
        self._log = SubmissionLog()
        self._log_end = 0
        self._waiting = WaitingTasks(engine.settings.bulk)
        self._runs: dict[str, _Run] = {}
        self._under_way: dict[CallKey, int] = {}
        """When the request of each call under way came in, ms since the epoch."""
        self._next = 0
        self.committed = 0

    @property
    def position(self) -> int:
        """The offset up to which no task waits; 0 before anything was read."""
        first = self._waiting.first_offset
        return self._next if first is None else first

    @property
    def waiting(self) -> int:
        """How many tasks wait until they leave."""
        return len(self._waiting)

    @property
    def submissions(self) -> int:
        """How many submissions are under way."""
        return len(self._runs)

    async def load(self) -> None:
        """Learn what was submitted, and go on with what has not ended.

        Raises:
            aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        """
        for state in await self._read_log():
            if state.ended is None:
                self._begin(state, is_new=False)

    async def take(self, records: Sequence[Received]) -> None:
        """Have tasks wait that came behind all others; copies of what is here are dropped.

        Raises:
            DeliveryError: The broker did not take a record.
        """
        for received in records:
            if not self._log.has(self._tp.partition, received.offset):
                await self._take(received)
            # Not before: a submission that makes sure of its partition meanwhile commits up to here.
            self._next = received.offset + 1

    async def look(self) -> None:
        """Submit what has waited long enough, and see how the submissions do.

        Raises:
            DeliveryError: A submission could not be seen through.
            aiokafka.errors.KafkaError: The same.
        """
        # Whoever has lost the partition, or may have while the group comes together anew, is told so by the group.
        with contextlib.suppress(PartitionLostError):
            for one in list(self._runs.values()):
                if one.task.done():
                    self._end(one)
            for waiters in self._waiting.due(self._monotonic(), _MAX_BYTES):
                await self._plan(waiters)

    async def leave(self) -> None:
        """Stop; what is under way stays as it is, for the next owner."""
        runs = list(self._runs.values())
        self._runs.clear()
        await asyncio.gather(*(one.run.leave() for one in runs))
        for one in runs:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in runs), return_exceptions=True)

    async def _take(self, received: Received) -> None:
        try:
            bulk = decode(BULK, received.value, received.headers).record
        except DecodeError as error:
            failed = FailedRecord(
                self._stage, received, self._engine.clock(), kept_bytes=self._engine.settings.kafka.kept_bytes
            )
            await self._engine.publisher.publish(failed.undecodable(error))
            return
        waiter = Waiter.of(bulk, received.offset, len(received.value or b""), self._monotonic())
        if self._waiting.has(waiter.call) or self._is_copy(waiter):
            identity = (bulk.task.request.request_id, bulk.task.revision)
            paid = self._engine.settled.paid_in_vain(self._stage, *identity, bulk.task.attempts)
            await self._engine.publisher.publish(paid)
        elif (why := self._why_not(bulk)) is not None:
            await self._returns.send([MemberTask(waiter.member, bulk, received)], why)
        else:
            self._waiting.add(waiter)

    def _is_copy(self, waiter: Waiter) -> bool:
        """Whether the same call of the same request is under way: an id may be used anew after the window."""
        asked_ms = self._under_way.get(waiter.call)
        window_ms = self._engine.settings.delivery.dedup_window_s * 1000
        return asked_ms is not None and abs(waiter.member.asked_ms - asked_ms) <= window_ms

    def _why_not(self, bulk: BulkTask) -> str | None:
        """Say why a task does not wait; None where it does."""
        if self._returns.is_over(bulk.task):
            return "nobody waits for it any more"
        if not self._engine.settings.bulk.has_time(bulk.task.deadline, self._engine.clock()):
            return "it has no time to wait"
        if self._engine.caller.batches_of(bulk.provider) is None:
            return f"{bulk.provider} has no batches"
        return why_not(bulk, self._engine.settings)

    async def _plan(self, waiters: Sequence[Waiter]) -> None:
        """Write a submission down, and see through whatever the log says then: somebody else may have been first."""
        await self._confirm()
        submission = self._submission(waiters)
        [place] = await self._engine.publisher.publish([Output(SUBMISSIONS, submission)])
        found = await self._read_log(place.offset + 1)
        self._waiting.remove([one for one in self._waiting if any(state.has(one.member.offset) for state in found)])
        for state in found:
            if state.ended is None:
                self._begin(state, is_new=state.submission.submission_id == submission.submission_id)

    def _submission(self, waiters: Sequence[Waiter]) -> Submission:
        first, settings, now = waiters[0], self._engine.settings, self._engine.clock()
        return Submission(
            submission_id=_id_in(self._tp.partition, settings.kafka.partitions),
            stage=first.stage,
            provider=first.provider,
            model=first.model,
            members=tuple(waiter.member for waiter in waiters),
            at=now,
            gives_up_at=min(waiter.deadline for waiter in waiters) - timedelta(seconds=settings.bulk.reserve_s),
        )

    def _begin(self, state: SubmissionState, *, is_new: bool) -> None:
        submission = state.submission
        self._under_way |= {call_of(member, submission.stage): member.asked_ms for member in submission.members}
        run = SubmissionRun(self._engine, state, self._tp, self._reader, self._returns, self._confirm, is_new=is_new)
        self._runs[submission.submission_id] = _Run(state, run, asyncio.create_task(run.run()))

    def _end(self, one: _Run) -> None:
        submission = one.state.submission
        del self._runs[submission.submission_id]
        for member in one.run.members:
            self._under_way.pop(call_of(member, submission.stage), None)
        one.task.result()

    async def _read_log(self, until_offset: int | None = None) -> list[SubmissionState]:
        """Read on; return the submissions that count, of those that were not known."""
        tp = TopicPartition(SUBMISSIONS.full_name(self._engine.settings.kafka.prefix), self._tp.partition)
        known = {state.submission.submission_id for state in self._log.states()}
        async for record in self._reader.read(tp, since_offset=self._log_end, until_offset=until_offset):
            self._log.note(record)
            self._log_end = record.offset + 1
        return [state for state in self._log.states() if state.submission.submission_id not in known]


def _id_in(partition: int, partitions: int) -> str:
    """Make an id that lies in a partition."""
    while partition_for(name := f"sub_{uuid4().hex}", partitions) != partition:
        pass
    return name

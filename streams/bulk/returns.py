"""Tasks that go on: back to their tier, which finds in the journal what came of waiting, or nowhere."""

import logging
from collections.abc import Sequence

from aiokafka import TopicPartition

from streams.bulk.member_calls import ref_of
from streams.bulk.member_tasks import MemberTask
from streams.calls.paid_calls import attempt_of
from streams.kafka.publisher import Output, RecordTooLargeError
from streams.runtime.engine import Engine
from streams.runtime.failed_records import FailedRecord
from streams.runtime.outcomes import unserved
from topics.base import from_millis
from topics.bulk import Member
from topics.events import Hop
from topics.registry import tier_tasks
from topics.results import ResultStatus
from topics.tasks import Source, TierTask, Waited

log = logging.getLogger(__name__)


class Returns:
    """Sends tasks of a stage on.

    Args:
        engine: Of the process.
        stage: Its name.
    """

    def __init__(self, engine: Engine, stage: str) -> None:
        self._engine = engine
        self._stage = stage

    def is_over(self, task: TierTask) -> bool:
        """Whether nobody waits for an answer any more: the request was cancelled, or its deadline has passed."""
        identity = (task.request.request_id, task.revision, task.source.timestamp_ms)
        return self._engine.clock() >= task.deadline or self._engine.settled.is_cancelled(*identity)

    async def has_result(self, one: MemberTask) -> bool:
        """Whether the request has its result: a copy of the task was answered elsewhere."""
        return await self._engine.settled.has_result(one.task, one.received.partition)

    async def send(self, ones: Sequence[MemberTask], why: str) -> None:
        """Send tasks back to their tier; what has its result by now is dropped.

        Args:
            ones: The tasks; the ends of their calls, where they have one, are in the journal.
            why: For their hops and routes.

        Raises:
            DeliveryError: The broker did not take a record.
        """
        outputs = [output for one in ones for output in await self._outputs(one, why)]
        await self._engine.publisher.publish(outputs)

    async def fail(self, members: Sequence[Member], tp: TopicPartition) -> None:
        """End requests whose task is not there any more.

        Args:
            members: What is known of them.
            tp: Where their tasks were.

        Raises:
            DeliveryError: The broker did not take a record.
        """
        log.error("%d tasks of %s can't be read any more; their requests have failed", len(members), tp.topic)
        ends = [
            unserved(
                self._stage,
                member.request_id,
                Source(topic=tp.topic, partition=tp.partition, offset=member.offset, timestamp_ms=member.asked_ms),
                revision=member.revision,
                digest="",
                status=ResultStatus.FAILED,
                code="internal",
                message="it was lost while it waited for a batch of the provider",
            )
            for member in members
        ]
        await self._engine.publisher.publish(ends)

    async def _outputs(self, one: MemberTask, why: str) -> list[Output]:
        task = one.task
        if await self.has_result(one):
            return [
                _traced(output, one) for output in self._engine.settled.dropped(await self._with_call(one), self._stage)
            ]
        now, ended_at = self._engine.clock(), self._engine.attempts.end_offset(ref_of(one))
        hop = Hop(
            stage=self._stage,
            started_at=now,
            ended_at=now,
            queue_ms=max(round((now - from_millis(one.received.timestamp)).total_seconds() * 1000, 3), 0.0),
            outcome="returned" if ended_at is None else "answered",
            tier=task.tier,
            detail=why,
        )
        waited = Waited(tier=task.tier, ended_at=ended_at)
        back = Output(tier_tasks(task.tier), task.after(hop).model_copy(update={"waited": waited}), one.trace)
        try:
            self._engine.publisher.check_sizes([back])
        except RecordTooLargeError as error:
            kept_bytes = self._engine.settings.kafka.kept_bytes
            failed = FailedRecord(self._stage, one.received, now, kept_bytes=kept_bytes)
            return failed.raised(one.bulk, RecordTooLargeError(str(error), await self._with_call(one)))
        return [back]

    async def _with_call(self, one: MemberTask) -> TierTask:
        """Return the task with the call that it waited for, where that was made."""
        ended = await self._engine.attempts.first_end(ref_of(one))
        if ended is None:
            return one.task
        outcome = "ok" if ended.error is None else ended.error.kind
        attempts = (*one.task.attempts, attempt_of(ended, one.task.why, outcome))
        return one.task.model_copy(update={"attempts": attempts})


def _traced(output: Output, one: MemberTask) -> Output:
    return Output(output.topic, output.record, one.trace)

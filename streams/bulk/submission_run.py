"""One submission from the writing of its lines until all of its tasks have gone on.

It may be begun by one process and gone on with by another. What must not happen twice is that the batch is submitted:
before it is, the submission stands in the log, and so does the provider's id behind it. In between lies the only moment
at which a death leaves a doubt, and then the provider is asked, not told.
"""

import logging
from contextlib import aclosing
from typing import Final, Literal

from aiokafka import TopicPartition

from streams.bulk.departure import Confirm, Departure, NotTakenError
from streams.bulk.member_tasks import MemberTask
from streams.bulk.returns import Returns
from streams.bulk.submission_log import SubmissionState
from streams.bulk.submission_tasks import SubmissionTasks
from streams.kafka.publisher import Output
from streams.kafka.topic_reader import TopicReader
from streams.providers.base import ErrorKind, ProviderError
from streams.providers.batches import BatchProgress, LineEnd
from streams.runtime.engine import Engine
from topics.bulk import SubmissionEnded
from topics.registry import SUBMISSIONS

log = logging.getLogger(__name__)

_NOT_FOUND: Final = 404


class SubmissionRun:
    """Sees a submission through.

    Args:
        engine: Of the process.
        state: Of the submission, kept up to date.
        tp: Where its tasks are.
        reader: Of committed records.
        returns: Sends tasks back.
        confirm: Makes sure that the partition is still ours; raises `PartitionLostError`.
        is_new: Whether this process has written it just now, so that nobody can have submitted it.

    Attributes:
        members: Its calls.
    """

    def __init__(
        self,
        engine: Engine,
        state: SubmissionState,
        tp: TopicPartition,
        reader: TopicReader,
        returns: Returns,
        confirm: Confirm,
        *,
        is_new: bool,
    ) -> None:
        self._engine = engine
        self._state = state
        self._submission = state.submission
        self.members = state.submission.members
        self._tasks = SubmissionTasks(engine, state.submission, tp, reader, returns)
        self._departure = Departure(engine, state, self._tasks, returns, confirm, is_new=is_new)

    async def run(self) -> None:
        """Submit it unless that was done, wait for its end, and send its tasks on.

        Raises:
            PartitionLostError: Somebody else sees it through.
            DeliveryError: The broker did not take a record.
            aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        """
        provider = self._submission.provider
        await self._tasks.know()
        if self._engine.caller.batches_of(provider) is None:
            await self._give_up(f"{provider} has no batches any more, by the settings")
            return
        try:
            batch_id = await self._departure.batch_id()
        except NotTakenError as error:
            await self._give_back(str(error), None)
            return
        progress = await self._until_ended(batch_id)
        if progress is None:
            await self._give_up(f"{provider} does not know the batch {batch_id} any more")
        elif progress.refusal is not None:
            await self._give_back(f"{provider} took none of it: {progress.refusal}", batch_id)
        else:
            await self._collect(batch_id)

    async def leave(self) -> None:
        """Let a batch that is on the wire arrive, so that nobody has to look for it."""
        await self._departure.leave()

    async def _until_ended(self, batch_id: str) -> BatchProgress | None:
        """Wait until the provider has ended the batch; None where it does not know it.

        Once the first of its deadlines is near, and where nobody waits for any of it, it is called off.
        """
        batches = self._tasks.batches
        while True:
            await self._tasks.release()
            try:
                progress = await batches.progress(batch_id)
                if progress.has_ended:
                    return progress
                if self._tasks.are_overdue or self._tasks.are_released:
                    await batches.cancel(batch_id)
            except ProviderError as error:
                if error.status == _NOT_FOUND:
                    return None
                log.warning("how far %s is can't be told: %s", batch_id, error)
            await self._tasks.rest()

    async def _collect(self, batch_id: str) -> None:
        """Journal how each call came out, and send its task on."""
        ends = await self._line_ends(batch_id)
        gone = ProviderError(ErrorKind.BATCH_ENDED, f"{self._submission.provider} says nothing of it")

        def end_of(one: MemberTask) -> LineEnd:
            custom_id = self._tasks.calls.custom_id(one.member)
            return ends.get(custom_id) or LineEnd(custom_id, None, gone)

        await self._tasks.go_on(end_of, batch_id)
        await self._end("collected", sum(end.body is not None for end in ends.values()), None)

    async def _line_ends(self, batch_id: str) -> dict[str, LineEnd]:
        while True:
            try:
                async with aclosing(self._tasks.batches.line_ends(batch_id)) as ends:
                    return {end.custom_id: end async for end in ends}
            except ProviderError as error:
                log.warning("what came of %s can't be read: %s", batch_id, error)
                if error.status == _NOT_FOUND:
                    return {}
            await self._tasks.release()
            await self._tasks.rest()

    async def _give_back(self, why: str, batch_id: str | None) -> None:
        await self._tasks.go_back(why, batch_id)
        await self._end("refused", 0, why)

    async def _give_up(self, why: str) -> None:
        await self._tasks.go_unanswered(why)
        await self._end("lost", 0, why)

    async def _end(self, status: Literal["collected", "refused", "lost"], answered: int, detail: str | None) -> None:
        record = SubmissionEnded(
            submission_id=self._submission.submission_id,
            status=status,
            answered=answered,
            detail=detail,
            at=self._engine.clock(),
        )
        await self._engine.publisher.publish([Output(SUBMISSIONS, record)])
        self._state.ended = record
        log.info("%s has ended: %s, %d answers", record.submission_id, status, answered)

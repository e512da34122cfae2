"""The tasks of one submission: which of them wait for its batch, and how they go on."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import timedelta
from typing import Final

from aiokafka import TopicPartition

from streams.bulk.member_calls import MemberCalls
from streams.bulk.member_tasks import MemberTask, member_tasks
from streams.bulk.returns import Returns
from streams.kafka.topic_reader import TopicReader
from streams.providers.base import ErrorKind, ProviderError
from streams.providers.batches import LineEnd, ProviderBatches
from streams.runtime.engine import Engine
from topics.bulk import Member, Submission

NOBODY: Final = "nobody waits for it any more"
_LOOKS_AT_THE_END: Final = 10
"""How often a provider is asked at least between the calling off of a batch and its first deadline."""


class SubmissionTasks:
    """Knows who waits, and sends tasks on.

    Args:
        engine: Of the process.
        submission: With its members.
        tp: Where the tasks are.
        reader: Of committed records.
        returns: Sends tasks back.

    Attributes:
        calls: Of the submission.
        waiting: Those whose task waits for the batch; who submits it knows which of them have a line in it.
    """

    def __init__(
        self, engine: Engine, submission: Submission, tp: TopicPartition, reader: TopicReader, returns: Returns
    ) -> None:
        self._engine = engine
        self._submission = submission
        self._settings = engine.settings.bulk
        self._tp = tp
        self._reader = reader
        self._returns = returns
        self.calls = MemberCalls(engine, submission)
        self.waiting: Sequence[Member] = submission.members
        self._seen_cancellations = -1
        self._released: set[int] = set()
        """Offsets of tasks that did not wait for the end of the batch."""

    @property
    def batches(self) -> ProviderBatches:
        """The provider's batches.

        Raises:
            LookupError: The provider has none, by the settings.
        """
        batches = self._engine.caller.batches_of(self._submission.provider)
        if batches is None:
            raise LookupError(f"{self._submission.provider} has no batches")
        return batches

    @property
    def are_overdue(self) -> bool:
        """Whether the first deadline is so near that what is not answered has to be asked elsewhere."""
        return self._engine.clock() >= self._submission.gives_up_at

    @property
    def are_released(self) -> bool:
        """Whether no task waits for the batch any more."""
        return all(member.offset in self._released for member in self.waiting)

    async def rest(self) -> None:
        """Wait until the provider is asked again."""
        left_s = (self._submission.gives_up_at - self._engine.clock()).total_seconds()
        end_s = left_s if left_s > 0 else self._settings.reserve_s / _LOOKS_AT_THE_END
        await self._engine.sleep(min(self._settings.poll_s, end_s))

    async def know(self) -> None:
        """Have all known that may be on record of the calls and their requests, however old these are.

        Raises:
            DeliveryError: It can't be read.
        """
        oldest_ms = min(member.asked_ms for member in self._submission.members)
        await self._engine.settled.cover(self._tp.partition, oldest_ms)
        await self.calls.catch_up(self._tp.partition)

    def read(self, members: Sequence[Member]) -> AbstractAsyncContextManager[AsyncGenerator[list[MemberTask], None]]:
        """Read tasks, some at a time."""
        return aclosing(member_tasks(self._reader, self._tp, members))

    async def release(self) -> None:
        """Let tasks go that have nothing to wait for: they were cancelled, or their deadline has passed.

        Raises:
            DeliveryError: The broker did not take a record.
        """
        settled = self._engine.settled
        are_late = self._engine.clock() >= self._submission.gives_up_at + timedelta(seconds=self._settings.reserve_s)
        seen, self._seen_cancellations = self._seen_cancellations, settled.cancellations
        if seen == settled.cancellations and not are_late:
            return
        waiting = [member for member in self.waiting if member.offset not in self._released]
        if not are_late:
            waiting = [m for m in waiting if settled.is_cancelled(m.request_id, m.revision, m.asked_ms)]
        async with self.read(waiting) as tasks:
            async for some in tasks:
                over = [one for one in some if self._returns.is_over(one.task)]
                await self._returns.send(over, NOBODY)
                self._released.update(one.member.offset for one in over)

    async def go_on(self, end_of: Callable[[MemberTask], LineEnd], batch_id: str | None) -> None:
        """Journal how the calls came out that have no end yet, and send their tasks on.

        Args:
            end_of: Says how a call came out.
            batch_id: The provider's id of the batch; None: it took none.

        Raises:
            DeliveryError: The broker did not take a record.
        """
        await self.calls.catch_up(self._tp.partition)
        read: set[int] = set()
        why = f"back from a batch of {self._submission.provider}/{self._submission.model}"
        async with self.read(self.waiting) as tasks:
            async for some in tasks:
                # What was not begun went back before anything was submitted.
                begun = [one for one in some if self.calls.has_begun(one)]
                fresh = [(one, end_of(one)) for one in begun if not self.calls.has_ended(one)]
                await self.calls.end(fresh, self.batches.read, batch_id)
                await self._returns.send(begun, why)
                read.update(one.member.offset for one in some)
        await self._fail_but(read)

    async def go_back(self, why: str, batch_id: str | None = None) -> None:
        """Send all tasks back, for the provider took none of them."""
        error = ProviderError(ErrorKind.BATCH_ENDED, why)
        await self.go_on(lambda one: LineEnd(self.calls.custom_id(one.member), None, error), batch_id)

    async def go_unanswered(self, why: str) -> None:
        """Send all tasks back though their calls may be billed: of these the journal has no end."""
        read: set[int] = set()
        async with self.read(self.waiting) as tasks:
            async for some in tasks:
                await self._returns.send(some, why)
                read.update(one.member.offset for one in some)
        await self._fail_but(read)

    async def _fail_but(self, read: set[int]) -> None:
        """End the requests of tasks that can't be read any more: nothing else would."""
        lost = [member for member in self.waiting if member.offset not in read]
        if lost:
            await self._returns.fail(lost, self._tp)

    async def leave_out(self, one: MemberTask, error: ProviderError, *, ends: bool) -> None:
        """Send a task back that has no line in the batch.

        Args:
            one: The task.
            error: Why.
            ends: Whether its call was begun and has ended with that: else it would be looked for in the batch.

        Raises:
            DeliveryError: The broker did not take a record.
        """
        if ends:
            end = LineEnd(self.calls.custom_id(one.member), None, error)
            await self.calls.end([(one, end)], self.batches.read, None)
        await self._returns.send([one], str(error))

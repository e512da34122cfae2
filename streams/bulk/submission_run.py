"""One submission from the writing of its lines until all of its tasks have gone on.

It may be begun by one process and gone on with by another. What must not happen twice is that the batch is submitted:
before it is, the submission stands in the log, and so does the provider's id behind it. In between lies the only moment
at which a death leaves a doubt, and then the provider is asked, not told.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import timedelta
from typing import Final, Literal

from aiokafka import TopicPartition

from streams.budgets.budgets import BudgetRefusedError
from streams.bulk.member_calls import MemberCalls, why_not
from streams.bulk.member_tasks import MemberTask, member_tasks
from streams.bulk.returns import Returns
from streams.bulk.submission_log import SubmissionState
from streams.kafka.publisher import Output
from streams.kafka.topic_reader import TopicReader
from streams.providers.base import ErrorKind, ProviderError, is_transient
from streams.providers.batches import BatchProgress, LineEnd, ProviderBatches, UndecidedError, may_have_arrived
from streams.runtime.engine import Engine
from topics.bulk import Member, SubmissionEnded, Submitted
from topics.registry import SUBMISSIONS

log = logging.getLogger(__name__)

_NOT_FOUND: Final = 404
_LOOKS_AT_THE_END: Final = 10
"""How often a provider is asked at least between the calling off of a batch and its first deadline."""
_NOBODY: Final = "nobody waits for it any more"

Confirm = Callable[[], Awaitable[None]]
_Tasks = AbstractAsyncContextManager[AsyncGenerator[list[MemberTask], None]]


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
        self.members: Sequence[Member] = state.submission.members
        self._settings = engine.settings.bulk
        self._tp = tp
        self._reader = reader
        self._returns = returns
        self._confirm = confirm
        self._is_new = is_new
        self._waiting: Sequence[Member] = self.members
        """Those whose task waits for the batch; who submits it knows which of them have a line in it."""
        self._calls = MemberCalls(engine, self._submission)
        self._submitting: asyncio.Task[str] | None = None
        self._seen_cancellations = -1
        self._released: set[int] = set()
        """Offsets of tasks that did not wait for the end of the batch."""

    async def run(self) -> None:
        """Submit it unless that was done, wait for its end, and send its tasks on.

        Raises:
            PartitionLostError: Somebody else sees it through.
            DeliveryError: The broker did not take a record.
            aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        """
        oldest_ms = min(member.asked_ms for member in self.members)
        await self._engine.settled.cover(self._tp.partition, oldest_ms)
        provider = self._submission.provider
        if self._engine.caller.batches_of(provider) is None:
            await self._give_up(f"{provider} has no batches any more, by the settings")
            return
        submitted = self._state.submitted
        if submitted is not None:
            batch_id: str | None = submitted.batch_id
        else:
            batch_id = await self._submit()
        if batch_id is None:
            return
        progress = await self._until_ended(batch_id)
        if progress is None:
            await self._give_up(f"{provider} does not know the batch {batch_id} any more")
        elif progress.refusal is not None:
            await self._give_back(f"{provider} took none of it: {progress.refusal}", batch_id)
        else:
            await self._collect(batch_id)

    @property
    def _batches(self) -> ProviderBatches:
        """The provider's batches.

        Raises:
            LookupError: The provider has none, by the settings.
        """
        batches = self._engine.caller.batches_of(self._submission.provider)
        if batches is None:
            raise LookupError(f"{self._submission.provider} has no batches")
        return batches

    async def leave(self) -> None:
        """Let a submission that is on the wire arrive, so that nobody has to look for it."""
        if self._submitting is not None:
            await asyncio.wait([self._submitting], timeout=self._engine.settings.delivery.drain_timeout_s)
            self._submitting.cancel()

    async def _submit(self) -> str | None:
        """Have the provider take the batch; return its id, None where it took none and the tasks have gone back."""
        if not self._is_new and (left := await self._open_calls()) and (found := await self._look_up(left)) is not None:
            return found
        lines = await self._lines()
        if not lines:
            await self._end("refused", 0, "none of its calls was to be made any more")
            return None
        while True:
            await self._confirm()
            self._submitting = asyncio.create_task(self._send(list(lines.values())))
            try:
                return await asyncio.shield(self._submitting)
            except ProviderError as error:
                log.warning("%s was not submitted: %s", self._submission.submission_id, error)
                if may_have_arrived(error) and (found := await self._look_up(list(lines))) is not None:
                    return found
                if self._is_overdue or not _may_pass(error):
                    await self._give_back(str(error))
                    return None
            await self._engine.sleep(self._pause_s())

    async def _send(self, lines: Sequence[bytes]) -> str:
        batch_id = await self._batches.submit(self._submission.submission_id, lines)
        await self._note_submitted(batch_id, found=False)
        return batch_id

    async def _note_submitted(self, batch_id: str, *, found: bool) -> None:
        record = Submitted(
            submission_id=self._submission.submission_id, batch_id=batch_id, at=self._engine.clock(), found=found
        )
        await self._engine.publisher.publish([Output(SUBMISSIONS, record)])
        log.info("%s was %s as %s", record.submission_id, "found" if found else "submitted", batch_id)
        self._state.submitted = record

    async def _open_calls(self) -> list[str]:
        """Name the calls that have a line in the batch, if another process has submitted it."""
        await self._calls.catch_up(self._tp.partition)
        async with self._tasks(self._waiting) as tasks:
            open_ones = [one async for some in tasks for one in some if self._calls.is_open(one)]
        return [self._calls.custom_id(one.member) for one in open_ones]

    async def _look_up(self, custom_ids: Sequence[str]) -> str | None:
        """Look whether the batch of these calls has arrived; None where it has not, and will not any more.

        What is on the wire of a process that died arrives within a moment or never.
        """
        certain_from = self._engine.clock() + timedelta(seconds=self._settings.doubt_s)
        while True:
            looked_at, pause_s = self._engine.clock(), self._settings.poll_s
            try:
                found = await self._batches.find(self._submission.submission_id, custom_ids, self._submission.at)
            except (UndecidedError, ProviderError) as error:
                log.warning("whether %s was submitted is not known yet: %s", self._submission.submission_id, error)
            else:
                if found is not None:
                    await self._note_submitted(found, found=True)
                    return found
                if looked_at >= certain_from:
                    return None
                pause_s = min(pause_s, (certain_from - looked_at).total_seconds())
            await self._release()
            await self._engine.sleep(pause_s)

    async def _lines(self) -> dict[str, bytes]:
        """Write the lines of all calls that are to be made, by their names, and journal that they are about to leave.

        Tasks whose call is not to be made go back before anything is submitted.
        """
        lines: dict[str, bytes] = {}
        await self._calls.catch_up(self._tp.partition)
        async with self._tasks(self._waiting) as tasks:
            async for some in tasks:
                leaving: list[MemberTask] = []
                for one in some:
                    if (why := await self._why_not(one)) is None:
                        leaving.append(one)
                    else:
                        await self._leave_out(one, why)
                await self._calls.begin(leaving)
                for one in leaving:
                    if (line := await self._line(one)) is not None:
                        lines[self._calls.custom_id(one.member)] = line
        self._waiting = [member for member in self._waiting if self._calls.custom_id(member) in lines]
        return lines

    async def _leave_out(self, one: MemberTask, why: str) -> None:
        """Send a task back whose call is not to be made; what another process has begun of it did not leave."""
        if not self._is_new and self._calls.is_open(one):
            await self._end_unsent(one, ProviderError(ErrorKind.BATCH_ENDED, why))
        await self._returns.send([one], why)

    async def _end_unsent(self, one: MemberTask, error: ProviderError) -> None:
        """Journal the end of a call that was begun and is not in the batch, or it would be looked for there."""
        await self._calls.end(
            [(one, LineEnd(self._calls.custom_id(one.member), None, error))], self._batches.read, None
        )

    async def _why_not(self, one: MemberTask) -> str | None:
        """Say why a call is not to be made; None where it is. Room is held for it in its budgets then."""
        if self._calls.has_ended(one):
            return "its call has ended"
        if self._is_new and self._calls.has_begun(one):
            return "its call is under way elsewhere"
        if self._returns.is_over(one.task) or await self._returns.has_result(one):
            return _NOBODY
        if (why := why_not(one.bulk, self._engine.settings)) is not None:
            return why
        try:
            await self._calls.hold(one)
        except BudgetRefusedError as refused:
            return str(refused)
        return None

    async def _line(self, one: MemberTask) -> bytes | None:
        """Write the line of a call; one that can't be expressed has ended with that."""
        try:
            return await self._batches.write_line(self._calls.custom_id(one.member), self._calls.chat_call(one))
        except ProviderError as error:
            await self._end_unsent(one, error)
            await self._returns.send([one], str(error))
            return None

    async def _until_ended(self, batch_id: str) -> BatchProgress | None:
        """Wait until the provider has ended the batch; None where it does not know it.

        Once the first of its deadlines is near, and where nobody waits for any of it, it is called off.
        """
        while True:
            await self._release()
            try:
                progress = await self._batches.progress(batch_id)
                if progress.has_ended:
                    return progress
                if self._is_overdue or all(member.offset in self._released for member in self._waiting):
                    await self._batches.cancel(batch_id)
            except ProviderError as error:
                if error.status == _NOT_FOUND:
                    return None
                log.warning("how far %s is can't be told: %s", batch_id, error)
            await self._engine.sleep(self._pause_s())

    def _pause_s(self) -> float:
        left_s = (self._submission.gives_up_at - self._engine.clock()).total_seconds()
        return min(self._settings.poll_s, left_s if left_s > 0 else self._settings.reserve_s / _LOOKS_AT_THE_END)

    @property
    def _is_overdue(self) -> bool:
        return self._engine.clock() >= self._submission.gives_up_at

    async def _release(self) -> None:
        """Let tasks go that have nothing to wait for: they were cancelled, or their deadline has passed."""
        settled = self._engine.settled
        are_late = self._engine.clock() >= self._submission.gives_up_at + timedelta(seconds=self._settings.reserve_s)
        seen, self._seen_cancellations = self._seen_cancellations, settled.cancellations
        if seen == settled.cancellations and not are_late:
            return
        waiting = [member for member in self._waiting if member.offset not in self._released]
        if not are_late:
            waiting = [m for m in waiting if settled.is_cancelled(m.request_id, m.revision, m.asked_ms)]
        async with self._tasks(waiting) as tasks:
            async for some in tasks:
                over = [one for one in some if self._returns.is_over(one.task)]
                await self._returns.send(over, _NOBODY)
                self._released.update(one.member.offset for one in over)

    async def _collect(self, batch_id: str) -> None:
        """Journal how each call came out, and send its task on."""
        ends = await self._line_ends(batch_id)
        gone = ProviderError(ErrorKind.BATCH_ENDED, f"{self._submission.provider} says nothing of it")

        def end_of(one: MemberTask) -> LineEnd:
            custom_id = self._calls.custom_id(one.member)
            return ends.get(custom_id) or LineEnd(custom_id, None, gone)

        await self._go_on(end_of, batch_id)
        answered = sum(end.body is not None for end in ends.values())
        await self._end("collected", answered, None)

    async def _line_ends(self, batch_id: str) -> dict[str, LineEnd]:
        while True:
            try:
                async with aclosing(self._batches.line_ends(batch_id)) as ends:
                    return {end.custom_id: end async for end in ends}
            except ProviderError as error:
                log.warning("what came of %s can't be read: %s", batch_id, error)
                if error.status == _NOT_FOUND:
                    return {}
            await self._engine.sleep(self._settings.poll_s)

    async def _give_back(self, why: str, batch_id: str | None = None) -> None:
        """Send all tasks back, for the provider took none of them."""
        error = ProviderError(ErrorKind.BATCH_ENDED, why)
        await self._go_on(lambda one: LineEnd(self._calls.custom_id(one.member), None, error), batch_id)
        await self._end("refused", 0, why)

    async def _give_up(self, why: str) -> None:
        """Send all tasks back, though their calls may be billed: the journal has no end of them."""
        async with self._tasks(self._waiting) as tasks:
            async for some in tasks:
                await self._returns.send(some, why)
        await self._end("lost", 0, why)

    async def _go_on(self, end_of: Callable[[MemberTask], LineEnd], batch_id: str | None) -> None:
        """Journal how the calls came out that have no end yet, and send their tasks on."""
        await self._calls.catch_up(self._tp.partition)
        why = f"back from a batch of {self._submission.provider}/{self._submission.model}"
        async with self._tasks(self._waiting) as tasks:
            async for some in tasks:
                # What was not begun went back before anything was submitted.
                begun = [one for one in some if self._calls.has_begun(one)]
                fresh = [(one, end_of(one)) for one in begun if not self._calls.has_ended(one)]
                await self._calls.end(fresh, self._batches.read, batch_id)
                await self._returns.send(begun, why)

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

    def _tasks(self, members: Sequence[Member]) -> _Tasks:
        return aclosing(member_tasks(self._reader, self._tp, members))


def _may_pass(error: ProviderError) -> bool:
    """Whether what keeps a provider from taking a batch tends to pass by itself."""
    return is_transient(error.kind) or may_have_arrived(error) or error.kind is ErrorKind.CONNECTION

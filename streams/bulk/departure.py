"""How the batch of a submission gets to its provider, once.

A batch is billed each time that it is submitted. So nothing leaves that the journal does not have; where it may have
left, the provider is asked for it by its name; and where it has not arrived, it is asked once more after a while.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from streams.budgets.budgets import BudgetRefusedError
from streams.bulk.member_calls import why_not
from streams.bulk.member_tasks import MemberTask
from streams.bulk.returns import Returns
from streams.bulk.submission_log import SubmissionState
from streams.bulk.submission_tasks import NOBODY, SubmissionTasks
from streams.kafka.publisher import Output
from streams.providers.base import ErrorKind, ProviderError, is_transient
from streams.providers.batches import UndecidedError, may_have_arrived
from streams.runtime.engine import Engine
from topics.bulk import Submitted
from topics.registry import SUBMISSIONS

log = logging.getLogger(__name__)

Confirm = Callable[[], Awaitable[None]]


class NotTakenError(Exception):
    """The provider has not taken the batch, and will not; the message says why."""


class Departure:
    """Submits a batch.

    Args:
        engine: Of the process.
        state: Of the submission, kept up to date.
        tasks: Of the submission.
        returns: Says whose answer nobody waits for.
        confirm: Makes sure that the partition is still ours; raises `PartitionLostError`.
        is_new: Whether this process has written the submission just now, so that nobody can have submitted it.
    """

    def __init__(
        self,
        engine: Engine,
        state: SubmissionState,
        tasks: SubmissionTasks,
        returns: Returns,
        confirm: Confirm,
        *,
        is_new: bool,
    ) -> None:
        self._engine = engine
        self._state = state
        self._submission = state.submission
        self._settings = engine.settings.bulk
        self._tasks = tasks
        self._calls = tasks.calls
        self._returns = returns
        self._confirm = confirm
        self._is_new = is_new
        self._submitting: asyncio.Task[str] | None = None

    async def batch_id(self) -> str:
        """Return the provider's id of the batch, which is submitted if it was not.

        Raises:
            NotTakenError: The provider did not take it; or nothing was left to submit.
            PartitionLostError: Somebody else sees the submission through.
            DeliveryError: The broker did not take a record.
        """
        if self._state.submitted is not None:
            return self._state.submitted.batch_id
        if not self._is_new and (left := await self._open_calls()) and (found := await self._look_up(left)) is not None:
            return found
        lines = await self._lines()
        if not lines:
            raise NotTakenError("none of its calls was to be made any more")
        while True:
            self._submitting = asyncio.create_task(self._send(list(lines.values())))
            try:
                return await asyncio.shield(self._submitting)
            except ProviderError as error:
                log.warning("%s was not submitted: %s", self._submission.submission_id, error)
                if may_have_arrived(error) and (found := await self._look_up(list(lines))) is not None:
                    return found
                await self._tasks.release()
                if self._tasks.are_overdue or self._tasks.are_released or not _may_pass(error):
                    raise NotTakenError(str(error)) from error
            await self._tasks.rest()

    async def leave(self) -> None:
        """Let what is on the wire arrive, so that nobody has to look for it."""
        if self._submitting is not None:
            await asyncio.wait([self._submitting], timeout=self._engine.settings.delivery.drain_timeout_s)
            self._submitting.cancel()

    async def _send(self, lines: Sequence[bytes]) -> str:
        batch_id = await self._tasks.batches.submit(self._submission.submission_id, lines, self._confirm)
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
        async with self._tasks.read(self._tasks.waiting) as tasks:
            open_ones = [one async for some in tasks for one in some if self._calls.is_open(one)]
        return [self._calls.custom_id(one.member) for one in open_ones]

    async def _look_up(self, custom_ids: Sequence[str]) -> str | None:
        """Look whether the batch of these calls has arrived; None where it has not, and will not any more.

        What is on the wire of a process that died arrives within a moment or never.
        """
        certain_from = self._engine.clock() + timedelta(seconds=self._settings.doubt_s)
        name = self._submission.submission_id
        while True:
            looked_at, pause_s = self._engine.clock(), self._settings.poll_s
            try:
                found = await self._tasks.batches.find(name, custom_ids, self._submission.at)
            except (UndecidedError, ProviderError) as error:
                log.warning("whether %s was submitted is not known yet: %s", name, error)
            else:
                if found is not None:
                    await self._note_submitted(found, found=True)
                    return found
                if looked_at >= certain_from:
                    return None
                pause_s = min(pause_s, (certain_from - looked_at).total_seconds())
            await self._tasks.release()
            await self._engine.sleep(pause_s)

    async def _lines(self) -> dict[str, bytes]:
        """Write the lines of all calls that are to be made, by their names, and journal that they are about to leave.

        Tasks whose call is not to be made go back before anything is submitted.
        """
        lines: dict[str, bytes] = {}
        async with self._tasks.read(self._tasks.waiting) as tasks:
            async for some in tasks:
                # Together, for each may wait for the word of its budgets.
                leave = await asyncio.gather(*map(self._is_to_leave, some))
                leaving = [one for one, leaves in zip(some, leave, strict=True) if leaves]
                await self._calls.begin(leaving)
                for one in leaving:
                    if (line := await self._line(one)) is not None:
                        lines[self._calls.custom_id(one.member)] = line
        self._tasks.waiting = [member for member in self._tasks.waiting if self._calls.custom_id(member) in lines]
        return lines

    async def _is_to_leave(self, one: MemberTask) -> bool:
        """Whether a call is to be made; else its task goes back. Room is held for it in its budgets then."""
        why = await self._why_not(one)
        if why is None:
            return True
        # What another process has begun of it did not leave.
        ends = not self._is_new and self._calls.is_open(one)
        await self._tasks.leave_out(one, ProviderError(ErrorKind.BATCH_ENDED, why), ends=ends)
        return False

    async def _why_not(self, one: MemberTask) -> str | None:
        if self._calls.has_ended(one):
            return "its call has ended"
        if self._is_new and self._calls.has_begun(one):
            return "its call is under way elsewhere"
        if self._returns.is_over(one.task) or await self._returns.has_result(one):
            return NOBODY
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
            return await self._tasks.batches.write_line(self._calls.custom_id(one.member), self._calls.chat_call(one))
        except ProviderError as error:
            await self._tasks.leave_out(one, error, ends=True)
            return None


def _may_pass(error: ProviderError) -> bool:
    """Whether what keeps a provider from taking a batch tends to pass by itself."""
    return is_transient(error.kind) or may_have_arrived(error) or error.kind is ErrorKind.CONNECTION

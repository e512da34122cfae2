"""The calls of a submission as the journal has them: begun before it leaves, ended once the provider has ended it."""

import logging
from collections.abc import Callable, Sequence
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from streams.budgets.plan import payer_of
from streams.bulk.member_tasks import MemberTask
from streams.calls.attempt_log import AttemptRef
from streams.calls.journal import Journal
from streams.calls.model_caller import CallResult, call_error, crash_of, unread
from streams.calls.model_words import encodable_reply
from streams.calls.paid_calls import answer_of
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.fallback.escalated_prompt import prompt_of
from streams.kafka.publisher import Output
from streams.providers.base import ChatCall, ChatReply
from streams.providers.batches import LineEnd
from streams.runtime.engine import Engine
from topics.bulk import BulkTask, Member, Submission
from topics.journal import CallEnded, CallStarted, Purpose, attempt_id
from topics.registry import CALLS

log = logging.getLogger(__name__)

_CALLS: Final = uuid5(NAMESPACE_URL, "tierstream:submission")

Read = Callable[[ChatCall, bytes], ChatReply]
"""Reads a response body, or raises `ProviderError`."""


class MemberCalls:
    """The calls of one submission.

    Args:
        engine: Of the process.
        submission: With its members.
    """

    def __init__(self, engine: Engine, submission: Submission) -> None:
        self._engine = engine
        self._submission = submission
        self._journal = Journal(engine.publisher, engine.attempts, engine.settings.kafka.partitions)

    async def catch_up(self, partition: int) -> None:
        """Return when all is known that the journal holds of the calls at this moment, however old their requests are.

        Args:
            partition: Of their tasks, which is also the journal's.
        """
        oldest = min(self._submission.members, key=lambda member: member.asked_ms)
        await self._engine.attempts.cover(member_ref(oldest, self._submission.stage, partition))
        await self._engine.attempts.catch_up([partition])

    def custom_id(self, member: Member) -> str:
        """Name a call in its batch: by the id that the journal has of it, which no call of another batch has."""
        return str(self._call_id(member))

    def has_begun(self, one: MemberTask) -> bool:
        """Whether the journal says that the call was about to leave."""
        return self._engine.attempts.first_start(ref_of(one)) is not None

    def has_ended(self, one: MemberTask) -> bool:
        """Whether the journal says how the call came out."""
        return self._engine.attempts.has_ended(ref_of(one))

    def is_open(self, one: MemberTask) -> bool:
        """Whether the journal says that the call was about to leave, and not how it came out."""
        return self.has_begun(one) and not self.has_ended(one)

    async def hold(self, one: MemberTask) -> None:
        """Have room for a call in its budgets until it has ended.

        Raises:
            BudgetRefusedError: There is none.
        """
        budgets, call = self._engine.budgets, self.chat_call(one)
        if budgets is None:
            return
        task, now = one.task, self._engine.clock()
        await budgets.hold(
            call.call_id,
            ref_of(one).attempt,
            task.request,
            purpose=Purpose.INFER,
            tier=task.tier,
            most_usd=self._engine.caller.most_cost(call.model, call.prompt, now, batch=True),
            # Thousands stand behind it, and where room is held for other calls each would wait.
            patience_s=0.0,
            call_s=max((task.deadline - now).total_seconds(), 0.0),
        )

    async def begin(self, members: Sequence[MemberTask]) -> None:
        """Journal that calls are about to leave; return when the broker has it.

        Raises:
            DeliveryError: None of them must leave.
        """
        await self._journal.started([self._start_of(one) for one in members])

    async def end(self, ends: Sequence[tuple[MemberTask, LineEnd]], read: Read, batch_id: str | None) -> None:
        """Journal how calls came out, and charge them to their budgets; return when the broker has it.

        Args:
            ends: The calls, each with what the provider said.
            read: Reads the provider's response to a call.
            batch_id: The provider's id of the batch; None: it took none.

        Raises:
            DeliveryError: Nothing derived from the calls may be published.
        """
        recorded = [self._recorded(one, self._result(one, end, read), batch_id) for one, end in ends]
        await self._journal.ended(recorded)
        if (budgets := self._engine.budgets) is not None:
            payers = [payer_of(one.task.request) for one, _ in ends]
            await budgets.spend(list(zip(recorded, payers, strict=True)))
        for call in recorded:
            self._engine.caller.note_ended([call], has_left=batch_id is not None)

    def _recorded(self, one: MemberTask, result: CallResult, batch_id: str | None) -> CallEnded:
        """Make the end of a call in any case: it was paid for, and one without an end would hide that."""
        try:
            ended = self._end_of(one, result, batch_id)
            self._engine.publisher.check_sizes([Output(CALLS, ended)])
        except Exception as failure:
            unrecorded = result.without(failure)
            if unrecorded is None:
                raise
            message = "an answer of %s could not be recorded: %s"
            log.error(message, self._submission.model, crash_of(failure))  # noqa: TRY400 - texts stay out of the log
            return self._recorded(one, unrecorded, batch_id)
        return ended

    def _result(self, one: MemberTask, end: LineEnd, read: Read) -> CallResult:
        """Read what the provider said of a call."""
        reply, error = None, end.error
        if end.body is not None:
            try:
                reply = encodable_reply(read(self.chat_call(one), end.body))
            except Exception as failure:  # noqa: BLE001 - it is paid for, whatever it is that we can't read
                error = unread(failure, f"{self._submission.provider}/{self._submission.model}")
        told = reply or error
        usage = None if told is None else told.usage
        now = max(self._engine.clock(), self._submission.at)
        return CallResult(self._submission.at, now, has_left=True, reply=reply, error=error, usage=usage)

    def _end_of(self, one: MemberTask, result: CallResult, batch_id: str | None) -> CallEnded:
        submission, reply = self._submission, result.reply
        rates, [(usage, cost)] = self._engine.caller.priced(
            result, submission.provider, submission.model, 1, batch=True
        )
        return self._start_of(one).end(
            started_at=result.sent_at,
            ended_at=result.ended_at,
            **({} if reply is None else answer_of(reply)),
            error=None if result.error is None else call_error(result.error),
            usage=usage,
            rates=rates,
            cost_usd=cost,
            provider_batch=batch_id,
        )

    def _start_of(self, one: MemberTask) -> CallStarted:
        """Make the start of a call; after a crash it is the same one."""
        submission, task = self._submission, one.task
        attempt = ref_of(one)
        return CallStarted(
            call_id=self._call_id(one.member),
            attempt_id=attempt.attempt,
            request_id=task.request.request_id,
            revision=task.revision,
            stage=submission.stage,
            n=one.member.n,
            purpose=Purpose.INFER,
            tier=task.tier,
            provider=submission.provider,
            model=submission.model,
            started_at=submission.at,
            asked_ms=attempt.asked_ms,
            deadline=task.deadline,
        )

    def chat_call(self, one: MemberTask) -> ChatCall:
        """Say what the model is asked; of one that has left its tier meanwhile, by no settings of its own."""
        bulk = one.bulk
        model = model_of(bulk, self._engine.settings) or ModelSettings(provider=bulk.provider, model=bulk.model)
        prompt = prompt_of(one.task, model, self._engine)
        return ChatCall(self._call_id(one.member), model, prompt, model.timeout_s)

    def _call_id(self, member: Member) -> UUID:
        return uuid5(_CALLS, f"{self._submission.submission_id}\x1f{member.offset}")


def ref_of(one: MemberTask) -> AttemptRef:
    """Name the attempt that the call of a task is."""
    return member_ref(one.member, one.bulk.stage, one.received.partition)


def member_ref(member: Member, stage: str, partition: int) -> AttemptRef:
    """Name the attempt that a call is.

    Args:
        member: Of a submission.
        stage: Whose call it is.
        partition: Of the submission, and so of the journal.
    """
    return AttemptRef(partition, attempt_id(member.request_id, member.revision, stage, member.n), member.asked_ms)


def model_of(bulk: BulkTask, settings: Settings) -> ModelSettings | None:
    """Return the model that a task waits for; None where it is in its tier no more."""
    tier = settings.tiers[bulk.task.tier - 1].models if bulk.task.tier <= settings.top_tier else ()
    return next((model for model in tier if (model.provider, model.model) == (bulk.provider, bulk.model)), None)


def why_not(bulk: BulkTask, settings: Settings) -> str | None:
    """Say why the call of a task is not to be made, by settings that are newer than the task; None where it is."""
    return None if model_of(bulk, settings) else f"{bulk.provider}/{bulk.model} is not in its tier any more"

"""Paid calls: journalled before and after, priced at the rates of their day, never paid twice for one attempt.

A call passes these gates in order: it is not in the journal yet; no identical call is about to give its answer; the
work is still ours; budgets have room for it; the provider can be called (breakers, limits, slots); the work is still
ours, and its batch is journalled; and, right before it leaves, the work is still ours and there is time left. Only then
anything is sent.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from streams.admission import Admission, UnavailableError
from streams.budgets.budgets import BudgetRefusedError, Budgets, Held
from streams.budgets.plan import payer_of
from streams.calls.attempt_log import AttemptRef
from streams.calls.batcher import Batch, Batcher
from streams.calls.chunk_writer import ChunkWriter
from streams.calls.coalescing import Follower, SharedCall, SharedCallCancelledError, SharedCalls, share_key
from streams.calls.journal import Journal
from streams.calls.model_caller import CallResult, ModelCaller, call_error, crash_of
from streams.calls.single_flight import SingleFlight
from streams.config.settings_sections import BatchingSettings, ModelSettings
from streams.kafka.clock import Clock
from streams.kafka.lease import Lease
from streams.kafka.publisher import DeliveryError, Output, Publisher
from streams.providers.base import ChatCall, ChatReply, ErrorKind, Prompt, ProviderError
from topics.budgets import Payer
from topics.journal import CallEnded, CallStarted, Purpose, attempt_id
from topics.messages import spoken
from topics.requests import Request
from topics.tasks import Attempt, TierTask

log = logging.getLogger(__name__)

_NOBODY: Final = Payer()


@dataclass(frozen=True, slots=True)
class PaidCall:
    """What is to be asked, for whom, and as which try."""

    task: TierTask
    stage: str
    n: int
    purpose: Purpose
    model: ModelSettings
    prompt: Prompt
    lease: Lease
    """On the partition of the task, which is also the journal's."""
    stream: bool = False
    """Whether the answer is published as it arrives."""
    announce: tuple[Output, ...] = ()
    """Published together with CallStarted, and only if the call is made."""
    target: str | None = None
    """Whose breaker and limits it has to pass; None: those of `provider/model`."""

    @property
    def attempt(self) -> AttemptRef:
        """The attempt: its id is the same after every restart."""
        return attempt_ref(self.task, self.stage, self.n, self.lease.partition)


def attempt_ref(task: TierTask, stage: str, n: int, partition: int) -> AttemptRef:
    """Name the n-th try of a stage to serve a task."""
    attempt = attempt_id(task.request.request_id, task.revision, stage, n)
    return AttemptRef(partition, attempt, task.source.timestamp_ms)


@dataclass(frozen=True, slots=True)
class _Member:
    """A request's part in a call."""

    started: CallStarted
    payer: Payer


_Shared = SharedCall[_Member, Sequence[CallEnded]]
_Follower = Follower[_Member, Sequence[CallEnded]]


@dataclass(frozen=True, slots=True)
class _Departure:
    """A call that is about to be journalled."""

    call: PaidCall
    started: CallStarted


class PaidCalls:
    """Makes the paid calls of one stage.

    Args:
        journal: The stage's own.
        caller: Makes the calls.
        publisher: Takes streamed answers.
        batching: When the calls leave.
        patience_s: How long a call waits for its turn at a provider.
        clock: Current moment.
        budgets: What may be spent; None: whatever it costs.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        caller: ModelCaller,
        publisher: Publisher,
        batching: BatchingSettings,
        patience_s: float,
        clock: Clock,
        budgets: Budgets | None = None,
    ) -> None:
        self._journal = journal
        self._caller = caller
        self._publisher = publisher
        self._batching = batching
        self._patience_s = patience_s
        self._clock = clock
        self._budgets = budgets
        self._attempts: SingleFlight[CallEnded] = SingleFlight()
        self._shared: SharedCalls[_Member, Sequence[CallEnded]] = SharedCalls()
        self._batcher: Batcher[_Departure] = Batcher(batching, self._journal_batch)

    async def make(self, call: PaidCall) -> CallEnded:
        """Return how the attempt ended: from the journal if it was made before, else by making it.

        A copy of a task that arrives while its call is on the wire waits for that call.

        Raises:
            UnavailableError: The model can't be called now; nothing was journalled.
            BudgetRefusedError: A budget has no room for the call; nothing was journalled.
            PartitionLostError: The call was not made, somebody else owns the task.
            DeliveryError: The journal could not be written.
        """
        return await self._attempts.run(call.attempt.attempt, call.lease, lambda: self._recall_or_pay(call))

    async def recall(self, attempt: AttemptRef, request: Request, *, behind: int | None = None) -> CallEnded | None:
        """Return how an attempt of a request ended, from the journal; None if it did not or is still on the wire.

        Args:
            attempt: Of the request.
            request: Whose budgets are charged.
            behind: An offset of the journal, in the attempt's partition, that has to be known first.
        """
        return await self._charged(await self._journal.recall(attempt, behind=behind), request)

    def is_open(self, attempt: AttemptRef) -> bool:
        """Whether an attempt that was recalled has been begun and not ended."""
        return self._journal.is_open(attempt)

    async def _charged(self, ended: CallEnded | None, request: Request) -> CallEnded | None:
        """Return what the journal has, charged to the budgets: who journalled it may have died before that."""
        if ended is not None and self._budgets is not None:
            await self._budgets.recall(ended, request)
        return ended

    async def _recall_or_pay(self, call: PaidCall) -> CallEnded:
        earlier = await self.recall(call.attempt, call.task.request)
        if earlier is not None:
            return earlier
        await call.lease.confirm()
        key = None
        if call.purpose is Purpose.INFER:
            key = share_key(call.task, call.model, call.prompt.messages, self._batching.shared_features)
        if key is None:
            return await self._pay(call, self._start_of(call, uuid4()), None)
        while (follower := self._join(key, call)) is not None:
            try:
                return await self._follow(call, follower)
            except SharedCallCancelledError:
                await call.lease.confirm()
            except BudgetRefusedError:
                if follower.leader.payer == self._payer(call):
                    raise
                await call.lease.confirm()
        started = self._start_of(call, uuid4())
        with self._shared.open(key, _Member(started, self._payer(call)), self._ends_at(call)) as shared:
            try:
                return await self._pay(call, started, shared)
            except (UnavailableError, BudgetRefusedError) as refused:
                # They want the same model, and one after the other would wait for it as long.
                shared.fail(refused)
                raise

    def _join(self, key: bytes, call: PaidCall) -> _Follower | None:
        """Follow the same call of another request; a part of it is not held room for, but needs some to be left."""
        if self._budgets is not None:
            self._budgets.check(call.task.request, purpose=call.purpose, tier=call.task.tier)
        return self._shared.join(key, call.task.deadline)

    async def _follow(self, call: PaidCall, follower: _Follower) -> CallEnded:
        """Take a part of a call that another request makes; both ask the same."""
        with follower:
            # Nothing is journalled for a call that may never leave.
            await follower.until_sent()
            await call.lease.confirm()
            started = self._start_of(call, follower.leader.started.call_id)
            was_open = self._journal.is_open(call.attempt)
            await self._journal.started([started], call.announce)
            if was_open and (earlier := await self._recall_anew(call)) is not None:
                return earlier
            follower.confirm(_Member(started, self._payer(call)))
            share = await follower.share()
            return share.result[share.index]

    async def _pay(self, call: PaidCall, started: CallStarted, shared: _Shared | None) -> CallEnded:
        held = await self._hold(call, started.call_id)
        try:
            ended = await self._pay_held(call, started, shared, held)
        except BaseException:
            self._let_go(held)
            raise
        if ended.call_id != started.call_id:
            self._let_go(held)
        return ended

    async def _pay_held(
        self, call: PaidCall, started: CallStarted, shared: _Shared | None, held: Held | None
    ) -> CallEnded:
        patience_s = self._patience(call)
        admitted = await self._caller.admit(call.model, call.prompt, patience_s=patience_s, target=call.target)
        with admitted as admission:
            was_open = self._journal.is_open(call.attempt)
            async with self._batcher.join(_Departure(call, started)) as batch:
                # Whatever another process ended before our start is in the journal by now; nobody ends it unseen.
                if was_open and (earlier := await self._recall_anew(call)) is not None:
                    return earlier
                result = await self._send(call, started.call_id, admission, shared, held)
        return await self._record(_Member(started, self._payer(call)), result, batch, shared)

    async def _hold(self, call: PaidCall, call_id: UUID) -> Held | None:
        """Have room for the call in its budgets: no provider's slot is held while it waits for somebody's money."""
        if self._budgets is None:
            return None
        self._caller.check(call.model, call.target)
        return await self._budgets.hold(
            call_id,
            call.attempt.attempt,
            call.task.request,
            purpose=call.purpose,
            tier=call.task.tier,
            most_usd=self._caller.most_cost(call.model, call.prompt, self._clock()),
            patience_s=self._patience(call),
            call_s=call.model.timeout_s,
        )

    def _let_go(self, held: Held | None) -> None:
        if held is not None and self._budgets is not None:
            self._budgets.let_go(held)

    async def _recall_anew(self, call: PaidCall) -> CallEnded | None:
        return await self._charged(await self._journal.recall_anew(call.attempt), call.task.request)

    async def _journal_batch(self, departures: Sequence[_Departure]) -> None:
        """Journal the calls of a batch that are still ours; the others find out before they leave."""
        ours = [departure for departure in departures if await departure.call.lease.still_holds()]
        if ours:
            announcements = [output for departure in ours for output in departure.call.announce]
            await self._journal.started([departure.started for departure in ours], announcements)

    async def _send(
        self, call: PaidCall, call_id: UUID, admission: Admission, shared: _Shared | None, held: Held | None
    ) -> CallResult:
        async def confirm() -> None:
            await call.lease.confirm()
            if held is not None and self._clock() > held.leaves_by:
                raise ProviderError(ErrorKind.TIMEOUT, "what a budget held for the call was given up before it left")

        return await self._caller.send(
            ChatCall(call_id, call.model, call.prompt, call.model.timeout_s),
            admission,
            ends_at=call.task.deadline,
            confirm=confirm,
            note_sent=shared.note_sent if shared is not None else None,
            chunks=self._chunk_writer(call, call_id) if call.stream else None,
        )

    async def _record(self, leader: _Member, result: CallResult, batch: Batch, shared: _Shared | None) -> CallEnded:
        """Journal how the call came out, for each request that shares it."""
        if shared is not None and not shared.is_sent:
            # Whoever waits for it has journalled nothing, and may do better.
            shared.fail(SharedCallCancelledError())
            shared = None
        members = await shared.close() if shared is not None else (leader,)
        ends = await self._journal_end([member.started for member in members], result, batch)
        if self._budgets is not None:
            # Only what the journal has was spent, or a crash in between would have spent what the ledger does not show.
            await self._budgets.spend([(end, member.payer) for end, member in zip(ends, members, strict=True)])
        if shared is not None:
            shared.finish(ends)
        self._caller.note_ended(ends, has_left=result.has_left)
        return ends[0]

    async def _journal_end(self, members: Sequence[CallStarted], result: CallResult, batch: Batch) -> list[CallEnded]:
        """Journal the end of a call in any case: it was paid for, and one without an end would hide that."""
        try:
            ends = self._ends(members, result, batch)
            await self._journal.ended(ends)
        except Exception as failure:
            unrecorded = result.without(failure)
            if unrecorded is None or isinstance(failure, DeliveryError):
                raise
            message = "an answer of %s could not be recorded: %s"
            log.error(message, members[0].model, crash_of(failure))  # noqa: TRY400 - texts stay out of the log
            return await self._journal_end(members, unrecorded, batch)
        return ends

    def _ends(self, members: Sequence[CallStarted], result: CallResult, batch: Batch) -> list[CallEnded]:
        """Make the end of the call for each request that shares it, with its part of tokens and cost."""
        reply, leader = result.reply, members[0]
        rates, parts = self._caller.priced(result, leader.provider, leader.model, len(members))
        return [
            member.end(
                started_at=result.sent_at,
                ended_at=result.ended_at,
                **({} if reply is None else answer_of(reply)),
                error=None if result.error is None else call_error(result.error),
                usage=usage,
                rates=rates,
                cost_usd=cost,
                shares=len(members),
                batch_size=batch.batch_size,
                batch_wait_ms=round(batch.wait_ms, 3),
            )
            for member, (usage, cost) in zip(members, parts, strict=True)
        ]

    def _start_of(self, call: PaidCall, call_id: UUID) -> CallStarted:
        return CallStarted(
            call_id=call_id,
            attempt_id=call.attempt.attempt,
            request_id=call.task.request.request_id,
            revision=call.task.revision,
            stage=call.stage,
            n=call.n,
            purpose=call.purpose,
            tier=call.task.tier,
            provider=call.model.provider,
            model=call.model.model,
            started_at=self._clock(),
            asked_ms=call.attempt.asked_ms,
            deadline=call.task.deadline,
        )

    def _payer(self, call: PaidCall) -> Payer:
        return _NOBODY if self._budgets is None else payer_of(call.task.request)

    def _chunk_writer(self, call: PaidCall, call_id: UUID) -> ChunkWriter:
        return ChunkWriter(
            self._publisher,
            request_id=call.task.request.request_id,
            revision=call.task.revision,
            attempt_id=call.attempt.attempt,
            call_id=call_id,
            clock=self._clock,
        )

    def _patience(self, call: PaidCall) -> float:
        remaining = (call.task.deadline - self._clock()).total_seconds()
        return max(min(self._patience_s, remaining), 0.0)

    def _ends_at(self, call: PaidCall) -> datetime:
        """When the call will have ended at the latest, its waiting included."""
        longest = call.model.timeout_s + self._patience_s + self._batching.max_wait_ms / 1000
        return min(self._clock() + timedelta(seconds=longest), call.task.deadline)


def answer_of(reply: ChatReply) -> dict[str, Any]:
    """Return what CallEnded has of an answer, by name."""
    return {
        **spoken(reply),
        "content": reply.content,
        "finish_reason": reply.finish_reason,
        "first_token_ms": reply.first_token_ms,
    }


def attempt_of(ended: CallEnded, why: str, outcome: str) -> Attempt:
    """Turn a finished call into a line of the route."""
    return Attempt(
        attempt_id=ended.attempt_id,
        stage=ended.stage,
        tier=ended.tier,
        provider=ended.provider,
        model=ended.model,
        why=why,
        outcome=outcome,
        cost_usd=ended.cost_usd,
        provider_ms=round(ended.provider_ms, 3),
    )

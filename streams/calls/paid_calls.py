"""Paid calls: journalled before and after, priced at the rates of their day, never paid twice for one attempt.

A call passes these gates in order: it is not in the journal yet; no identical call is about to give its answer; the
work is still ours; the provider can be called (breakers, limits, slots); the work is still ours, and its batch is
journalled; and, right before it leaves, the work is still ours and there is time left. Only then anything is sent.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from streams.admission import Admission, Gate, UnavailableError
from streams.calls.batcher import Batch, Batcher
from streams.calls.chunk_writer import ChunkWriter
from streams.calls.coalescing import Flight, FlightBook, FlightCancelledError, Seat, share_key, split
from streams.calls.journal import Journal
from streams.calls.pricing import PriceBook
from streams.config.settings_sections import BatchingSettings, ModelSettings
from streams.config.tokens import rough
from streams.kafka.clock import Clock
from streams.kafka.heartbeat import GroupHeartbeat
from streams.kafka.publisher import DeliveryError, Output, Publisher
from streams.providers.base import ChatCall, ChatReply, ErrorKind, Provider, ProviderError
from topics.journal import CallEnded, CallError, CallStarted, Purpose, Usage, attempt_id
from topics.requests import Message, Params
from topics.tasks import Attempt, TierTask

log = logging.getLogger(__name__)


class PartitionLostError(Exception):
    """The partition of a record belongs to another process by now; that process does the work."""


@dataclass(frozen=True, slots=True)
class PaidCall:
    """What is to be asked, for whom, and as which try."""

    task: TierTask
    partition: int
    stage: str
    n: int
    purpose: Purpose
    tier: int
    model: ModelSettings
    messages: tuple[Message, ...]
    params: Params
    response_schema: dict[str, object] | None
    is_current: Callable[[], bool]
    stream: bool = False
    """Whether the text is published as it arrives."""
    announce: tuple[Output, ...] = ()
    """Published together with CallStarted, and only if the call is made."""

    @property
    def attempt(self) -> UUID:
        """The attempt's id, the same after every restart."""
        return attempt_id(self.task.request.request_id, self.task.revision, self.stage, self.n)

    @property
    def asked_ms(self) -> int:
        """When the request came in, ms since the epoch."""
        return self.task.source.timestamp_ms


_Flight = Flight[CallStarted, Sequence[CallEnded]]


@dataclass(frozen=True, slots=True)
class _Departure:
    """A call that is about to be journalled."""

    call: PaidCall
    started: CallStarted


class PaidCalls:
    """Makes the paid calls of one stage.

    Args:
        journal: The stage's own.
        providers: By name.
        prices: Of all models.
        gate: Of the process.
        heartbeat: Of the stage's consumer group.
        publisher: Takes streamed text.
        batching: When the calls leave.
        patience_s: How long a call waits for its turn at a provider.
        clock: Current moment.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        providers: Mapping[str, Provider],
        prices: PriceBook,
        gate: Gate,
        heartbeat: GroupHeartbeat,
        publisher: Publisher,
        batching: BatchingSettings,
        patience_s: float,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._providers = providers
        self._prices = prices
        self._gate = gate
        self._heartbeat = heartbeat
        self._publisher = publisher
        self._batching = batching
        self._patience_s = patience_s
        self._clock = clock
        self._on_the_wire: dict[UUID, asyncio.Task[CallEnded]] = {}
        self._flights: FlightBook[CallStarted, Sequence[CallEnded]] = FlightBook()
        self._batcher: Batcher[_Departure] = Batcher(batching, self._journal_batch)

    async def make(self, call: PaidCall) -> CallEnded:
        """Return how the attempt ended: from the journal if it was made before, else by making it.

        A copy of a task that arrives while its call is on the wire waits for that call.

        Raises:
            UnavailableError: The model can't be called now; nothing was journalled.
            PartitionLostError: The call was not made, somebody else owns the task.
            DeliveryError: The journal could not be written.
        """
        while True:
            running = self._on_the_wire.get(call.attempt)
            if running is None:
                running = asyncio.create_task(self._recall_or_pay(call))
                self._on_the_wire[call.attempt] = running
                running.add_done_callback(lambda _: self._on_the_wire.pop(call.attempt, None))
            try:
                return await asyncio.shield(running)
            except PartitionLostError:
                # The copy that led may have come in an earlier generation, in which this one did not.
                if not call.is_current():
                    raise

    async def recall(self, partition: int, attempt: UUID, asked_ms: int) -> CallEnded | None:
        """Return how an attempt ended, from the journal; None if it did not or is still on the wire."""
        return await self._journal.recall(partition, attempt, asked_ms)

    async def _recall_or_pay(self, call: PaidCall) -> CallEnded:
        earlier = await self.recall(call.partition, call.attempt, call.asked_ms)
        if earlier is not None:
            return earlier
        await self._still_ours(call)
        key = None
        if call.purpose is Purpose.INFER:
            key = share_key(call.task, call.model, self._batching.shared_features)
        if key is None:
            return await self._pay(call, self._start_of(call, uuid4()), None)
        while (seat := self._flights.join(key, call.task.deadline)) is not None:
            try:
                return await self._share(call, seat)
            except FlightCancelledError:
                await self._still_ours(call)
        started = self._start_of(call, uuid4())
        with self._flights.open(key, started, self._ends_at(call)) as flight:
            try:
                return await self._pay(call, started, flight)
            except UnavailableError as unavailable:
                # They want the same model, and one after the other would wait for it as long.
                flight.fail(unavailable)
                raise

    async def _still_ours(self, call: PaidCall) -> None:
        """Wait until the group has been heard from, and raise PartitionLostError if the work is no longer ours."""
        await self._heartbeat.wait_fresh()
        if not call.is_current():
            raise PartitionLostError(f"partition {call.partition} of {call.stage}")

    async def _share(self, call: PaidCall, seat: Seat[CallStarted, Sequence[CallEnded]]) -> CallEnded:
        """Take a part of a call that another request makes; both ask the same."""
        with seat:
            # Nothing is journalled for a call that may never leave.
            await seat.departed()
            await self._still_ours(call)
            started = self._start_of(call, seat.leader.call_id)
            was_open = self._journal.is_open(call.attempt, call.asked_ms)
            await self._journal.started([started], call.announce)
            if was_open and (earlier := await self._recall_anew(call)) is not None:
                return earlier
            seat.confirm(started)
            share = await seat.landed()
            return share.result[share.index]

    async def _pay(self, call: PaidCall, started: CallStarted, flight: _Flight | None) -> CallEnded:
        tokens = sum(rough(message.text) for message in call.messages) + _most_output(call)
        admission = await self._gate.enter(call.model, tokens=tokens, patience_s=self._patience(call))
        was_open = self._journal.is_open(call.attempt, call.asked_ms)
        try:
            async with self._batcher.join(_Departure(call, started)) as batch:
                if was_open and (earlier := await self._recall_anew(call)) is not None:
                    return earlier
                outcome = await self._send(call, started.call_id, admission, flight)
        finally:
            # Has no effect once the admission was told how the call went.
            admission.cancelled()
        return await self._record(started, outcome, batch, flight)

    async def _recall_anew(self, call: PaidCall) -> CallEnded | None:
        """Look once more, with our own start in the journal, for the end of an attempt of another process.

        Whatever ended before our start is in the journal by now; nobody can end it in between unseen.
        """
        return await self._journal.recall_anew(call.partition, call.attempt, call.asked_ms)

    async def _journal_batch(self, departures: Sequence[_Departure]) -> None:
        """Journal the calls of a batch that are still ours; the others find out before they leave."""
        await self._heartbeat.wait_fresh()
        ours = [departure for departure in departures if departure.call.is_current()]
        if ours:
            announcements = [output for departure in ours for output in departure.call.announce]
            await self._journal.started([departure.started for departure in ours], announcements)

    async def _send(self, call: PaidCall, call_id: UUID, admission: Admission, flight: _Flight | None) -> "_Outcome":
        """Make the call and tell the gate how it went; of one that never left there is nothing to tell."""
        sent_at, has_left = self._clock(), False

        async def leave() -> None:
            # The process may have been stopped while it waited for the broker. What is journalled then counts as a
            # call of unknown end, which errs on the side that nobody is billed for.
            nonlocal has_left
            await self._still_ours(call)
            if not admission.stands:
                message = f"{call.model.ref} was closed before the call left"
                raise ProviderError(ErrorKind.RATE_LIMITED, message)
            if self._clock() >= call.task.deadline:
                raise ProviderError(ErrorKind.TIMEOUT, "the deadline passed before the call left")
            has_left = True
            if flight is not None:
                flight.depart()

        try:
            reply = await self._complete(call, call_id, sent_at, leave)
        except Exception as failure:
            if isinstance(failure, DeliveryError) or not (has_left or isinstance(failure, ProviderError)):
                raise
            error, ended_at = unread(failure, call.model), self._clock()
            if has_left:
                admission.failed(error, (ended_at - sent_at).total_seconds())
            return _Outcome(sent_at, ended_at, None, error, error.usage)
        ended_at = self._clock()
        used = reply.usage.input + reply.usage.output
        admission.succeeded((ended_at - sent_at).total_seconds(), tokens=used, limits=reply.limits)
        return _Outcome(sent_at, ended_at, reply, None, reply.usage)

    async def _complete(self, call: PaidCall, call_id: UUID, now: datetime, leave: Callable[[], Any]) -> ChatReply:
        remaining = max((call.task.deadline - now).total_seconds(), 0.0)
        writer = self._chunk_writer(call, call_id) if call.stream else None
        request = ChatCall(
            call_id=call_id,
            model=call.model.model,
            messages=call.messages,
            params=call.params,
            max_tokens=_most_output(call),
            response_schema=call.response_schema,
            extra=call.model.extra,
            timeout_s=min(call.model.timeout_s, remaining),
            may_leave=leave,
            on_text=writer.add if writer is not None else None,
        )
        try:
            reply = await self._providers[call.model.provider].complete(request)
        except ProviderError:
            if writer is not None:
                await writer.end(complete=False)
            raise
        if writer is not None:
            await writer.end(complete=True)
        return reply

    async def _record(
        self, started: CallStarted, outcome: "_Outcome", batch: Batch, flight: _Flight | None
    ) -> CallEnded:
        """Journal how the call came out, for each request that shares it."""
        if flight is not None and not flight.has_departed:
            # Whoever waits for it has journalled nothing, and may do better.
            flight.fail(FlightCancelledError())
            flight = None
        members = await flight.close() if flight is not None else (started,)
        ends = await self._journal_end(members, outcome, batch)
        if flight is not None:
            flight.finish(ends)
        return ends[0]

    async def _journal_end(self, members: Sequence[CallStarted], outcome: "_Outcome", batch: Batch) -> list[CallEnded]:
        """Journal the end of a call in any case: it was paid for, and one without an end would hide that."""
        try:
            ends = self._ends(members, outcome, batch)
            await self._journal.ended(ends)
        except Exception as failure:
            unrecorded = outcome.without(failure)
            if unrecorded is None or isinstance(failure, DeliveryError):
                raise
            message = "an answer of %s could not be recorded: %s"
            log.error(message, members[0].model, _crash(failure))  # noqa: TRY400 - texts stay out of the log
            return await self._journal_end(members, unrecorded, batch)
        return ends

    def _ends(self, members: Sequence[CallStarted], outcome: "_Outcome", batch: Batch) -> list[CallEnded]:
        """Make the end of the call for each request that shares it, with its part of tokens and cost."""
        usage, reply, leader = outcome.usage, outcome.reply, members[0]
        rates = self._prices.rates(leader.provider, leader.model, outcome.sent_at, usage) if usage else None
        parts: list[tuple[Usage | None, Decimal]] = [(None, Decimal(0))] * len(members)
        if usage is not None and rates is not None:
            parts = list(split(usage, rates, len(members)))
        return [
            member.end(
                started_at=outcome.sent_at,
                ended_at=outcome.ended_at,
                # A lone surrogate, half of a character that a model never finished, can't be written as UTF-8.
                content=None if reply is None else reply.content.encode(errors="replace").decode(),
                finish_reason=None if reply is None else reply.finish_reason,
                first_token_ms=None if reply is None else reply.first_token_ms,
                error=None if outcome.error is None else call_error(outcome.error),
                usage=part,
                rates=rates,
                cost_usd=cost,
                shares=len(members),
                batch_size=batch.batch_size,
                batch_wait_ms=round(batch.wait_ms, 3),
            )
            for member, (part, cost) in zip(members, parts, strict=True)
        ]

    def _start_of(self, call: PaidCall, call_id: UUID) -> CallStarted:
        return CallStarted(
            call_id=call_id,
            attempt_id=call.attempt,
            request_id=call.task.request.request_id,
            revision=call.task.revision,
            stage=call.stage,
            n=call.n,
            purpose=call.purpose,
            tier=call.tier,
            provider=call.model.provider,
            model=call.model.model,
            started_at=self._clock(),
            asked_ms=call.asked_ms,
            deadline=call.task.deadline,
        )

    def _chunk_writer(self, call: PaidCall, call_id: UUID) -> ChunkWriter:
        return ChunkWriter(
            self._publisher,
            request_id=call.task.request.request_id,
            revision=call.task.revision,
            attempt_id=call.attempt,
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


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one trip over the wire went."""

    sent_at: datetime
    ended_at: datetime
    reply: ChatReply | None
    error: ProviderError | None
    usage: Usage | None

    def without(self, failure: Exception) -> "_Outcome | None":
        """Leave out the answer, which could not be recorded, or else the usage; None where nothing is left."""
        if self.reply is not None:
            message = f"the answer could not be recorded: {type(failure).__name__}"
            return replace(self, reply=None, error=ProviderError(ErrorKind.MALFORMED, message))
        return replace(self, usage=None) if self.usage is not None else None


def _most_output(call: PaidCall) -> int:
    return call.params.max_tokens or call.model.max_tokens


def unread(failure: Exception, model: ModelSettings) -> ProviderError:
    """Say why there is no answer to a call that has left.

    A crash of our own counts as an answer that can't be read: the call may be billed, and one of unknown end would hide
    that.
    """
    if isinstance(failure, ProviderError):
        return failure
    log.error("an answer of %s could not be read: %s", model.ref, _crash(failure))
    return ProviderError(ErrorKind.MALFORMED, f"the answer could not be read: {type(failure).__name__}")


def _crash(failure: Exception) -> str:
    """Name a crash and its place; its message may repeat what a model said."""
    place = traceback.extract_tb(failure.__traceback__)[-1]
    return f"{type(failure).__name__} in {place.name}, line {place.lineno}"


def call_error(error: ProviderError) -> CallError:
    """Say in the journal's terms why a call failed."""
    return CallError(
        kind=error.kind, message=str(error)[:500], status=error.status, retry_after_ms=error.retry_after_ms
    )


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

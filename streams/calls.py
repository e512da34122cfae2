"""Paid calls: journalled before and after, priced at the rates of their day, never paid twice for one attempt."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from streams.clock import Clock
from streams.journal import Journal
from streams.pricing import PriceBook
from streams.providers.base import ChatCall, ChatReply, ErrorKind, Provider, ProviderError
from streams.publisher import Output
from streams.pulse import GroupPulse
from streams.settings import ModelSettings
from topics.journal import CallEnded, CallError, CallStarted, Purpose, attempt_id
from topics.requests import Message, Params
from topics.tasks import TierTask


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
    announce: tuple[Output, ...] = ()
    """Published together with CallStarted, and only if the call is made."""

    @property
    def attempt(self) -> UUID:
        """The attempt's id, the same after every restart."""
        return attempt_id(self.task.request.request_id, self.task.revision, self.stage, self.n)


class PaidCalls:
    """Makes the paid calls of one stage."""

    def __init__(
        self,
        *,
        journal: Journal,
        providers: Mapping[str, Provider],
        prices: PriceBook,
        pulse: GroupPulse,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._providers = providers
        self._prices = prices
        self._pulse = pulse
        self._clock = clock
        self._on_the_wire: dict[UUID, asyncio.Task[CallEnded]] = {}

    async def make(self, call: PaidCall) -> CallEnded:
        """Return how the attempt ended: from the journal if it was made before, else by making it.

        A copy of a task that arrives while its call is on the wire waits for that call.

        Raises:
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

    async def recall(self, partition: int, attempt: UUID, asked_at_ms: int) -> CallEnded | None:
        """Return how an attempt ended, from the journal; None if it did not or is still on the wire."""
        return await self._journal.recall(partition, attempt, asked_at_ms)

    async def _recall_or_pay(self, call: PaidCall) -> CallEnded:
        earlier = await self.recall(call.partition, call.attempt, call.task.source.timestamp_ms)
        if earlier is not None:
            return earlier
        await self._still_ours(call)
        return await self._pay(call)

    async def _still_ours(self, call: PaidCall) -> None:
        """Wait until the group has been heard from, and raise PartitionLostError if the work is no longer ours."""
        await self._pulse.wait_fresh()
        if not call.is_current():
            raise PartitionLostError(f"partition {call.partition} of {call.stage}")

    async def _pay(self, call: PaidCall) -> CallEnded:
        started_at = self._clock()
        started = CallStarted(
            call_id=uuid4(),
            attempt_id=call.attempt,
            request_id=call.task.request.request_id,
            revision=call.task.revision,
            stage=call.stage,
            n=call.n,
            purpose=call.purpose,
            tier=call.tier,
            provider=call.model.provider,
            model=call.model.model,
            started_at=started_at,
            deadline=call.task.deadline,
        )
        rates = self._prices.rates(call.model.provider, call.model.model, started_at)
        await self._journal.started(started, call.announce)
        if self._journal.was_open(call.partition, call.attempt):
            # Whatever ended before our start is in the journal by now; nobody can end it in between unseen.
            earlier = await self.recall(call.partition, call.attempt, call.task.source.timestamp_ms)
            if earlier is not None:
                return earlier
        identity = {name: getattr(started, name) for name in CallStarted.model_fields if name != "deadline"}
        identity["started_at"] = sent_at = self._clock()
        try:
            reply = await self._send(call, started.call_id, sent_at)
        except ProviderError as error:
            if error.kind is ErrorKind.OVERLOADED and error.status is None:
                # It never left. Where the work has gone to somebody else, an end by us would only mislead them.
                await self._still_ours(call)
            ended = CallEnded(
                **identity,
                ended_at=self._clock(),
                error=_describe(error),
                usage=error.usage,
                rates=rates if error.usage else None,
                cost_usd=rates.cost(error.usage) if error.usage else Decimal(0),
            )
        else:
            ended = CallEnded(
                **identity,
                ended_at=self._clock(),
                # A lone surrogate, half of a character that a model never finished, can't be written as UTF-8.
                content=reply.content.encode(errors="replace").decode(),
                finish_reason=reply.finish_reason,
                usage=reply.usage,
                rates=rates,
                cost_usd=rates.cost(reply.usage),
            )
        await self._journal.ended(ended)
        return ended

    async def _send(self, call: PaidCall, call_id: UUID, now: datetime) -> ChatReply:
        remaining = (call.task.deadline - now).total_seconds()
        if remaining <= 0:
            raise ProviderError(ErrorKind.TIMEOUT, "the deadline passed before the call left")
        return await self._providers[call.model.provider].complete(
            ChatCall(
                call_id=call_id,
                model=call.model.model,
                messages=call.messages,
                params=call.params,
                max_tokens=call.params.max_tokens or call.model.max_tokens,
                response_schema=call.response_schema,
                extra=call.model.extra,
                timeout_s=min(call.model.timeout_s, remaining),
                # The process may have been stopped while it waited for the broker or for a slot. What is journalled
                # then counts as a call of unknown end, which errs on the side that nobody is billed for.
                may_leave=lambda: self._still_ours(call),
            )
        )


def _describe(error: ProviderError) -> CallError:
    return CallError(
        kind=error.kind, message=str(error)[:500], status=error.status, retry_after_ms=error.retry_after_ms
    )

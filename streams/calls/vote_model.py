"""The language model that gives votes: one call about a batch of questions, through the gate, within its time."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from streams.admission import Admission, Gate, TierVisit, UnavailableError
from streams.calls.paid_calls import call_error, unread
from streams.calls.pricing import PriceBook
from streams.config.settings import Settings
from streams.config.tokens import rough
from streams.kafka.clock import Clock
from streams.providers.base import ChatCall, ErrorKind, Provider, ProviderError
from streams.routing.llm.answer import read_answer
from streams.routing.llm.prompt import max_tokens_for, messages_for, response_schema_for
from topics.journal import CallError, Rates, Usage
from topics.requests import Message, Params, Request

_LEAST_TIMES_COST: Final = 20
"""A request that is to cost less than so many votes is not worth one."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave for one call: of the model, and as a classifier."""

    visit: TierVisit
    admission: Admission


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call about a batch of questions came out; `error` is None where any of them has a vote."""

    sent_at: datetime
    ended_at: datetime
    error: CallError | None
    votes: Sequence[tuple[float, ...] | None] = ()
    """For each question the probabilities by tier; none at all where there was no answer."""
    finish_reason: str | None = None
    usage: Usage | None = None
    rates: Rates | None = None


class VoteModel:
    """Calls the model that the settings name.

    Args:
        settings: Which model, and who may be asked about what.
        providers: By name.
        prices: Of all models.
        gate: Of the process.
        clock: Current moment.
    """

    def __init__(
        self, settings: Settings, providers: Mapping[str, Provider], prices: PriceBook, gate: Gate, clock: Clock
    ) -> None:
        self._settings = settings
        self._tiers = settings.top_tier
        # The breaker is also that of answers to users, for whom no time that a vote takes is slow.
        self.settings = settings.classifier_model.model_copy(update={"slow_call_s": math.inf})
        self._provider = providers[self.settings.provider]
        self._prices = prices
        self._gate = gate
        self._clock = clock

    def may_be_asked(self, request: Request, text: str, at: datetime) -> bool:
        """Whether the model may see the request, and costs next to nothing of what the requester would pay.

        Args:
            request: What is to be routed.
            text: What the model would be shown of it.
            at: When the request came in; its prices then decide, so that they are the same when it is delivered again.
        """
        if not self._settings.may_see(self.settings, request.context.data_class):
            return False
        if request.max_cost_usd is None:
            return True
        usage = Usage(input=_prompt_tokens(messages_for([text], self._tiers)), output=max_tokens_for(1, self._tiers))
        return request.max_cost_usd >= _LEAST_TIMES_COST * self._rates(usage, at).cost(usage)

    @asynccontextmanager
    async def entered(self, texts: Sequence[str], ends_at: datetime) -> AsyncIterator[Leave]:
        """Wait for the call's turn, at most until it has to have ended; the slot is free again after the block.

        Raises:
            UnavailableError: The call can't leave.
        """
        tokens = _prompt_tokens(messages_for(texts, self._tiers)) + max_tokens_for(len(texts), self._tiers)
        with self._gate.enter_classifier() as visit:
            patience_s = self._seconds_until(ends_at)
            with await self._gate.enter(self.settings, tokens=tokens, patience_s=patience_s) as admission:
                yield Leave(visit, admission)

    async def call(
        self,
        texts: Sequence[str],
        *,
        call_id: UUID,
        ends_at: datetime,
        leave: Leave,
        may_leave: Callable[[], Awaitable[None]],
    ) -> Outcome:
        """Ask about the texts, and tell both breakers how it went; what never left says nothing about either.

        Raises:
            UnavailableError: The model's breaker has opened since the call was let in.
            Exception: What `may_leave` raised.
        """
        sent_at, has_left = self._clock(), False

        async def leaving() -> None:
            nonlocal has_left
            await may_leave()
            if not leave.admission.stands:
                raise UnavailableError(self.settings.ref, "breaker_open", None)
            if self._clock() >= ends_at:
                raise ProviderError(ErrorKind.TIMEOUT, "the time was up before the call left")
            has_left = True

        chat = ChatCall(
            call_id=call_id,
            model=self.settings.model,
            messages=messages_for(texts, self._tiers),
            params=Params(temperature=0.0),
            max_tokens=max_tokens_for(len(texts), self._tiers),
            response_schema=response_schema_for(len(texts), self._tiers),
            extra=self.settings.extra,
            timeout_s=min(self.settings.timeout_s, self._seconds_until(ends_at)),
            may_leave=leaving,
        )
        try:
            reply = await self._provider.complete(chat)
        except Exception as failure:
            if not has_left and not isinstance(failure, ProviderError):
                raise
            error = unread(failure, self.settings)
            ended_at = self._clock()
            if has_left:
                leave.admission.failed(error, (ended_at - sent_at).total_seconds())
                leave.visit.failed(error.kind)
            rates = self._rates(error.usage, sent_at) if error.usage is not None else None
            return Outcome(sent_at, ended_at, call_error(error), usage=error.usage, rates=rates)
        ended_at = self._clock()
        used = reply.usage.input + reply.usage.output
        leave.admission.succeeded((ended_at - sent_at).total_seconds(), tokens=used, limits=reply.limits)
        votes = read_answer(reply.content, len(texts), self._tiers)
        if any(votes):
            leave.visit.succeeded()
        else:
            leave.visit.failed(ErrorKind.MALFORMED)
        rates = self._rates(reply.usage, sent_at)
        return Outcome(sent_at, ended_at, None, votes, reply.finish_reason, reply.usage, rates)

    def _rates(self, usage: Usage, at: datetime) -> Rates:
        return self._prices.rates(self.settings.provider, self.settings.model, at, usage)

    def _seconds_until(self, moment: datetime) -> float:
        return max((moment - self._clock()).total_seconds(), 0.0)


def _prompt_tokens(messages: Sequence[Message]) -> int:
    return sum(rough(message.text) for message in messages)

"""The language model that gives votes: one call about a batch of questions, through the gate, within its time."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from streams.admission import Admission, Gate, TierVisit, UnavailableError
from streams.calls.model_caller import CallResult, ModelCaller, Part, most_tokens
from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.providers.base import ChatCall, ErrorKind, Prompt
from streams.routing.llm.answer import read_answer
from streams.routing.llm.prompt import max_tokens_for, messages_for, response_schema_for
from topics.journal import CallEnded, Rates, Usage
from topics.requests import Params, Request

if TYPE_CHECKING:
    from streams.telemetry.tracing import Asker

_LEAST_TIMES_COST: Final = 20
"""A request that is to cost less than so many votes is not worth one."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave for one call: of the model, and as a classifier."""

    visit: TierVisit
    admission: Admission


@dataclass(frozen=True, slots=True)
class VoteReply:
    """What came of a call about a batch of questions."""

    result: CallResult
    votes: Sequence[tuple[float, ...] | None]
    """For each question the probabilities by tier; none at all where there was no answer."""
    rates: Rates | None
    parts: Sequence[Part]
    """For each question its part of tokens and cost."""


class VoteModel:
    """Calls the model that the settings name.

    Args:
        settings: Which model, and who may be asked about what.
        caller: Makes the calls.
        gate: Of the process.
        clock: Current moment.
    """

    def __init__(self, settings: Settings, caller: ModelCaller, gate: Gate, clock: Clock) -> None:
        self._settings = settings
        self._tiers = settings.top_tier
        # The breaker is also that of answers to users, for whom no time that a vote takes is slow.
        self.settings = settings.classifier_model.model_copy(update={"slow_call_s": math.inf})
        self._caller = caller
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
        prompt = self._prompt([text])
        output = max_tokens_for(1, self._tiers)
        usage = Usage(input=most_tokens(self.settings, prompt) - output, output=output)
        return request.max_cost_usd >= _LEAST_TIMES_COST * self._caller.cost(self.settings, usage, at)

    @asynccontextmanager
    async def entered(self, texts: Sequence[str], ends_at: datetime) -> AsyncIterator[Leave]:
        """Wait for the call's turn, at most until it has to have ended; the slot is free again after the block.

        Raises:
            UnavailableError: The call can't leave.
        """
        with self._gate.enter_classifier() as visit:
            patience_s = max((ends_at - self._clock()).total_seconds(), 0.0)
            with await self._caller.admit(self.settings, self._prompt(texts), patience_s=patience_s) as admission:
                yield Leave(visit, admission)

    async def call(
        self,
        texts: Sequence[str],
        *,
        call_id: UUID,
        ends_at: datetime,
        leave: Leave,
        confirm: Callable[[], Awaitable[None]],
        askers: "Sequence[Asker]" = (),
    ) -> VoteReply:
        """Ask about the texts, and tell both breakers how it went; what never left says nothing about either.

        Raises:
            UnavailableError: The model's breaker has opened since the call was let in.
            Exception: What `confirm` raised.
        """
        call = ChatCall(call_id, self.settings, self._prompt(texts), self.settings.timeout_s)
        result = await self._caller.send(call, leave.admission, ends_at=ends_at, confirm=confirm, askers=askers)
        if not result.has_left and not leave.admission.stands:
            raise UnavailableError(self.settings.ref, "breaker_open", None)
        votes = () if result.reply is None else read_answer(result.reply.content, len(texts), self._tiers)
        if any(votes):
            leave.visit.succeeded()
        elif result.has_left:
            leave.visit.failed(ErrorKind.MALFORMED if result.error is None else result.error.kind)
        model = self.settings
        return VoteReply(result, votes, *self._caller.priced(result, model.provider, model.model, len(texts)))

    def asker(self) -> "tuple[Asker, ...]":
        """Return the span of who asks now, for `call`."""
        return self._caller.asker()

    def note_ended(self, ends: Sequence[CallEnded], reply: VoteReply | None) -> None:
        """Count a call that is journalled; where there was none, nothing."""
        if reply is not None:
            self._caller.note_ended(ends, has_left=reply.result.has_left)

    def _prompt(self, texts: Sequence[str]) -> Prompt:
        n = len(texts)
        params = Params(temperature=0.0, max_tokens=max_tokens_for(n, self._tiers))
        return Prompt(messages_for(texts, self._tiers), params, response_schema_for(n, self._tiers))

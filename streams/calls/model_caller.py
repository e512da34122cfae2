"""One way for all paid calls: the gate's leave, the trip over the wire, what the gate learns of it, and its price."""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

from streams.admission import Admission, Gate
from streams.calls.chunk_writer import ChunkWriter
from streams.calls.model_words import encodable_piece, encodable_reply
from streams.calls.pricing import PriceBook, split
from streams.config.settings_sections import ModelSettings
from streams.kafka.clock import Clock
from streams.kafka.publisher import DeliveryError
from streams.providers.base import ChatCall, ChatReply, ErrorKind, Prompt, Provider, ProviderError
from streams.providers.batches import ProviderBatches
from streams.telemetry import OFF, Telemetry
from topics.answer_assembly import Piece
from topics.journal import CallEnded, CallError, Rates, Usage

if TYPE_CHECKING:
    from streams.telemetry.tracing import Asker, CallSpan

log = logging.getLogger(__name__)

_LEAST_BYTES_A_TOKEN: Final = 2
_FRAMING_TOKENS: Final = 16
"""Around each message, at the most."""

Part = tuple[Usage | None, Decimal]
"""Tokens of one request's part in a call, None where the call has none, and what they cost in US dollars."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """How one trip over the wire went: a reply or an error."""

    sent_at: datetime
    ended_at: datetime
    has_left: bool
    """Whether anything may have been sent."""
    reply: ChatReply | None
    error: ProviderError | None
    usage: Usage | None

    def without(self, failure: Exception) -> "CallResult | None":
        """Leave out the answer, which could not be recorded, or else the usage; None where nothing is left."""
        if self.reply is not None:
            message = f"the answer could not be recorded: {type(failure).__name__}"
            return replace(self, reply=None, error=ProviderError(ErrorKind.MALFORMED, message))
        return replace(self, usage=None) if self.usage is not None else None


class ModelCaller:
    """Makes calls; whoever has them made journals them.

    Args:
        providers: By name.
        prices: Of all models.
        gate: Of the process.
        clock: Current moment.
        telemetry: Of the process.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        prices: PriceBook,
        gate: Gate,
        clock: Clock,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._telemetry = telemetry
        self._providers = providers
        self._prices = prices
        self._gate = gate
        self._clock = clock

    async def admit(
        self, model: ModelSettings, prompt: Prompt, *, patience_s: float, target: str | None = None
    ) -> Admission:
        """Wait for the turn of a call; to be used as a context manager, which frees its slot.

        Args:
            model: That is asked.
            prompt: What it is asked.
            patience_s: Longest wait in seconds.
            target: Whose breaker and limits it has to pass; None: those of `provider/model`.

        Raises:
            UnavailableError: It can't leave within the patience.
        """
        # Before the call has a place and a time: whatever this takes is not the provider's.
        await self._providers[model.provider].prepare()
        tokens = most_tokens(model, prompt)
        return await self._gate.enter(model, tokens=tokens, patience_s=patience_s, target=target)

    def batches_of(self, provider: str) -> ProviderBatches | None:
        """Return the batches of a provider; None where it has none, or no model is asked of it."""
        known = self._providers.get(provider)
        return None if known is None else known.batches

    def check(self, model: ModelSettings, target: str | None = None) -> None:
        """See whether a call could leave now at all; nothing is taken.

        Raises:
            UnavailableError: The breaker is open.
        """
        self._gate.check(model, target)

    async def send(
        self,
        call: ChatCall,
        admission: Admission,
        *,
        ends_at: datetime,
        confirm: Callable[[], Awaitable[None]],
        note_sent: Callable[[], None] | None = None,
        chunks: ChunkWriter | None = None,
        askers: "Sequence[Asker]" = (),
    ) -> CallResult:
        """Make the call and tell the gate how it went; of one that never left there is nothing to tell.

        Args:
            call: Its time is cut to what is left.
            admission: That lets it leave.
            ends_at: When the answer is too late.
            confirm: Awaited right before the call leaves; what it raises keeps it from leaving.
            note_sent: Called when it leaves.
            chunks: Takes the answer as it arrives.
            askers: The spans of those that a call is made for, where it is not the current one's.

        Raises:
            DeliveryError: A piece of the answer could not be published.
            Exception: What `confirm` raised.
        """
        send = partial(self._send, call, admission, ends_at, confirm, note_sent, chunks)
        if (tracing := self._telemetry.tracing) is None:
            return await send()
        model = call.model
        with tracing.calling(
            model.provider,
            model.model,
            call_id=str(call.call_id),
            max_tokens=call.max_tokens,
            streams=chunks is not None,
            askers=askers,
        ) as span:
            result = await send()
            _tell(span, result)
            return result

    def asker(self) -> "tuple[Asker, ...]":
        """Return the span of who asks now, for a call that is made elsewhere; none without tracing."""
        tracing = self._telemetry.tracing
        return () if tracing is None else (tracing.asker(),)

    def note_ended(self, ends: Sequence[CallEnded], *, has_left: bool) -> None:
        """Count a call that is journalled.

        Args:
            ends: One for each request that shares it.
            has_left: Whether anything was sent.
        """
        if (metrics := self._telemetry.metrics) is not None:
            metrics.call_ended(ends, has_left=has_left)

    async def _send(
        self,
        call: ChatCall,
        admission: Admission,
        ends_at: datetime,
        confirm: Callable[[], Awaitable[None]],
        note_sent: Callable[[], None] | None,
        chunks: ChunkWriter | None,
    ) -> CallResult:
        sent_at, has_left = self._clock(), False

        async def leave() -> None:
            # The process may have been stopped while it waited for the broker. What is journalled then counts as a
            # call of unknown end, which errs on the side that nobody is billed for.
            nonlocal has_left
            await confirm()
            if not admission.stands:
                raise ProviderError(ErrorKind.RATE_LIMITED, f"{call.model.ref} was closed before the call left")
            if self._clock() >= ends_at:
                raise ProviderError(ErrorKind.TIMEOUT, "the time was up before the call left")
            has_left = True
            if note_sent is not None:
                note_sent()

        timeout_s = min(call.timeout_s, max((ends_at - sent_at).total_seconds(), 0.0))
        try:
            reply = await self._complete(replace(call, timeout_s=timeout_s, may_leave=leave), chunks)
        except Exception as failure:
            if isinstance(failure, DeliveryError) or not (has_left or isinstance(failure, ProviderError)):
                raise
            error, ended_at = unread(failure, call.model.ref), self._clock()
            if has_left:
                admission.failed(error, (ended_at - sent_at).total_seconds())
            return CallResult(sent_at, ended_at, has_left, None, error, error.usage)
        ended_at = self._clock()
        used = reply.usage.input + reply.usage.output
        admission.succeeded((ended_at - sent_at).total_seconds(), tokens=used, limits=reply.limits)
        return CallResult(sent_at, ended_at, has_left, reply, None, reply.usage)

    async def _complete(self, call: ChatCall, chunks: ChunkWriter | None) -> ChatReply:
        provider = self._providers[call.model.provider]
        if chunks is None:
            return encodable_reply(await provider.complete(call))

        async def publish(piece: Piece) -> None:
            await chunks.add(encodable_piece(piece))

        try:
            reply = await provider.complete(replace(call, on_piece=publish))
        except ProviderError:
            await chunks.end(complete=False)
            raise
        await chunks.end(complete=True)
        return encodable_reply(reply)

    def cost(self, model: ModelSettings, usage: Usage, at: datetime) -> Decimal:
        """Return what a call costs in US dollars at the rates of a moment."""
        return self._prices.rates(model.provider, model.model, at, usage).cost(usage)

    def most_cost(self, model: ModelSettings, prompt: Prompt, at: datetime, *, batch: bool = False) -> Decimal:
        """Return what a call may cost at most, in US dollars; only a prompt of the oddest text costs more.

        Args:
            model: That is asked.
            prompt: What it is asked.
            at: When.
            batch: Whether it is asked in a batch of its provider.
        """
        size = prompt.size
        asked = sum(len(text.encode(errors="replace")) for text in size.texts)
        tokens = asked // _LEAST_BYTES_A_TOKEN + size.other_tokens + _FRAMING_TOKENS * (len(prompt.messages) + 1)
        usage = Usage(input=tokens, output=prompt.most_output(model.max_tokens))
        rates = self._prices.rates(model.provider, model.model, at, usage, batch=batch)
        if rates.cache_write is not None and rates.cache_write > rates.input:
            usage = usage.model_copy(update={"cache_written": tokens})
        return rates.cost(usage)

    def priced(
        self, result: CallResult, provider: str, model: str, n: int, *, batch: bool = False
    ) -> tuple[Rates | None, list[Part]]:
        """Price a call at the rates of its day, and split tokens and cost among the `n` requests that it was made for.

        Args:
            result: Of the call.
            provider: That was asked.
            model: That was asked.
            n: How many requests share it.
            batch: Whether a batch of the provider answered it.

        Raises:
            UnknownPriceError: Nobody knows what the model costs.
        """
        if result.usage is None:
            return None, [(None, Decimal(0))] * n
        rates = self._prices.rates(provider, model, result.sent_at, result.usage, batch=batch)
        return rates, list(split(result.usage, rates, n))


def most_tokens(model: ModelSettings, prompt: Prompt) -> int:
    """Estimate the tokens of a call and its answer, generously."""
    return prompt.size.rough_tokens + prompt.most_output(model.max_tokens)


def _tell(span: "CallSpan", result: CallResult) -> None:
    if result.usage is not None:
        span.note_usage(result.usage)
    if result.error is not None:
        span.note_error(result.error.kind)
    elif (reply := result.reply) is not None:
        span.note_answer(model=reply.model, finish_reason=reply.finish_reason, first_token_ms=reply.first_token_ms)


def call_error(error: ProviderError) -> CallError:
    """Say in the journal's terms why a call failed."""
    return CallError(
        kind=error.kind, message=str(error)[:500], status=error.status, retry_after_ms=error.retry_after_ms
    )


def unread(failure: Exception, ref: str) -> ProviderError:
    """Say why there is no answer to a call of `provider/model` that has left.

    A crash of our own counts as an answer that can't be read: the call may be billed, and one of unknown end would hide
    that.
    """
    if isinstance(failure, ProviderError):
        return failure
    log.error("an answer of %s could not be read: %s", ref, crash_of(failure))
    return ProviderError(ErrorKind.MALFORMED, f"the answer could not be read: {type(failure).__name__}")


def crash_of(failure: Exception) -> str:
    """Name a crash and its place; its message may repeat what a model said."""
    place = traceback.extract_tb(failure.__traceback__)[-1]
    return f"{type(failure).__name__} in {place.name}, line {place.lineno}"

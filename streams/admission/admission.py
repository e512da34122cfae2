"""What the gate hands out: leave for one call, or for trying a tier, to be ended by telling how it went."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from streams.admission.breaker import CircuitBreaker, Ticket
from streams.admission.call_effect import NOTHING_LEARNED, CallEffect, Signal, effect_of, tokens_used
from streams.admission.queue import GatedModel
from streams.providers.base import ErrorKind, ProviderError, ProviderLimits


class _Leave(ABC):
    """Leave that ends once; later ends change nothing.

    As a context it ends as cancelled at the latest, so that no exception keeps a slot or a probe's place for ever.
    """

    def __init__(self) -> None:
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancelled()

    @abstractmethod
    def cancelled(self) -> None:
        """Tell that nothing was learned."""

    def _close(self) -> bool:
        """End it; False if it has ended before."""
        was_open, self._open = self._open, False
        return was_open


class Admission(_Leave):
    """Leave for one call, with its slot and its share of the limits."""

    def __init__(
        self, model: GatedModel, ticket: Ticket, *, tokens: int, slow_s: float, monotonic: Callable[[], float]
    ) -> None:
        super().__init__()
        self._model = model
        self._ticket = ticket
        self._tokens = tokens
        self._slow_s = slow_s
        self._monotonic = monotonic

    @property
    def stands(self) -> bool:
        """Whether the call may still leave: its model's breaker has not opened since."""
        return self._model.breaker.stands(self._ticket)

    def succeeded(self, seconds: float, tokens: int, limits: ProviderLimits | None) -> None:
        """Tell that the model answered.

        Args:
            seconds: How long the call took.
            tokens: Input and output tokens that it used.
            limits: What the provider said about its limits.
        """
        self._end(CallEffect(Signal.SUCCESS, slow=seconds >= self._slow_s), tokens, limits)

    def failed(self, error: ProviderError, seconds: float) -> None:
        """Tell that there is no usable answer; an error that is the request's own fault counts as an answer.

        Args:
            error: How the call ended.
            seconds: How long it took.
        """
        effect = effect_of(error, seconds=seconds, slow_s=self._slow_s)
        if effect.refuses_key:
            effect = replace(effect, reason=self._model.account.refusal)
        # On a connection that was never made nothing was sent.
        used = None if error.kind is ErrorKind.CONNECTION else tokens_used(error, self._tokens)
        self._end(effect, used, error.limits)

    def cancelled(self) -> None:
        """Tell that the call never left: its share of the limits, and its place as a probe, are free again."""
        self._end(NOTHING_LEARNED, None, None)

    def _end(self, effect: CallEffect, used: int | None, limits: ProviderLimits | None) -> None:
        """Give everything back; `used` is None for a call that did not reach the provider."""
        if not self._close():
            return
        now = self._monotonic()
        limiter = self._model.limiter
        if used is None:
            limiter.give_back(self._tokens, now)
        else:
            limiter.settle(self._tokens, used, now)
        if limits is not None:
            limiter.observe(limits, now)
        breaker = self._model.breaker
        breaker.record(self._ticket, effect, now)
        if effect.refuses_key and effect.open_s is not None and not breaker.lets_through(now):
            self._model.account.shut(effect.open_s, now)
        self._model.queue.leave()


class TierVisit(_Leave):
    """Leave to try the models of a tier for one request, or to ask the language model for votes."""

    def __init__(self, breaker: CircuitBreaker, ticket: Ticket, *, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._breaker = breaker
        self._ticket = ticket
        self._monotonic = monotonic

    def succeeded(self) -> None:
        """Tell that a model answered."""
        self._end(CallEffect(Signal.SUCCESS))

    def failed(self, reason: str = "no model answered") -> None:
        """Tell that the visit ended without an answer of use."""
        self._end(CallEffect(Signal.FAILURE, reason=reason))

    def cancelled(self) -> None:
        """Tell that the visit says nothing about the tier."""
        self._end(NOTHING_LEARNED)

    def _end(self, effect: CallEffect) -> None:
        if self._close():
            self._breaker.record(self._ticket, effect, self._monotonic())

"""The gate: whether and when a call may leave for a model, for all models and tiers of a process."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeVar

from streams.admission.admission import Admission, TierVisit
from streams.admission.breaker import BreakerView, CircuitBreaker
from streams.admission.queue import Account, CallLater, GatedModel, Queue, UnavailableError
from streams.admission.rate_limit import RateLimiter
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.kafka.clock import Clock, utc_now
from topics.control import CLASSIFIER_TARGET, BreakerState

_SLOW_SHARE: Final = 0.8
"""Of a model's timeout, from where on a call is slow unless the config says otherwise."""
_FARTHEST_S: Final = 10 * 365 * 86_400
"""A provider may name any time to come back; a date has to be able to express it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """A circuit breaker at a moment, for display.

    Attributes:
        target: `provider/model`, `shadow:NAME`, `tier:N` or `classify`.
        forced: Whether an operator's order decided the state.
        calls: Ended in the window; while half-open, probes; while open, those of the window that opened it.
        failures: Of them, those that failed.
        slow: Of them, those that were slow, failed or not.
        since: When the state began.
        until: When probes are let through at the earliest; None unless open for a time.
    """

    target: str
    state: BreakerState
    forced: bool
    reason: str
    calls: int
    failures: int
    slow: int
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class BreakerChange(BreakerSnapshot):
    """A circuit breaker just after its state changed; the counts are of the window, or of the probes, before."""


_Shown = TypeVar("_Shown", bound=BreakerSnapshot)


class Gate:
    """Lets calls leave for models: circuit breaker, rate limits and slots, decided together.

    A breaker for each `provider/model`, one for each shadow's candidate, one for each tier, one for the language model
    as classifier where there is one, and one queue for each provider's slots. Everything is called from one event loop.

    Args:
        settings: Breakers, limits, models and providers.
        monotonic: Gives monotonic seconds.
        clock: For the dates that are displayed; nothing is decided by it.
        on_change: Called with each change of a breaker's state, by order as well. It must neither raise nor call
            the gate: a decision is under way.
        call_later: Wakes waiting calls up, in the same time as `monotonic`; None: the running event loop's.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Clock = utc_now,
        on_change: Callable[[BreakerChange], None],
        call_later: CallLater | None = None,
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._clock = clock
        self._on_change = on_change
        self._since: dict[str, datetime] = {}
        self._queues = {
            name: Queue(provider.max_concurrency, monotonic=monotonic, call_later=call_later)
            for name, provider in settings.providers.items()
        }
        self._accounts = {name: Account(name, provider.api_key_env) for name, provider in settings.providers.items()}
        self._models: dict[str, GatedModel] = {}
        for target, model in settings.gated_models():
            self._gated(model, target)
        self._tiers = [self._breaker(f"tier:{number}") for number in range(1, settings.top_tier + 1)]
        self._classifier = self._breaker(CLASSIFIER_TARGET) if settings.routing.asks_llm else None

    async def enter(
        self, model: ModelSettings, *, tokens: int, patience_s: float, target: str | None = None
    ) -> Admission:
        """Wait for a call's turn; the admission has to be ended.

        Args:
            model: Which model is to be called.
            tokens: Estimate of the call's tokens, of prompt and answer together.
            patience_s: Longest wait in seconds.
            target: Whose breaker and limits it has to pass; None: those of `provider/model`.

        Raises:
            UnavailableError: As soon as it is known that the call may not leave within the patience.
        """
        gated = self._gated(model, target or model.ref)
        ticket = await gated.queue.turn(gated, tokens, patience_s)
        slow_s = model.slow_call_s or _SLOW_SHARE * model.timeout_s
        return Admission(gated, ticket, tokens=tokens, slow_s=slow_s, monotonic=self._monotonic)

    def enter_tier(self, tier: int) -> TierVisit:
        """Let a request try a tier's models; the visit has to be ended.

        A tier none of whose models lets a call through is not visited at all: such a visit can only fail, and as a
        probe it would keep requests away from the tier for longer than from its models.

        Args:
            tier: Its number, from 1.

        Raises:
            UnavailableError: The tier's breaker, or the breaker of each of its models, is open.
        """
        now = self._monotonic()
        breaker = self._tiers[tier - 1]
        if not breaker.forced:
            self._check_models(tier, now)
        ticket = breaker.admit(now)
        if ticket is None:
            raise UnavailableError(breaker.target, "breaker_open", breaker.wait_s(now))
        return TierVisit(breaker, ticket, monotonic=self._monotonic)

    def enter_classifier(self) -> TierVisit:
        """Let a call ask for votes on requests; the visit has to be ended.

        Its breaker knows what the model's own does not: an answer that is late for the router may be quick for a user.

        Raises:
            UnavailableError: The breaker is open.
            RuntimeError: The settings have no language model asked.
        """
        if self._classifier is None:
            raise RuntimeError("routing.classifier asks no language model")
        now = self._monotonic()
        ticket = self._classifier.admit(now)
        if ticket is None:
            raise UnavailableError(CLASSIFIER_TARGET, "breaker_open", self._classifier.wait_s(now))
        return TierVisit(self._classifier, ticket, monotonic=self._monotonic)

    def is_open_to(self, tier: int) -> bool:
        """Whether a request might be served by a tier, as things stand; nothing is taken.

        Args:
            tier: Its number, from 1.
        """
        models = self._settings.tiers[tier - 1].models
        return self._tiers[tier - 1].lets_through(self._monotonic()) and self.is_open_to_any(models)

    def is_open_to_any(self, models: Iterable[ModelSettings]) -> bool:
        """Whether a call might be served by any of these models, as things stand; nothing is taken."""
        now = self._monotonic()
        return any(self._gated(model, model.ref).breaker.lets_through(now) for model in models)

    def check(self, model: ModelSettings, target: str | None = None) -> None:
        """See whether the breaker of a call lets calls through; nothing is taken.

        Raises:
            UnavailableError: It does not.
        """
        now = self._monotonic()
        breaker = self._gated(model, target or model.ref).breaker
        if not breaker.lets_through(now):
            raise UnavailableError(breaker.target, "breaker_open", breaker.wait_s(now))

    def order(self, target: str, order: Literal["open", "closed", "auto"]) -> None:
        """Obey an operator's order about a breaker; an order about an unknown target is ignored."""
        for breaker in self._breakers():
            if breaker.target == target:
                breaker.order(order, self._monotonic())
        if target in self._models:
            self._models[target].queue.look()

    def snapshot(self) -> list[BreakerSnapshot]:
        """Show all breakers: models in the order of the config, then tiers, then that of the classifier."""
        now = self._monotonic()
        return [self._show(BreakerSnapshot, breaker.view(now), now) for breaker in self._breakers()]

    def load(self) -> list[tuple[str, int, int]]:
        """Show for each provider how many calls have a slot, and how many wait for their turn."""
        return [(name, queue.under_way, queue.waiting) for name, queue in self._queues.items()]

    def _breakers(self) -> list[CircuitBreaker]:
        classifier = [self._classifier] if self._classifier is not None else []
        return [*(model.breaker for model in self._models.values()), *self._tiers, *classifier]

    def _check_models(self, tier: int, now: float) -> None:
        breakers = [self._gated(model, model.ref).breaker for model in self._settings.tiers[tier - 1].models]
        if any(breaker.lets_through(now) for breaker in breakers):
            return
        waits = [wait for breaker in breakers if (wait := breaker.wait_s(now)) is not None]
        raise UnavailableError(f"tier:{tier}", "breaker_open", min(waits, default=None))

    def _gated(self, model: ModelSettings, target: str) -> GatedModel:
        known = self._models.get(target)
        if known is not None:
            return known
        # One account's limits, however often the model stands in the config.
        same = [model, *(other for name, other in self._settings.gated_models() if name == target)]
        limiter = RateLimiter(
            requests_per_minute=_strictest(other.requests_per_minute for other in same),
            tokens_per_minute=_strictest(other.tokens_per_minute for other in same),
            now=self._monotonic(),
        )
        account = self._accounts[model.provider]
        if target != model.ref:
            # Of what goes wrong with a call that nobody waits for, no other call is to hear.
            account = Account(account.provider, account.key_variable)
        gated = GatedModel(target, self._breaker(target), limiter, self._queues[model.provider], account)
        account.models.append(gated)
        self._models[target] = gated
        return gated

    def _breaker(self, target: str) -> CircuitBreaker:
        self._since[target] = self._clock()
        return CircuitBreaker(target, self._settings.breakers, now=self._monotonic(), on_change=self._changed)

    def _changed(self, view: BreakerView, previous: BreakerState) -> None:
        self._since[view.target] = self._clock()
        level = logging.WARNING if view.state is BreakerState.OPEN else logging.INFO
        logger.log(level, "breaker of %s is %s, was %s: %s", view.target, view.state, previous, view.reason)
        self._on_change(self._show(BreakerChange, view, view.since))
        if view.state is BreakerState.CLOSED and previous is BreakerState.HALF_OPEN:
            self._recover_tiers(view)

    def _recover_tiers(self, view: BreakerView) -> None:
        """Close the breakers of the tiers that a model serves which answers again.

        Their own probes may still hang at another of their models.
        """
        for tier, breaker in zip(self._settings.tiers, self._tiers, strict=True):
            if any(model.ref == view.target for model in tier.models):
                breaker.recover(f"{view.target} answers again", view.since)

    def _show(self, form: type[_Shown], view: BreakerView, now: float) -> _Shown:
        left_s = None if view.until is None else min(view.until - now, _FARTHEST_S)
        return form(
            target=view.target,
            state=view.state,
            forced=view.forced,
            reason=view.reason,
            calls=view.counts.calls,
            failures=view.counts.failures,
            slow=view.counts.slow,
            since=self._since[view.target],
            until=None if left_s is None else self._clock() + timedelta(seconds=left_s),
        )


def _strictest(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)

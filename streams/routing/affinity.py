"""Whether a conversation with tools stays with the model that it has been going on with. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from streams.config.eligible_models import EligibleModels
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.config.tokens import rough
from streams.routing.policy import Bounds
from streams.routing.tool_loops import is_open, latest_calls
from topics.base import from_millis
from topics.journal import Rates, Usage
from topics.requests import Request
from topics.tasks import Decision

STAYS: Final = "conversation stays with "
"""What the reason begins with, in decisions and in routes."""

RatesAt = Callable[[str, str, datetime, Usage], Rates]
"""Rates of a provider's model for a call at a moment."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which model made the latest answer with tool calls of a conversation, and what that came to in tokens."""

    ref: str
    """`provider/model`."""
    tier: int
    at_ms: int
    """When the answer was there, ms since the epoch."""
    prompt: int
    cached: int
    """Of the prompt, known to be in the provider's cache: read from it or written to it."""
    answer: int


class Affinity:
    """Decides whether a conversation stays.

    In an open loop it does, on the tier of the latest answer, wherever rules and limits allow it and the model may
    serve the request: another model may not read the steps of the one before, and has none of the prompt cached. Once
    the model has answered, it stays only where the cache makes that cheaper than what was decided, and never below a
    tier that the scores come to.

    Args:
        settings: The tiers, who may see what, and how long providers cache.
        models: Who may serve which request.
        rates: Prices.
    """

    def __init__(self, settings: Settings, models: EligibleModels, rates: RatesAt) -> None:
        self._settings = settings
        self._models = models
        self._rates = rates

    def kept(
        self, request: Request, standing: Standing, decision: Decision, bounds: Bounds, arrived_ms: int
    ) -> Decision | None:
        """Return the decision that keeps a request with the model of its conversation; None where it does not stay.

        Args:
            request: What is asked.
            standing: Where its conversation is.
            decision: Where the request goes otherwise.
            bounds: What rules and limits say before any scores.
            arrived_ms: When the broker appended the request, ms since the epoch.
        """
        lowest = max(decision.floor, bounds.decide(1)[0])
        if request.model is not None or not lowest <= standing.tier <= decision.ceiling:
            return None
        model = next((one for one in self._able(standing.tier, request) if one.ref == standing.ref), None)
        if model is None:
            return None
        if not is_open(request.messages) and not self._is_cheaper(request, model, standing, decision, arrived_ms):
            return None
        reasons = (*decision.reasons, f"{STAYS}{standing.ref}")
        update = {"tier": standing.tier, "rule": None, "stays_with": standing.ref, "reasons": reasons}
        return decision.model_copy(update=update)

    def _is_cheaper(
        self, request: Request, model: ModelSettings, standing: Standing, decision: Decision, arrived_ms: int
    ) -> bool:
        names_another_tier = decision.rule is not None and decision.tier != standing.tier
        is_cold = arrived_ms - standing.at_ms > self._settings.routing.cache_s * 1000
        if decision.tier > standing.tier or names_another_tier or is_cold:
            return False
        other = next(self._able(decision.tier, request), None)
        if other is None or other.ref == model.ref:
            return False
        warm = Usage(input=standing.prompt + _added(request), cached=standing.cached, output=standing.answer)
        at = from_millis(arrived_ms)
        stay, move = (self._rates(one.provider, one.model, at, warm) for one in (model, other))
        return staying_costs_less(stay, move, warm)

    def _able(self, tier: int, request: Request) -> Iterator[ModelSettings]:
        """Yield the models of a tier that may serve a request, candidates of canaries last."""
        settings = self._settings
        candidates = (canary.model for canary in settings.canary if canary.tier == tier)
        for model in (*settings.tiers[tier - 1].models, *candidates):
            if self._models.may_serve(model, request):
                yield model


def staying_costs_less(stay: Rates, move: Rates, warm: Usage) -> bool:
    """Whether a prompt that is cached in part costs less there than all of it costs elsewhere.

    Of p tokens, c of them cached, and an answer of a tokens as the one before::

        c * stay.cached + (p - c) * stay.input + a * stay.output  <  p * move.input + a * move.output

    False where nothing is known to be cached, or cached tokens have no price of their own: there is nothing to lose.
    """
    if not warm.cached or stay.cached >= stay.input:
        return False
    return stay.cost(warm) < move.cost(warm.model_copy(update={"cached": 0}))


def _added(request: Request) -> int:
    """Guess the tokens that have been added since the prompt of the latest calls."""
    start = latest_calls(request.messages)
    new = request.messages[start:] if start is not None else ()
    return sum(rough(text) for message in new for text in message.texts())

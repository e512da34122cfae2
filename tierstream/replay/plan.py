"""What another policy changes: which of its tiers has evidence of which recorded one, and which requests it leaves."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from streams.calls.pricing import PriceBook, UnknownPriceError
from streams.config.context_windows import ContextWindows
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.config.tokens import Tokenizer
from streams.validation.judges import fit_to_judge
from tierstream.replay.decide import Replayed
from tierstream.replay.record import RecordedCall, Visit
from topics.base import from_millis
from topics.journal import Rates, Usage
from topics.requests import DataClass

_HOUR_MS: Final = 3_600_000
_LENGTHS: Final = (0, 32_000, 128_000, 200_000, 272_000)
"""Lengths of input between which no price list has two prices."""


@dataclass(frozen=True, slots=True)
class TierPlan:
    """A tier of the other policy.

    Attributes:
        recorded: Number of the recorded tier that says most of it, from 1 on.
        is_same: Whether it is asked as that one is: the same models in the same order, the same candidates.
        models: Its chain.
        shares: Which share of its answers each model gives where the first one may be asked.
    """

    recorded: int
    is_same: bool
    models: tuple[ModelSettings, ...]
    shares: tuple[float, ...]


class Plan:
    """What changes from the settings of a deployment to another policy.

    Args:
        base: The settings of the deployment.
        then: The other policy.
        windows: Of the other policy.
    """

    def __init__(self, base: Settings, then: Settings, windows: ContextWindows) -> None:
        self.base, self.then = base, then
        self.windows = windows
        self.was_priced = Prices(base)
        self.prices = Prices(then)
        self.same_judges = base.validation == then.validation

    def tiers(self, visits: Sequence[Sequence[Visit]]) -> tuple[TierPlan, ...]:
        """Find for each tier what the record says of it.

        Args:
            visits: Of all requests.
        """
        answered: dict[int, Counter[str]] = {}
        for found in visits:
            for visit in found:
                if visit.answer is not None:
                    answered.setdefault(visit.tier, Counter())[visit.answer.ref] += 1
        return tuple(self._tier(number, answered) for number in range(1, self.then.top_tier + 1))

    def leaves(self, one: Replayed, visits: Sequence[Visit]) -> bool:
        """Whether the other policy has a request go as it went, so that its record says what it costs."""
        again, then = one.again.decision, one.then.decision
        if again is None or then is None or not self.same_judges or one.was.tier != then.tier:
            return False
        way = (again.ceiling, again.validate_answer) == (then.ceiling, then.validate_answer)
        tiers = range(then.tier, max([then.tier, *(visit.tier for visit in visits)]) + 1)
        return way and one.again.asks == one.then.asks and all(self._is_same_tier(tier) for tier in tiers)

    def cost(self, call: RecordedCall, asked_ms: int) -> float:
        """Return what a recorded call costs at the prices of the other policy, in US dollars."""
        before = self.was_priced.rates(call.ref, asked_ms, call.input, batch=call.in_batch)
        after = self.prices.rates(call.ref, asked_ms, call.input, batch=call.in_batch)
        if after is None or before == after:
            return float(call.cost_usd)
        usage = Usage(input=call.input, output=call.output, cached=call.cached, cache_written=call.cache_written)
        return float(after.cost(usage))

    def judge_rates(self, answerer: ModelSettings, data_class: DataClass, asked_ms: int) -> tuple[float, float]:
        """Return the rates of who is asked first about a model's answers: input, output; zeros where nobody is."""
        judges = fit_to_judge(self.then, self.then.validation.chain, [(answerer.provider, answerer.model)], data_class)
        rates = self.prices.rates(judges[0].ref, asked_ms, 0) if judges else None
        return (float(rates.input), float(rates.output)) if rates is not None else (0.0, 0.0)

    def tokenizer(self, model: ModelSettings) -> Tokenizer:
        """Return the family of a model's tokenizer."""
        return self.windows.limits(model).tokenizer

    def _tier(self, number: int, answered: Mapping[int, Counter[str]]) -> TierPlan:
        models = self.then.tiers[number - 1].models
        recorded = self._recorded(number, answered)
        is_same = self._is_same_chain(number, recorded)
        seen = answered.get(recorded, Counter()) if is_same else Counter[str]()
        counts = [seen[model.ref] for model in models]
        total = sum(counts)
        shares = tuple(count / total for count in counts) if total else (1.0, *(0.0 for _ in models[1:]))
        return TierPlan(recorded, is_same, models, shares)

    def _recorded(self, number: int, answered: Mapping[int, Counter[str]]) -> int:
        """Choose the recorded tier: of the same chain, else where its first model answered most, else that number."""
        numbers = range(1, self.base.top_tier + 1)
        same = [tier for tier in numbers if self._is_same_chain(number, tier)]
        if same:
            return number if number in same else same[0]
        first = self.then.tiers[number - 1].models[0].ref
        answering = [tier for tier in numbers if answered.get(tier, Counter[str]())[first]]
        if answering:
            return max(answering, key=lambda tier: answered[tier][first])
        return min(number, self.base.top_tier)

    def _is_same_tier(self, number: int) -> bool:
        return number <= self.base.top_tier and self._is_same_chain(number, number)

    def _is_same_chain(self, number: int, recorded: int) -> bool:
        return bool(self._chains[number] == self._recorded_chains[recorded])

    @cached_property
    def _chains(self) -> dict[int, Any]:
        return _chains(self.then)

    @cached_property
    def _recorded_chains(self) -> dict[int, Any]:
        return _chains(self.base)


def _chains(settings: Settings) -> dict[int, Any]:
    return {
        number: (
            [(model.ref, model.max_tokens, model.extra) for model in tier.models],
            [(one.model.ref, one.share) for one in settings.canary if one.tier == number],
        )
        for number, tier in enumerate(settings.tiers, 1)
    }


class Prices:
    """The prices of settings at any hour; None for a model that nobody knows a price of."""

    def __init__(self, settings: Settings) -> None:
        self._book = PriceBook(settings.prices, settings.providers)
        self._known: dict[tuple[str, int, int, bool], Rates | None] = {}

    def rates(self, ref: str, asked_ms: int, tokens: int, *, batch: bool = False) -> Rates | None:
        """Return the rates of `provider/model` for an input of some length, by itself or in a batch of the provider."""
        length = sum(tokens > limit for limit in _LENGTHS)
        key = (ref, asked_ms // _HOUR_MS, length, batch)
        if key not in self._known:
            self._known[key] = self._found(ref, from_millis(asked_ms), tokens, batch=batch)
        return self._known[key]

    def _found(self, ref: str, at: datetime, tokens: int, *, batch: bool) -> Rates | None:
        provider, model = ref.split("/", 1)
        try:
            return self._book.rates(provider, model, at, Usage(input=tokens, output=0), batch=batch)
        except UnknownPriceError:
            return None

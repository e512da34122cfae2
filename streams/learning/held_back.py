"""Whether a candidate routes better than the active model, on requests that neither was trained on. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from streams.learning.tier_targets import KnownTiers

_DRAWS: Final = 2_000
_TAIL: Final = 0.005
"""On each side of the interval, which holds 99 %: a model is trained anew every day, and each may win by chance."""
_PER: Final = 1_000
"""Figures are of so many requests."""


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """A labelled request that was held back, and where the two models send it.

    Attributes:
        user: Who asked; requests of one user are drawn together. Empty: each by itself.
        known: What its labels say.
        beliefs: Probabilities, by the active model, of needing more than each tier but the last.
        prices: Of an answer of each tier, in US dollars.
        candidate: Tier that the candidate sends it to, as rules and limits have it.
        active: The same of the active model.
        weight: How many requests it stands for.
    """

    user: str
    known: KnownTiers
    beliefs: tuple[float, ...]
    prices: tuple[float, ...]
    candidate: int
    active: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a thousand such requests cost by either model, wrong answers included, and how sure that is.

    Attributes:
        requests: Held back, and with labels that don't contradict each other.
        moved: Of these, those that the two models send to different tiers.
        untested: Of those, the ones that go to a tier of which no label says how it does.
        too_low: Shares of requests that go to a tier that is known to be too low: candidate, active.
        too_high: The same for tiers above one that is known to do.
        usd: The costs: candidate, active.
        low: Of the interval of the difference, candidate less active.
        high: Of the interval.
    """

    requests: int
    moved: int
    untested: int
    too_low: tuple[float, float]
    too_high: tuple[float, float]
    usd: tuple[float, float]
    low: float
    high: float

    @property
    def is_better(self) -> bool:
        """Whether the candidate costs less, beyond its interval."""
        return self.high < 0


def compare(requests: Sequence[HeldRequest], wrong_usd: float, seed: int = 0) -> Comparison:
    """Compare two models on the same requests.

    A request costs the price of its tier, and `wrong_usd` where that is too low: 1 or 0 times it where labels know, by
    the active model's own belief where none does. What nobody has tried can only count against the candidate: where one
    of the two goes to such a tier, a difference in the candidate's favour is taken for none.

    Args:
        requests: That were held back.
        wrong_usd: What an answer costs that is not good enough, besides the call.
        seed: Of the draws.
    """
    sound = [request for request in requests if request.known.is_consistent]
    moved = [request for request in sound if request.candidate != request.active]
    total = sum(request.weight for request in sound) or 1.0
    active = sum(request.weight * _cost(request, request.active, wrong_usd) for request in sound) / total
    differences = [_difference(request, wrong_usd) for request in sound]
    change = sum(request.weight * d for request, d in zip(sound, differences, strict=True)) / total
    low, high = _interval(sound, differences, seed)
    return Comparison(
        requests=len(sound),
        moved=len(moved),
        untested=sum(not _is_tested(request) for request in moved),
        too_low=_shares([(r, r.candidate <= r.known.too_low, r.active <= r.known.too_low) for r in sound], total),
        too_high=_shares([(r, r.candidate > r.known.enough, r.active > r.known.enough) for r in sound], total),
        usd=((active + change) * _PER, active * _PER),
        low=low * _PER,
        high=high * _PER,
    )


def verdict(comparison: Comparison, fewest: int) -> tuple[bool, str]:
    """Say whether the candidate may be promoted, and why."""
    found = comparison
    if found.requests < fewest:
        return False, f"{found.requests} held-back requests with labels are too few: {fewest} are needed"
    if not found.moved:
        return False, "it sends every held-back request to the same tier as the active model"
    difference = f"{found.usd[0] - found.usd[1]:+.4f} USD per 1,000 requests, {found.low:+.4f} to {found.high:+.4f}"
    if found.is_better:
        return True, f"it costs less: {difference}"
    return False, f"it is not better beyond doubt: {difference}"


def too_low_probability(known: KnownTiers, beliefs: Sequence[float], tier: int) -> float:
    """Return how likely a tier is too low for a request, by what is known and else by what a model believes.

    Args:
        known: Of the request; consistent.
        beliefs: Probabilities of needing more than each tier but the last; they don't rise.
        tier: The tier.
    """
    if known.is_known(tier):
        return float(tier <= known.too_low)
    needs = (1.0, *beliefs, 0.0)
    likely = needs[known.too_low] - needs[known.enough]
    return (needs[tier] - needs[known.enough]) / likely if likely > 0 else 0.0


def _cost(request: HeldRequest, tier: int, wrong_usd: float) -> float:
    return request.prices[tier - 1] + wrong_usd * too_low_probability(request.known, request.beliefs, tier)


def _is_tested(request: HeldRequest) -> bool:
    return request.known.is_known(request.candidate) and request.known.is_known(request.active)


def _difference(request: HeldRequest, wrong_usd: float) -> float:
    found = _cost(request, request.candidate, wrong_usd) - _cost(request, request.active, wrong_usd)
    return found if _is_tested(request) else max(found, 0.0)


def _shares(found: Sequence[tuple[HeldRequest, bool, bool]], total: float) -> tuple[float, float]:
    return (
        sum(request.weight for request, candidate, _ in found if candidate) / total,
        sum(request.weight for request, _, active in found if active) / total,
    )


def _interval(requests: Sequence[HeldRequest], differences: Sequence[float], seed: int) -> tuple[float, float]:
    """Draw users anew, each with all of its requests, and return where the mean difference comes to lie."""
    sums: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for number, (request, difference) in enumerate(zip(requests, differences, strict=True)):
        of_user = sums[request.user, 0 if request.user else number + 1]
        of_user[0] += request.weight * difference
        of_user[1] += request.weight
    users = list(sums.values())
    if not users:
        return 0.0, 0.0
    draw = Random(seed)  # noqa: S311 - statistics
    means = []
    for _ in range(_DRAWS):
        drawn = draw.choices(users, k=len(users))
        means.append(sum(one[0] for one in drawn) / sum(one[1] for one in drawn))
    means.sort()
    cut = int(_DRAWS * _TAIL)
    return means[cut], means[-1 - cut]

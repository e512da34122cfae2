"""Which calls could move to another provider's model, and what they would cost there. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from analytics.leverage.model_facts import ModelFacts
from analytics.leverage.quality import Difference, Evidence, difference, z_for

Standing = Literal["same tier", "higher tier", "lower tier"]
"""Where the candidate's quality was measured, seen from the answers that would move.

In the same tier two models get the same requests, by limits and health. A higher tier gets harder ones, so that its
quality is rather better than measured. A lower one gets easier ones: what it would do here needs a trial first.
"""
MEASURED: Final[frozenset[Standing]] = frozenset({"same tier", "higher tier"})
_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Place:
    """A model in a tier."""

    tier: int
    ref: str

    @property
    def provider(self) -> str:
        """Whose it is."""
        return self.ref.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls for answers of one query type that a model in a tier got.

    Attributes:
        answers: That came back.
        fresh: Tokens of input, neither from a cache nor written to it.
        cached: From the cache.
        written: Written to it.
        output: Tokens of output.
        cost_usd: Of all.
    """

    answers: int
    fresh: int
    cached: int
    written: int
    output: int
    cost_usd: Decimal


Cell = tuple[Place, str]
"""With the query type."""


@dataclass(frozen=True, slots=True)
class Move:
    """What could go from a model to another one.

    Attributes:
        source: Who answers now.
        target: Who could.
        query_type: Of the requests.
        standing: How the target's quality is known.
        quality: The target's less the source's, with its interval.
        looks: Answers of the target that are known.
        answers: Of the source, that would move.
        cost_usd: What they cost where they are.
        target_usd: What they would cost at list prices.
    """

    source: Place
    target: Place
    query_type: str
    standing: Standing
    quality: Difference
    looks: float
    answers: float
    cost_usd: Decimal
    target_usd: Decimal

    def saving(self, discount: Decimal = Decimal(0)) -> Decimal:
        """What moving saves, where the target's list prices are lowered by a share."""
        return self.cost_usd - self.target_usd * (_ONE - discount)


@dataclass(frozen=True, slots=True)
class Ledgered:
    """What the ledger and the catalogue say.

    Attributes:
        traffic: By model in its tier, and query type.
        evidence: The same.
        facts: Of the models that could be called.
        fits: Share of the cost of a model's calls that are within another one's limits, by source and target.
    """

    traffic: Mapping[Cell, Traffic]
    evidence: Mapping[Cell, Evidence]
    facts: Mapping[str, ModelFacts]
    fits: Mapping[tuple[str, str], float]


def best_moves(known: Ledgered, margin: float, discount: Decimal) -> list[Move]:
    """Find where the calls of each model and query type could go: at most one place each.

    The target is another provider's; its answers are not worse by more than the margin, with the whole interval; its
    limits hold what moves; and it is not dearer, with the discount. Who costs least at list prices is taken, measured
    beside or above before those that need a trial.
    """
    compared = [(source, target) for source in known.traffic for target in _targets(source, known)]
    z = z_for(len(compared))
    best: dict[Cell, Move] = {}
    for source, target in compared:
        move = _move(source, target, known, z)
        if move is None or move.quality.low < -margin or move.answers == 0 or move.saving(discount) < 0:
            continue
        held = best.get(source)
        if held is None or _rank(move) < _rank(held):
            best[source] = move
    return list(best.values())


def _rank(move: Move) -> tuple[bool, Decimal, str]:
    return move.standing not in MEASURED, move.target_usd, move.target.ref


def _targets(source: Cell, known: Ledgered) -> Iterator[Cell]:
    place, query_type = source
    if not known.evidence.get(source, Evidence()).looks:
        return
    for target in known.evidence:
        is_like = target[1] == query_type and target[0].provider != place.provider
        if is_like and known.evidence[target].looks and target[0].ref in known.facts:
            yield target


def _move(source: Cell, target: Cell, known: Ledgered, z: float) -> Move | None:
    compared = difference(known.evidence[target], known.evidence[source], z)
    if compared is None:
        return None
    here, there = source[0], target[0]
    traffic = known.traffic[source]
    share = known.fits.get((here.ref, there.ref), 1.0)
    moved = Decimal(share)
    rates = known.facts[there.ref].rates
    cost = rates.cost(
        fresh=traffic.fresh,
        cached=traffic.cached,
        written=traffic.written,
        output=traffic.output * _lengthening(traffic, known.traffic.get(target)),
    )
    return Move(
        source=here,
        target=there,
        query_type=source[1],
        standing="same tier" if here.tier == there.tier else "higher tier" if there.tier > here.tier else "lower tier",
        quality=compared,
        looks=known.evidence[target].looks,
        answers=traffic.answers * share,
        cost_usd=traffic.cost_usd * moved,
        target_usd=cost * moved,
    )


def _lengthening(here: Traffic, there: Traffic | None) -> Decimal:
    """By how much longer the target's answers are; never shorter, as it may have had easier requests."""
    if there is None or not (here.output and here.answers and there.answers):
        return _ONE
    return max(_ONE, Decimal(there.output * here.answers) / Decimal(there.answers * here.output))


def of_provider(moves: Sequence[Move], provider: str) -> list[Move]:
    """Return the moves away from a provider, dearest first."""
    return sorted((move for move in moves if move.source.provider == provider), key=lambda one: -one.cost_usd)

"""What labels of answers say of the lowest tier that would have done. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnswerLabel:
    """Evidence that the answer of a tier was good or bad.

    Attributes:
        tier: That answered.
        value: 1 good, 0 bad; 0.5 says nothing.
        weight: How much it counts.
    """

    tier: int
    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class BoundaryTarget:
    """What is known of the question whether a request needs more than a tier.

    Attributes:
        enough: Weight of what says that the tier does.
        more: Weight of what says that a higher one is needed.
    """

    enough: float = 0.0
    more: float = 0.0

    @property
    def leaning(self) -> float:
        """Above 0: more is needed; below: it is enough; 0: it is open."""
        return self.more - self.enough


def boundary_targets(labels: Iterable[AnswerLabel], tiers: int) -> tuple[BoundaryTarget, ...]:
    """Turn the labels of a request into a target for each tier but the last.

    A bad answer of a tier says that more than it is needed, a good one that it is enough; neither says anything about
    lower tiers, of which nobody knows how they would have done. A bad answer of the last tier says nothing: nothing is
    above it. What is only partly good counts by how far it is from undecided.
    """
    enough, more = [0.0] * (tiers - 1), [0.0] * (tiers - 1)
    for label in labels:
        if not 1 <= label.tier < tiers:
            continue
        lean = 2 * label.value - 1
        if lean > 0:
            enough[label.tier - 1] += label.weight * lean
        else:
            more[label.tier - 1] -= label.weight * lean
    return tuple(BoundaryTarget(*pair) for pair in zip(enough, more, strict=True))


@dataclass(frozen=True, slots=True)
class KnownTiers:
    """Which tiers are known to be too low for a request, and which to do.

    Attributes:
        too_low: The highest one that is known to be too low; 0: none.
        enough: The lowest one that is known to do; the last one where none is: nothing is above it.
    """

    too_low: int
    enough: int

    @property
    def is_consistent(self) -> bool:
        """Whether no tier is both."""
        return self.too_low < self.enough

    def is_known(self, tier: int) -> bool:
        """Whether it is known how a tier does."""
        return tier <= self.too_low or tier >= self.enough


def known_tiers(targets: Sequence[BoundaryTarget]) -> KnownTiers:
    """Read the targets of a request: what needs more than a tier needs more than those below it."""
    leanings = [target.leaning for target in targets]
    return KnownTiers(
        too_low=max((tier for tier, lean in enumerate(leanings, 1) if lean > 0), default=0),
        enough=min((tier for tier, lean in enumerate(leanings, 1) if lean < 0), default=len(targets) + 1),
    )

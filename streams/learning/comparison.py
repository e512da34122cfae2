"""Whether a candidate may take the place of a tier's models, from blind comparisons of their answers. Pure.

Each comparison is a win, a tie or a loss of the candidate. What is estimated is wins less losses, as a share of all
comparisons: from -1, all lost, to 1, all won. The intervals hold however often they are looked at, and all of them at
once: the chance that one of a report's intervals, overall or of a query type, ever leaves out the truth is at most 5 %.
Half of that is for the overall one; the k-th query type, in the order of their first comparisons, has its part of the
other half, 1 / (k (k + 1)), so that it does not matter how many there will be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from streams.learning.betting import exceeds, lower_bound, upper_bound

ERROR_RATE: Final = 0.05
"""Of a report as a whole, over all looks at it."""

Decision = Literal["switch", "stay", "not yet"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How comparisons came out for the candidate."""

    wins: int = 0
    ties: int = 0
    losses: int = 0

    @property
    def total(self) -> int:
        """How many there were."""
        return self.wins + self.ties + self.losses

    @property
    def difference(self) -> float | None:
        """Wins less losses as a share of all; None where there are none."""
        return (self.wins - self.losses) / self.total if self.total else None

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.wins + other.wins, self.ties + other.ties, self.losses + other.losses)


@dataclass(frozen=True, slots=True)
class Finding:
    """What comparisons say of all requests, or of those of one type."""

    tally: Tally
    alpha: float
    """Chance of an error of its interval, over all looks."""

    @property
    def low(self) -> float:
        """Lower end of the interval of the difference."""
        return lower_bound(_counts(self.tally), lowest=-1, alpha=self.alpha / 2)

    @property
    def high(self) -> float:
        """Its upper end."""
        return upper_bound(_counts(self.tally), highest=1, alpha=self.alpha / 2)

    def is_better(self, than: float = 0.0) -> bool:
        """Whether the whole interval is above a difference."""
        return exceeds(_counts(self.tally), than, lowest=-1, alpha=self.alpha / 2)

    def is_worse(self, than: float = 0.0) -> bool:
        """Whether the whole interval is below a difference."""
        return exceeds(_counts(_mirrored(self.tally)), -than, lowest=-1, alpha=self.alpha / 2)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All comparisons with one candidate, by query type in the order of their first comparisons."""

    types: tuple[tuple[str, Tally], ...]

    @property
    def overall(self) -> Finding:
        """What they say of all requests."""
        return Finding(sum((tally for _, tally in self.types), start=Tally()), ERROR_RATE / 2)

    def by_type(self) -> Iterator[tuple[str, Finding]]:
        """Yield what they say of each type."""
        for k, (query_type, tally) in enumerate(self.types, start=1):
            yield query_type, Finding(tally, ERROR_RATE / 2 / (k * (k + 1)))

    def regressions(self, margin: float = 0.0) -> list[str]:
        """Name the types on which the candidate is worse for sure, by more than a margin."""
        return [query_type for query_type, finding in self.by_type() if finding.is_worse(-margin)]


@dataclass(frozen=True, slots=True)
class Costs:
    """Mean cost of an answer in US dollars, over the comparisons; None where it is not known."""

    candidate: Decimal | None
    incumbent: Decimal | None

    @property
    def is_cheaper(self) -> bool:
        """Whether the candidate costs less."""
        return self.candidate is not None and self.incumbent is not None and self.candidate < self.incumbent


def decide(comparison: Comparison, costs: Costs, *, failed: int, margin: float) -> tuple[Decision, str]:
    """Say what to do, and why.

    The first of these that holds decides, where "is" means that the whole interval says so:

    1. stay: it is worse by more than the margin, overall or on any query type.
    2. not yet: nothing was compared, or the candidate gave no answer in a larger share of the tries than the margin.
    3. not yet: it is worse on some query type, by how much is open.
    4. switch: it is better overall.
    5. switch: it is cheaper, and is not worse by more than the margin overall.
    6. stay: it is not cheaper, and is not better by more than the margin.
    7. not yet.

    Args:
        comparison: How the comparisons came out.
        costs: Of candidate and incumbent.
        failed: Tries in which the candidate gave no answer; they are no comparisons.
        margin: What may be lost in exchange for a lower price, above 0 and below 1.
    """
    return next(_reasons(comparison, costs, failed, margin))


def _reasons(comparison: Comparison, costs: Costs, failed: int, margin: float) -> Iterator[tuple[Decision, str]]:
    """Yield what holds, the strongest first."""
    overall, points = comparison.overall, f"{margin:.0%}"
    tries = overall.tally.total + failed
    if overall.is_worse(-margin):
        yield "stay", f"it is worse by more than {points}"
    if far := comparison.regressions(margin):
        yield "stay", f"it is worse by more than {points} on {_listed(far)}"
    if not overall.tally.total:
        yield "not yet", "nothing was compared"
    if failed > margin * tries:
        yield "not yet", f"it gave no answer in {failed} of {tries} tries"
    if near := comparison.regressions():
        yield "not yet", f"it is worse on {_listed(near)}, by how much is open"
    if overall.is_better():
        yield "switch", "it is better"
    if costs.is_cheaper and overall.is_better(-margin):
        yield "switch", f"it is cheaper, and not worse by more than {points}"
    if not costs.is_cheaper and overall.is_worse(margin):
        yield "stay", f"it is not cheaper, and not better by more than {points}"
    yield "not yet", "more comparisons are needed"


def _counts(tally: Tally) -> Sequence[tuple[float, int]]:
    return (1.0, tally.wins), (0.0, tally.ties), (-1.0, tally.losses)


def _mirrored(tally: Tally) -> Tally:
    return Tally(tally.losses, tally.ties, tally.wins)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name or "no type" for name in names)

"""What a way to route comes to on questions with known outcomes, beside chance for the same money."""

from dataclasses import dataclass

import numpy as np

from tierstream.training.evaluation import Array, Interval, Ints, interval, resample
from tierstream.training.folds import number_consecutively

DRAWS, SEED = 2000, 0
"""Of every interval."""
STACK, COMPUTED = "stack", "computed"
"""Where figures are from: all went through Kafka and a worker, or they were computed from what did."""


@dataclass(frozen=True)
class Known:
    """What either model makes of each question: whether it is right, and what it costs in US dollars."""

    weak: Array
    strong: Array
    cheap: Array
    dear: Array
    groups: Ints

    @property
    def consecutive_groups(self) -> Ints:
        return number_consecutively(self.groups.tolist())

    def at(self, rows: Ints) -> "Known":
        return Known(*(column[rows] for column in (self.weak, self.strong, self.cheap, self.dear, self.groups)))


@dataclass(frozen=True)
class Figures:
    """A way to route, beside routing at random for the same money; money is US dollars for 1,000 questions."""

    name: str
    source: str
    """`STACK` or `COMPUTED`."""
    questions: int
    frontier_share: float
    quality: float
    of_frontier_quality: float
    cost: float
    of_frontier_cost: float
    random: float
    """Mean quality of the random draws."""
    random_interval: Interval
    gain: float
    """Quality above the expected one of random routing."""
    gain_interval: Interval
    """With the questions drawn anew, by passage."""


def figures(name: str, source: str, known: Known, up: Array, cost: Array | None = None) -> Figures:
    """Compare a choice of questions for the frontier with chance.

    Args:
        name: What chose.
        source: See `Figures`.
        known: What either model makes of the questions.
        up: (questions,) 1 where the frontier answers.
        cost: (questions,) What was paid for each, in US dollars; None: for the answer alone.
    """
    quality = np.where(up, known.strong, known.weak)
    paid = np.where(up, known.dear, known.cheap) if cost is None else cost
    at_random = random_qualities(known, float(paid.sum()))
    gains = [
        gain_over_chance(known, quality, paid, weights) for weights in resample(known.consecutive_groups, DRAWS, SEED)
    ]
    thousand = 1000 / len(up)
    return Figures(
        name=name,
        source=source,
        questions=len(up),
        frontier_share=float(np.mean(up)),
        quality=float(quality.mean()),
        of_frontier_quality=float(quality.mean() / known.strong.mean()),
        cost=float(paid.sum()) * thousand,
        of_frontier_cost=float(paid.sum() / known.dear.sum()),
        random=float(at_random.mean()),
        random_interval=interval(at_random),
        gain=gain_over_chance(known, quality, paid, np.ones(len(up))),
        gain_interval=interval(gains),
    )


def random_qualities(known: Known, budget: float) -> Array:
    """Send questions to the frontier in random order for as long as the money lasts: (draws,)."""
    generator = np.random.default_rng(SEED)
    order = generator.permuted(np.tile(np.arange(len(known.weak)), (DRAWS, 1)), axis=1)
    more = (known.dear - known.cheap)[order].cumsum(axis=1)
    afforded = more <= budget - known.cheap.sum() + 1e-12
    gained: Array = ((known.strong - known.weak)[order] * afforded).sum(axis=1)
    return known.weak.mean() + gained / len(known.weak)


def gain_over_chance(known: Known, quality: Array, paid: Array, weights: Array) -> float:
    """Return the quality above that of a coin which costs as much on average."""
    weak, strong, cheap, dear, own, cost = (
        float(weights @ column / weights.sum())
        for column in (known.weak, known.strong, known.cheap, known.dear, quality, paid)
    )
    return own - weak - (strong - weak) * min((cost - cheap) / (dear - cheap), 1.0)

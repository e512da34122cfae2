"""How good answers are, and whether others are as good, with intervals. Pure.

An answer is good if it passed the free checks and a judge passed it. All answers are checked, and a share of those that
passed is judged; so the failed ones count by as many as there would be, had as large a share of them been looked at.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

ERROR_RATE: Final = 0.05
"""Of all intervals of a report together."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a model's answers.

    Attributes:
        answers: That came, checked ones and others.
        check_failures: Of them, those that failed a free check.
        judged: That a judge looked at.
        passed: Of them, those that the judge passed.
    """

    answers: int = 0
    check_failures: int = 0
    judged: int = 0
    passed: float = 0.0

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.answers + other.answers,
            self.check_failures + other.check_failures,
            self.judged + other.judged,
            self.passed + other.passed,
        )

    @property
    def looks(self) -> float:
        """How many answers are known well enough: the judged ones, and their share of those that failed a check."""
        passed_checks = self.answers - self.check_failures
        return self.judged * self.answers / passed_checks if passed_checks > 0 else 0.0

    @property
    def good(self) -> float | None:
        """Share of the answers that are good; None where no judge looked."""
        return min(1.0, self.passed / self.looks) if self.looks else None


@dataclass(frozen=True, slots=True)
class Difference:
    """Share of good answers of a candidate less that of the incumbent, with its interval."""

    value: float
    low: float
    high: float


def z_for(comparisons: int) -> float:
    """Return how many standard errors wide intervals are, of which all hold together."""
    return NormalDist().inv_cdf(1 - ERROR_RATE / max(1, comparisons) / 2)


def difference(candidate: Evidence, incumbent: Evidence, z: float) -> Difference | None:
    """Compare two models' shares of good answers; None where nothing is known of one.

    The interval is Newcombe's: made of the score intervals of the two shares.
    """
    ours, theirs = candidate.good, incumbent.good
    if ours is None or theirs is None:
        return None
    low, high = _score_interval(ours, candidate.looks, z)
    other_low, other_high = _score_interval(theirs, incumbent.looks, z)
    value = ours - theirs
    return Difference(
        value,
        max(-1.0, value - math.hypot(ours - low, other_high - theirs)),
        min(1.0, value + math.hypot(high - ours, theirs - other_low)),
    )


def _score_interval(share: float, looks: float, z: float) -> tuple[float, float]:
    middle = (share + z * z / (2 * looks)) / (1 + z * z / looks)
    half = z / (1 + z * z / looks) * math.sqrt(share * (1 - share) / looks + z * z / (4 * looks * looks))
    return max(0.0, middle - half), min(1.0, middle + half)

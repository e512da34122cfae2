"""Two small regressions with shrinkage: of a number, and of a share. Numbers and categories explain them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_STEPS: Final = 25
_SMALL_STEP: Final = 1e-8
_LARGEST_LOGIT: Final = 15.0


@dataclass(frozen=True, slots=True)
class Layout:
    """What the coefficients stand for.

    Attributes:
        numbers: Penalty of each number's coefficient; the first number is 1 everywhere.
        categories: Of each category: how many values it has, and the penalty of their coefficients. A value that is
            not among the data has the coefficient 0, that of few is pulled there: what holds for all is left.
    """

    numbers: tuple[float, ...]
    categories: tuple[tuple[int, float], ...]

    @property
    def size(self) -> int:
        """How many coefficients there are."""
        return len(self.numbers) + sum(values for values, _ in self.categories)

    @property
    def penalties(self) -> Floats:
        """Of each coefficient."""
        return np.concatenate([self.numbers, *(np.full(values, penalty) for values, penalty in self.categories)])

    def dense(self, numbers: Floats, codes: Ints) -> Floats:
        """Return a row of columns for each observation.

        Args:
            numbers: (observations, numbers)
            codes: (observations, categories) Values from 0 on.
        """
        found = np.zeros((len(numbers), self.size))
        at = len(self.numbers)
        found[:, :at] = numbers
        rows = np.arange(len(numbers))
        for column, (values, _) in enumerate(self.categories):
            found[rows, at + codes[:, column]] = 1.0
            at += values
        return found

    def dot(self, coefficients: Floats, numbers: Floats, codes: Ints) -> Floats:
        """Return what `dense` times the coefficients would be, without making it."""
        at = len(self.numbers)
        found: Floats = numbers @ coefficients[:at]
        for column, (values, _) in enumerate(self.categories):
            found = found + coefficients[at + codes[:, column]]
            at += values
        return found


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums that a linear regression is made of; those of parts add up to those of the whole."""

    xx: Floats
    xy: Floats

    @classmethod
    def of(cls, rows: Floats, values: Floats) -> "Moments":
        """Take the sums of some observations."""
        return cls(rows.T @ rows, rows.T @ values)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.xx + other.xx, self.xy + other.xy)

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.xx - other.xx, self.xy - other.xy)


def ridge(layout: Layout, moments: Moments) -> Floats:
    """Return the coefficients with the least squared error plus penalties."""
    return np.linalg.solve(moments.xx + np.diag(layout.penalties), moments.xy).astype(np.float64)


def logistic(layout: Layout, rows: Floats, count: Floats, hits: Floats) -> Floats:
    """Return the coefficients of the logit of a share, by Newton's method; with no observations that share is a half.

    Args:
        layout: Of the coefficients.
        rows: (observations, coefficients) As `dense` makes them.
        count: Of each row, how often it was observed.
        hits: How often of these it was true.
    """
    found, penalties = np.zeros(layout.size), layout.penalties
    for _ in range(_STEPS):
        share = expit(rows @ found)
        gradient = rows.T @ (hits - count * share) - penalties * found
        weights = count * share * (1 - share)
        step = np.linalg.solve((rows * weights[:, None]).T @ rows + np.diag(penalties), gradient)
        # Far from the top a whole step may lead beyond it.
        found += step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < _SMALL_STEP:
            break
    return found


def expit(logits: Floats) -> Floats:
    """Turn log odds into shares."""
    found: Floats = 1 / (1 + np.exp(-np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)))
    return found

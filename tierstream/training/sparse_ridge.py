"""Ridge regression on the entries of a sparse matrix: what a linear model of words is fitted by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierstream.training.evaluation import Array, Ints

_MOST_STEPS: Final = 200
_EXACT: Final = 1e-6
"""It stops where the residual is this small a part of what it started from."""


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A sparse matrix, a row for each text and a column for each term.

    Attributes:
        row: (entries,) The text.
        term: (entries,) The term.
        value: (entries,)
        rows: How many texts.
        terms: How many terms.
    """

    row: Ints
    term: Ints
    value: Array
    rows: int
    terms: int

    def fit(self, chosen: NDArray[np.bool_], target: Array, penalty: float) -> tuple[Array, float]:
        """Fit a target by ridge regression.

        Args:
            chosen: (rows,) Which rows to fit to.
            target: (rows,) What to predict; of other rows it does not matter.
            penalty: Of the squared weights.

        Returns:
            The weights, (terms,), and the intercept: what a row without entries comes to.
        """
        mask = chosen.astype(np.float64)
        count = mask.sum()
        mean_target = float(target @ mask / count)
        mean_row = self._transposed_times(mask) / count

        def weights_of(dual: Array) -> Array:
            return np.asarray(self._transposed_times(dual) - mean_row * dual.sum())

        def gram(dual: Array) -> Array:
            """Multiply by the inner products of the centred rows, plus the penalty; rows left out stay at 0."""
            weights = weights_of(dual)
            return np.asarray(mask * (self.times(weights) - mean_row @ weights) + penalty * dual)

        weights = weights_of(_solve(gram, mask * (target - mean_target)))
        return weights, float(mean_target - mean_row @ weights)

    def times(self, weights: NDArray[np.floating]) -> Array:
        """Return the weighted sum of each row: (rows,)."""
        return np.bincount(self.row, self.value * weights[self.term], minlength=self.rows).astype(np.float64)

    def _transposed_times(self, of_rows: Array) -> Array:
        return np.bincount(self.term, self.value * of_rows[self.row], minlength=self.terms).astype(np.float64)


def _solve(matrix: Callable[[Array], Array], wanted: Array) -> Array:
    """Solve matrix(x) = wanted for a symmetric positive definite matrix (Hestenes and Stiefel 1952)."""
    x, residual = wanted * 0.0, wanted
    direction, size = residual, float(residual @ residual)
    goal = _EXACT**2 * size
    for _ in range(_MOST_STEPS):
        if size <= goal:
            break
        image = matrix(direction)
        step = size / float(direction @ image)
        x = x + step * direction
        residual = residual - step * image
        before, size = size, float(residual @ residual)
        direction = residual + size / before * direction
    return x

"""A linear model of the words: a weight for each, which carries on where the trees have too few rows to split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.routing.learned.forest import Floats, Ints
from streams.routing.sparse_ridge import SparseRows

Matrix = NDArray[np.float64]

_PENALTY: Final = 10.0
"""Of the squared weights."""


@dataclass(frozen=True, slots=True)
class WordWeights:
    """A weighted sum of the words of a text, each by its tf-idf.

    Attributes:
        weight: (vocabulary,)
        intercept: What a text without any known word comes to.
    """

    weight: Floats
    intercept: float

    def predict(self, words: Ints, tf_idf: Floats) -> float:
        """Return the sum for the words of a text, of which no two are the same."""
        return float(tf_idf.dot(self.weight.take(words))) + self.intercept


class WordRows:
    """The words of several texts, by their tf-idf."""

    def __init__(self, texts: Sequence[tuple[Ints, Floats]], vocabulary: int) -> None:
        self._rows = SparseRows(
            np.repeat(np.arange(len(texts)), [len(words) for words, _ in texts]),
            np.concatenate([np.zeros(0, dtype=np.intp), *(words for words, _ in texts)]),
            np.concatenate([np.zeros(0), *(tf_idf for _, tf_idf in texts)]),
            len(texts),
            vocabulary,
        )

    def fit(self, chosen: NDArray[np.bool_], target: Matrix) -> WordWeights:
        """Fit the target by ridge regression.

        Args:
            chosen: (texts,) Which texts to fit to.
            target: (texts,) What to predict.
        """
        weights, intercept = self._rows.fit(chosen, target, _PENALTY)
        return WordWeights(weights.astype(np.float32), intercept)

    def times(self, weights: NDArray[np.floating]) -> Matrix:
        """Return the weighted sum of each text: (texts,)."""
        return self._rows.times(weights)

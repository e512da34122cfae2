"""A linear model of the words: a weight for each, which carries on where the trees have too few rows to split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.routing import conjugate_gradients
from streams.routing.learned.forest import Floats, Ints

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
    """The words of several texts: a sparse matrix of their tf-idf."""

    def __init__(self, texts: Sequence[tuple[Ints, Floats]], vocabulary: int) -> None:
        sizes = [len(words) for words, _ in texts]
        self._row = np.repeat(np.arange(len(texts)), sizes)
        self._word = np.concatenate([np.zeros(0, dtype=np.intp), *(words for words, _ in texts)])
        self._value = np.concatenate([np.zeros(0), *(tf_idf for _, tf_idf in texts)])
        self._texts, self._vocabulary = len(texts), vocabulary

    def fit(self, chosen: NDArray[np.bool_], target: Matrix) -> WordWeights:
        """Fit the target by ridge regression.

        Args:
            chosen: (texts,) Which texts to fit to.
            target: (texts,) What to predict.
        """
        mask = chosen.astype(np.float64)
        count = mask.sum()
        mean_target = float(target @ mask / count)
        mean_row = self._transposed_times(mask) / count

        def weights_of(dual: Matrix) -> Matrix:
            return np.asarray(self._transposed_times(dual) - mean_row * dual.sum())

        def gram(dual: Matrix) -> Matrix:
            """Multiply by the inner products of the centred rows, plus the penalty; rows left out stay at 0."""
            weights = weights_of(dual)
            return np.asarray(mask * (self.times(weights) - mean_row @ weights) + _PENALTY * dual)

        weights = weights_of(conjugate_gradients.solve(gram, mask * (target - mean_target)))
        return WordWeights(weights.astype(np.float32), float(mean_target - mean_row @ weights))

    def times(self, weights: NDArray[np.floating]) -> Matrix:
        """Return the weighted sum of each text: (texts,)."""
        return np.bincount(self._row, self._value * weights[self._word], minlength=self._texts).astype(np.float64)

    def _transposed_times(self, of_texts: Matrix) -> Matrix:
        return np.bincount(self._word, self._value * of_texts[self._row], minlength=self._vocabulary).astype(np.float64)

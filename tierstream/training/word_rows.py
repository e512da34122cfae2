"""The words of many texts, and the weights that fit a target."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.routing.learned.forest import Floats, Ints
from streams.routing.learned.word_weights import WordWeights
from tierstream.training.sparse_ridge import SparseRows

Matrix = NDArray[np.float64]

_PENALTY: Final = 10.0
"""Of the squared weights."""


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

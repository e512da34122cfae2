"""Fits the projection: a truncated singular value decomposition of the tf-idf matrix of the training prompts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.routing.learned.forest import Ints
from streams.routing.learned.projection import Projection

Matrix = NDArray[np.float64]

_OVERSAMPLED: Final = 10
_ITERATIONS: Final = 4


@dataclass(frozen=True, slots=True)
class _Sparse:
    """A matrix of which only the entries other than zero are kept."""

    row: Ints
    column: Ints
    data: Matrix
    shape: tuple[int, int]

    def times(self, dense: Matrix) -> Matrix:
        return np.stack(
            [np.bincount(self.row, self.data * c[self.column], minlength=self.shape[0]) for c in dense.T], axis=1
        )

    def transposed_times(self, dense: Matrix) -> Matrix:
        return np.stack(
            [np.bincount(self.column, self.data * c[self.row], minlength=self.shape[1]) for c in dense.T], axis=1
        )


def fit_projection(
    documents: Sequence[Sequence[str]], *, dimensions: int, vocabulary: int, document_frequency: int, seed: int
) -> Projection:
    """Find the directions in which the documents differ most, by subspace iteration.

    The method is that of Halko, Martinsson and Tropp, "Finding structure with randomness" (arXiv 0909.4061).

    Args:
        documents: The tokens of each.
        dimensions: Of the projection; fewer where the vocabulary is smaller.
        vocabulary: Most tokens that it knows: those of the most documents.
        document_frequency: Fewest documents that each of them occurs in.
        seed: Of the random start.
    """
    counts = [Counter(document) for document in documents]
    frequency = Counter(token for count in counts for token in count)
    known = sorted(frequency, key=lambda token: (-frequency[token], token))[:vocabulary]
    # A line break ends a word in the model file; a token never has one.
    words = sorted(token for token in known if frequency[token] >= document_frequency) or known[:1] or [""]
    occurrences = np.array([frequency[word] for word in words], dtype=np.float64)
    idf = np.log((1 + len(documents)) / (1 + occurrences)) + 1
    index = {word: row for row, word in enumerate(words)}
    matrix = _tf_idf(counts, index, idf)
    width = min(dimensions + _OVERSAMPLED, *matrix.shape)
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(words), width)))[0]
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(matrix.transposed_times(matrix.times(basis)))[0]
    _, _, rotation = np.linalg.svd(matrix.times(basis), full_matrices=False)
    # As coarse as the file keeps it, so that the forest is fitted to what it will see.
    kept = (basis @ rotation.T)[:, :dimensions].astype(np.float16).astype(np.float32)
    return Projection(index, idf.astype(np.float32), kept)


def _tf_idf(counts: Sequence[Counter[str]], index: dict[str, int], idf: Matrix) -> _Sparse:
    """Return the documents' weights, each row of unit length."""
    entries = [
        (row, index[token], count)
        for row, document in enumerate(counts)
        for token, count in document.items()
        if token in index
    ]
    row, column, count = np.array(entries, dtype=np.intp).reshape(-1, 3).T
    data = (1 + np.log(count)) * idf[column]
    data /= np.sqrt(np.bincount(row, data**2, minlength=len(counts)))[row]
    return _Sparse(row, column, data, (len(counts), len(idf)))

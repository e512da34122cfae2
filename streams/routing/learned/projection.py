"""Latent semantic analysis: a text's words as a short dense vector."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streams.routing.learned.forest import Floats, Ints


@dataclass(frozen=True, slots=True)
class Projection:
    """A map from tokens to a vector; tokens outside the vocabulary count for nothing.

    Attributes:
        rows: Row of each token of the vocabulary.
        idf: (vocabulary,) Inverse document frequency.
        basis: (vocabulary, dimensions)
    """

    rows: dict[str, int]
    idf: Floats
    basis: Floats

    def tf_idf(self, tokens: Sequence[str]) -> tuple[Ints, Floats]:
        """Return the known words and their tf-idf, a vector of unit length: two of (words,)."""
        counts = Counter(map(self.rows.get, tokens))
        counts.pop(None, None)
        if not counts:
            return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.float32)
        ids = np.fromiter(counts, dtype=np.intp, count=len(counts))
        weight = np.fromiter(counts.values(), dtype=np.float32, count=len(counts))
        np.log(weight, out=weight)
        weight += 1
        weight *= self.idf.take(ids)
        weight /= np.sqrt(weight.dot(weight))
        return ids, weight

    def project(self, words: Ints, tf_idf: Floats) -> Floats:
        """Return the projection of words: (dimensions,); zeros if there is none."""
        projected: Floats = tf_idf.dot(self.basis.take(words, axis=0))
        return projected

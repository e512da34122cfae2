"""Latent semantic analysis: a text's words as a short dense vector."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streams.routing.learned.forest import Floats


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

    def __call__(self, tokens: Sequence[str]) -> Floats:
        """Return the projected tf-idf vector of unit length: (dimensions,); zeros if no token is known."""
        counts = Counter(map(self.rows.get, tokens))
        counts.pop(None, None)
        if not counts:
            return np.zeros(self.basis.shape[1], dtype=np.float32)
        ids = np.fromiter(counts, dtype=np.intp, count=len(counts))
        weight = np.fromiter(counts.values(), dtype=np.float32, count=len(counts))
        np.log(weight, out=weight)
        weight += 1
        weight *= self.idf.take(ids)
        weight /= np.sqrt(weight.dot(weight))
        projected: Floats = weight.dot(self.basis.take(ids, axis=0))
        return projected

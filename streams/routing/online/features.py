"""What the online router sees of a request: its form and what the shipped classifier says, as one bounded vector."""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.routing.request_classifier.classifier import RequestClassifier
from topics.requests import Request

Floats = NDArray[np.float64]

_WAVES: Final = 128
"""Random Fourier features (Rahimi and Recht 2007): a linear model of them is nearly one with a Gaussian kernel."""
_WIDTH: Final = 0.03
"""Of the kernel exp(-width |x - y|²); of 0.003, 0.01 and 0.03 the best by cross-validation."""
_LINEAR: Final = 0.1
"""What the surface itself counts beside its waves."""
_RANK: Final = 12**0.5
"""Makes even ranks of variance 1."""
_SCORE: Final = 0.5
_LARGEST_SCORE: Final = 4.0
_SEED: Final = 1_404


class RequestFeatures:
    """Turns requests into vectors; deterministic, and of the text alone.

    The form is read as the rank of each feature among the requests that the classifier was trained on, so that no
    text, however long or strange, is far from all others.

    Args:
        classifier: The one that ships, whatever model is active: learned weights belong to its scores.
    """

    def __init__(self, classifier: RequestClassifier | None = None) -> None:
        self._classifier = classifier or RequestClassifier.shipped()
        cuts = self._classifier.model.cuts
        # Ranks count only where there is a cut: the others are at infinity.
        self._ranks = np.maximum(np.isfinite(cuts).sum(axis=1), 1)
        self._surface = len(cuts) + self._classifier.model.intercept.shape[0]
        self._waves, self._phases = _drawn(self._surface)
        self.size: Final = 1 + self._surface + _WAVES
        self.version: Final = f"waves/1:{self._classifier.version.rpartition(':')[2]}"

    def of(self, request: Request) -> Floats:
        """Return the vector of a request: (size,), the first of it 1; about 0.2 ms."""
        bins, scores = self._classifier.surface(request)
        found = np.empty(self.size)
        found[0] = 1.0
        surface = np.concatenate(
            ((bins / self._ranks - 0.5) * _RANK, np.clip(scores * _SCORE, -_LARGEST_SCORE, _LARGEST_SCORE))
        )
        found[1 : 1 + self._surface] = _LINEAR * surface
        found[1 + self._surface :] = (2 / _WAVES) ** 0.5 * np.cos(surface @ self._waves + self._phases)
        return found

    def of_text(self, text: str) -> Floats:
        """Return the vector of a prompt that is a conversation's only turn: (size,)."""
        return self.of(Request.model_validate({"request_id": "-", "messages": [{"role": "user", "content": text}]}))

    def of_texts(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of prompts: (prompts, size)."""
        return np.array([self.of_text(text) for text in texts]).reshape(-1, self.size)


@cache
def _drawn(surface: int) -> tuple[Floats, Floats]:
    # The generator whose stream NumPy promises never to change: all workers have the same waves.
    generator = np.random.RandomState(_SEED)
    waves = generator.standard_normal((surface, _WAVES)) * (2 * _WIDTH) ** 0.5
    return waves, generator.uniform(0, 2 * np.pi, _WAVES)

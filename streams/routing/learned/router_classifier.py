"""The learned classifier in the router: what was learned moves what the features of the request say, within bounds."""

import math
from collections.abc import Sequence
from typing import Final

from streams.routing.features_classifier import FeaturesClassifier
from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.query_type import QueryType
from topics.requests import Request

_WEIGHT: Final = 1.0
"""Of the learned evidence; the features see what exam questions never show: stakes, kind and form of the request."""
_MOST: Final = 2.0
"""Most that it moves the log odds, either way."""
_LEAST_GAIN, _MOST_GAIN = 0.05, 0.95
"""Predictions beyond are read as these: single labels are too noisy to tell."""
_MUTE: Final = frozenset({QueryType.EXTRACTION})
"""Kinds whose text is mostly a document, of which the difficulty of a question can't be told."""


class LearnedRouterClassifier:
    """Adds the evidence of a learned classifier to the features classifier's, as log odds.

    A prompt with the gain that is usual in the training outcomes (or at the calibrated threshold) moves nothing; more
    gain raises the probability of needing a higher tier, less lowers it. Deterministic as long as nothing is observed.
    """

    def __init__(self, learned: LearnedClassifier) -> None:
        self._learned = learned
        self._features = FeaturesClassifier()
        usual = learned.training.mean_gain if learned.threshold is None else 2 * learned.threshold - 1
        self._usual = _evidence(usual)

    @property
    def version(self) -> str:
        """Name both classifiers, and the digest of the learned one's parameters."""
        return f"learned/1:{self._learned.version}+{self._features.version}"

    def needs_more_than(self, request: Request, query_type: str, tiers: int) -> Sequence[float]:
        """Return, for each tier but the last, the probability that the request needs a higher one."""
        needs = self._features.needs_more_than(request, query_type, tiers)
        shift = self._shift(request, query_type)
        return [_moved(p, shift) for p in needs] if shift else needs

    def observe(self, request: Request, *, weak_correct: float, strong_correct: float) -> None:
        """Learn from the outcome of a request, as `LearnedClassifier.observe` does."""
        self._learned.observe(request.question, weak_correct=weak_correct, strong_correct=strong_correct)

    def _shift(self, request: Request, query_type: str) -> float:
        """Return what the learned evidence adds to the log odds."""
        if request.response_schema is not None or query_type in _MUTE:
            return 0.0
        gain = 2 * self._learned.score(request.question) - 1
        if gain < 0:
            # That a stronger model does worse is a sign of broken labels, and no reason to go down.
            return 0.0
        return min(max(_WEIGHT * (_evidence(gain) - self._usual), -_MOST), _MOST)


def _evidence(gain: float) -> float:
    bounded = min(max(gain, _LEAST_GAIN), _MOST_GAIN)
    return math.log(bounded / (1 - bounded))


def _moved(p: float, shift: float) -> float:
    """Add to the log odds of a probability, which may be 0 or 1."""
    odds = p * math.exp(shift)
    return odds / (odds + 1 - p)

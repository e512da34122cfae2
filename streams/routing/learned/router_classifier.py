"""The learned classifier in the router: what was learned moves what the features of the request say, within bounds."""

import itertools
import math
from collections.abc import Sequence
from typing import Final

from streams.routing.features_classifier import FeaturesClassifier
from streams.routing.learned.classifier import LearnedClassifier, Reading
from streams.routing.query_type import QueryType
from topics.requests import Request

_PRIOR_MOST: Final = 2.0
"""Most that the shipped model moves the log odds, either way."""
_UNLIKE: Final = 1 / 3
"""Its weight on texts without lettered options, which hardly any of its training questions lacks."""
_OWN_STEEPNESS: Final = 40.0
"""Log odds for each unit of gain that a model of a deployment's own predicts above or below the usual one."""
_OWN_MOST: Final = 6.0
_FEATURES_BESIDE_OWN: Final = 0.5
"""Of the features' log odds, so much is left beside such a model."""
_STEEPNESS: Final = 40.0
"""Log odds of a calibrated step for each unit of gain above its threshold: 0.05 above it make 0.88 of 0.5."""
_LEAST_LIKELY: Final = 0.001
"""A boundary at 0 or 1 is read as this close to it: no evidence moves those."""
_LEAST_GAIN, _MOST_GAIN = 0.05, 0.95
"""Predictions beyond are read as these: single labels are too noisy to tell."""
_MUTE: Final = frozenset({QueryType.EXTRACTION})
"""Kinds whose text is mostly a document, of which the difficulty of a question can't be told."""


class LearnedRouterClassifier:
    """Adds the evidence of a learned classifier to the features classifier's, as log odds.

    A prompt with the gain that is usual in the training outcomes moves nothing; more gain raises the probability of
    needing a higher tier, less lowers it. The shipped model is a weak prior: it knows exam questions and one pair of
    models. One that was trained on other outcomes has the main say. Either counts the less, the fewer of a text's words
    it knows. A step between tiers that the model was calibrated for is another matter: there the learned score decides
    alone, about its threshold, or the quality that was asked for would not be kept. Deterministic.

    Args:
        learned: What was learned.
        goes_up_from: The probability from which the router sends a request up; what a prompt just at a calibrated
            threshold gets.
    """

    def __init__(self, learned: LearnedClassifier, goes_up_from: float = 0.5) -> None:
        self._learned = learned
        self._goes_up_from = min(max(goes_up_from, _LEAST_LIKELY), 1 - _LEAST_LIKELY)
        self._features = FeaturesClassifier()
        self._evidence = _of_prior if learned.is_shipped else _of_own
        self._cuts = [None if threshold is None else 2 * threshold - 1 for threshold in learned.thresholds]
        """Gain from which a prompt goes above tier 1, 2 and so on, where that was calibrated."""

    @property
    def version(self) -> str:
        """Name both classifiers, and the digest of the learned one's parameters."""
        return f"learned/2:{self._learned.version}+{self._features.version}"

    def needs_more_than(self, request: Request, query_type: str, tiers: int) -> Sequence[float]:
        """Return, for each tier but the last, the probability that the request needs a higher one."""
        needs = self._features.needs_more_than(request, query_type, tiers)
        text = request.question
        if request.response_schema is not None or query_type in _MUTE or not text.strip():
            return needs
        reading = self._learned.read(text)
        gain = 2 * reading.score - 1
        share, shift = self._evidence(reading, gain, self._learned.training.mean_gain)
        cuts = itertools.chain(self._cuts, itertools.repeat(None))
        found = (
            _moved(p, share, shift) if cut is None else _moved(self._goes_up_from, 1.0, _STEEPNESS * (gain - cut))
            for p, cut in zip(needs, cuts, strict=False)
        )
        # What needs more than tier 2 needs more than tier 1, however the two were calibrated.
        return [*itertools.accumulate(found, min)]


def _of_prior(reading: Reading, gain: float, usual: float) -> tuple[float, float]:
    """Return the share of the features' log odds that counts, and what is added to it."""
    if gain < 0:
        # That a stronger model does worse is a sign of broken labels, and no reason to go down.
        return 1.0, 0.0
    weight = _familiarity(reading) * (1.0 if reading.has_options else _UNLIKE)
    return 1.0, weight * _bounded(_log_odds(gain) - _log_odds(usual), _PRIOR_MOST)


def _of_own(reading: Reading, gain: float, usual: float) -> tuple[float, float]:
    """Return the same for a model of a deployment's own."""
    familiarity = _familiarity(reading)
    share = 1 - familiarity * (1 - _FEATURES_BESIDE_OWN)
    return share, familiarity * _bounded(_OWN_STEEPNESS * (gain - usual), _OWN_MOST)


def _familiarity(reading: Reading) -> float:
    """Return 1 where it knows every word, 0 where it knows half of them or fewer: a text in another language, say."""
    return max(2 * reading.known - 1, 0.0)


def _bounded(value: float, most: float) -> float:
    return min(max(value, -most), most)


def _log_odds(gain: float) -> float:
    read = min(max(gain, _LEAST_GAIN), _MOST_GAIN)
    return math.log(read / (1 - read))


def _moved(p: float, share: float, shift: float) -> float:
    """Scale the log odds of a probability, which may be 0 or 1, and add to them."""
    odds = math.pow(p, share) * math.exp(shift)
    return odds / (odds + math.pow(1 - p, share))

"""A model of a deployment's outcomes in the router: it moves what the classifier of requests says."""

import itertools
import math
from dataclasses import replace
from typing import Final

from streams.routing.classifier import Classifier, Evidence, ExplainingClassifier, QueryType, Reading
from streams.routing.learned.classifier import LearnedClassifier
from topics.requests import Request

_STEEPNESS: Final = 40.0
"""Log odds for each unit of gain that is predicted above or below the usual one, or above a calibrated threshold: 0.05
above it make 0.88 of 0.5."""
_MOST: Final = 6.0
"""Most that is added to the log odds of a step that was not calibrated."""
_REQUESTS_BESIDE: Final = 0.5
"""Of the log odds of the classifier of requests, so much is left beside a model that knows all the words."""
_LEAST_LIKELY: Final = 0.001
"""A boundary at 0 or 1 is read as this close to it: no evidence moves those."""


class LearnedRouterClassifier:
    """Adds the evidence of a model of outcomes to the classifier of requests, as log odds. Deterministic.

    A prompt with the gain that is usual in the training outcomes moves nothing; more gain raises the probability of
    needing a higher tier, less lowers it; the less, the fewer of a text's words the model knows. At a step between
    tiers that it was calibrated for, the learned score decides alone, about its threshold, or the quality that was
    asked for would not be kept. It says nothing of requests with a schema, or that their producer calls extractions:
    their text is mostly a document.

    Args:
        learned: What was learned.
        requests: What scores requests without it, and names their kind.
        goes_up_from: The probability from which the router sends a request up; what a prompt just at a calibrated
            threshold gets.
    """

    def __init__(self, learned: LearnedClassifier, requests: Classifier, goes_up_from: float = 0.5) -> None:
        self._learned = learned
        self._requests = requests
        self._goes_up_from = min(max(goes_up_from, _LEAST_LIKELY), 1 - _LEAST_LIKELY)
        self._cuts = [None if threshold is None else 2 * threshold - 1 for threshold in learned.thresholds]
        """Gain from which a prompt goes above tier 1, 2 and so on, where that was calibrated."""
        self.version: Final = f"outcomes/1:{learned.version}+{requests.version}"

    def read(self, request: Request, tiers: int) -> Reading:
        """Score a request for so many tiers."""
        found = self._requests.read(request, tiers)
        needs = (
            _moved(self._goes_up_from, 1.0, shift) if share is None else _moved(p, share, shift)
            for p, (share, shift) in zip(found.needs, self._steps(request, found), strict=True)
        )
        # What needs more than tier 2 needs more than tier 1, however the two were calibrated.
        return Reading([*itertools.accumulate(needs, min)], found.query_type)

    def evidence(self, request: Request, tiers: int) -> list[Evidence]:
        """Say what moved the scores: what moved those of the classifier of requests, and the model of outcomes."""
        steps = self._steps(request, self._requests.read(request, tiers))
        inner = self._requests.evidence(request, tiers) if isinstance(self._requests, ExplainingClassifier) else []
        return [
            Evidence("model of outcomes", "outcomes", tuple(shift for _, shift in steps)),
            *(
                replace(one, moved=tuple(by * (share or 0.0) for by, (share, _) in zip(one.moved, steps, strict=True)))
                for one in inner
            ),
        ]

    def _steps(self, request: Request, found: Reading) -> list[tuple[float | None, float]]:
        """Return for each step the share of the log odds found that counts (None: calibrated), and what is added."""
        text = request.question
        if request.response_schema is not None or request.query_type == QueryType.EXTRACTION or not text.strip():
            return [(1.0, 0.0)] * len(found.needs)
        reading = self._learned.read(text)
        gain = 2 * reading.score - 1
        # 0 where it knows half of the words or fewer: a text in another language, say.
        familiarity = max(2 * reading.known - 1, 0.0)
        share = 1 - familiarity * (1 - _REQUESTS_BESIDE)
        more = _STEEPNESS * (gain - self._learned.training.mean_gain)
        shift = familiarity * min(max(more, -_MOST), _MOST)
        cuts = itertools.islice(itertools.chain(self._cuts, itertools.repeat(None)), len(found.needs))
        return [(share, shift) if cut is None else (None, _STEEPNESS * (gain - cut)) for cut in cuts]


def _moved(p: float, share: float, shift: float) -> float:
    """Scale the log odds of a probability, which may be 0 or 1, and add to them."""
    odds = math.pow(p, share) * math.exp(shift)
    return odds / (odds + math.pow(1 - p, share))

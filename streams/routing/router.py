"""The decision: rules first, then the classifier within what they leave, one tier up where it is unsure."""

from collections.abc import Sequence

from streams.context_windows import ContextWindows
from streams.routing.classifier import Classifier, tier_probabilities
from streams.routing.policy import Classified, Policy
from streams.routing.query_type import query_type
from streams.routing.signature import signature
from topics.requests import Request
from topics.tasks import Decision


class Router:
    """Decides the tier of a request; deterministic, so that a redelivered request gets the same tier."""

    def __init__(
        self,
        *,
        policy: Policy,
        classifier: Classifier,
        tiers: int,
        boundary: tuple[float, float],
        sample_rate: float,
        windows: ContextWindows,
    ) -> None:
        self._policy = policy
        self._classifier = classifier
        self._tiers = tiers
        self._boundary = boundary
        self._sample_rate = sample_rate
        self._windows = windows

    def decide(self, request: Request, digest: str) -> Decision:
        """Choose the lowest tier whose chance of being too weak stays below the boundary band.

        Where the request outgrows the models of that tier it starts on the next one up that has room for it.

        Raises:
            ContextTooLongError: No tier up to the ceiling has room for it.
        """
        kind = query_type(request)
        bounds = self._policy.bounds(request, kind)
        needs = self._classifier.needs_more_than(request, kind, self._tiers)
        scores = tier_probabilities(needs)
        band = shifted(self._boundary, bounds.threshold_shift)
        classified, at_boundary = self._classified(needs, band)
        bounds = self._policy.reviewed(bounds, request, kind, Classified(classified, scores[classified - 1]))
        reasons = list(bounds.reasons)
        if at_boundary and bounds.tier is None:
            reasons.append("boundary")
        tier, rule = bounds.decide(classified)
        floor = bounds.floor
        roomy = self._windows.lowest_tier(request, tier, bounds.ceiling)
        if roomy != tier:
            reasons.append(f"context window of tier {tier}")
            tier = floor = roomy
        return Decision(
            tier=tier,
            rule=rule,
            scores=scores,
            boundary=band,
            classifier=self._classifier.version,
            query_type=kind,
            validate_answer=bounds.validate_answer or _sampled(digest, self._sample_rate),
            floor=floor,
            ceiling=bounds.ceiling,
            reasons=tuple(reasons),
            classified_tier=classified,
            signature=signature(request.question),
        )

    def _classified(self, needs: Sequence[float], band: tuple[float, float]) -> tuple[int, bool]:
        """Return the tier by the scores alone, and whether it is one up for being unsure."""
        low, high = band
        tier = next((k for k, p in enumerate(needs, start=1) if p < low), self._tiers)
        return tier, any(low <= p <= high for p in needs[: tier - 1])


def shifted(band: tuple[float, float], by: float) -> tuple[float, float]:
    """Move the boundary band, as far as it stays within 0 and 1."""
    low, high = band
    by = min(max(by, -low), 1 - high)
    return round(low + by, 6), round(high + by, 6)


def _sampled(digest: str, rate: float) -> bool:
    """Pick a share of the requests by their digest, the same ones after every restart."""
    return int(digest[:8], 16) < rate * 0x1_0000_0000

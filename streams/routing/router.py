"""The decision: rules first, then the classifier within what they leave, one tier up where it is unsure."""

from streams.context_windows import ContextWindows
from streams.routing.classifier import Classifier, tier_probabilities
from streams.routing.policy import Policy
from streams.routing.query_type import query_type
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
        reasons = list(bounds.reasons)
        if bounds.tier is not None:
            tier = bounds.tier
        else:
            low, high = self._boundary
            tier = next((k for k, p in enumerate(needs, start=1) if p < low), self._tiers)
            if any(low <= p <= high for p in needs[: tier - 1]):
                reasons.append("boundary")
        tier = min(max(tier, bounds.floor), bounds.ceiling)
        floor = bounds.floor
        roomy = self._windows.lowest_tier(request, tier, bounds.ceiling)
        if roomy != tier:
            reasons.append(f"context window of tier {tier}")
            tier = floor = roomy
        return Decision(
            tier=tier,
            rule=bounds.rule,
            scores=tier_probabilities(needs),
            boundary=self._boundary,
            classifier=self._classifier.version,
            query_type=kind,
            validate_answer=bounds.validate_answer or _sampled(digest, self._sample_rate),
            floor=floor,
            ceiling=bounds.ceiling,
            reasons=tuple(reasons),
        )


def _sampled(digest: str, rate: float) -> bool:
    """Pick a share of the requests by their digest, the same ones after every restart."""
    return int(digest[:8], 16) < rate * 0x1_0000_0000

"""The decision: rules first, then the classifier within what they leave, one tier up where it is unsure."""

from collections.abc import Sequence
from dataclasses import dataclass

from streams.config.eligible_models import EligibleModels, NoModelError
from streams.routing.affinity import Affinity, Standing
from streams.routing.classifier import Evidence, ExplainingClassifier, tier_probabilities
from streams.routing.online.budget import BudgetChoice, BudgetRouting
from streams.routing.policy import Bounds, Classified, Policy
from streams.routing.simhash import signature
from streams.routing.versions import ClassifierVersions
from topics.requests import Request
from topics.tasks import Decision

ASK_ALWAYS = (0.0, 1.0)
"""The `ask_band` that every probability lies in."""

_FURTHEST = 1
"""Most tiers that a vote moves a request: whoever talks the model into something gains no more than that."""


@dataclass(frozen=True, slots=True)
class TierVote:
    """What a language model thinks of a request."""

    probabilities: tuple[float, ...]
    """For each tier, cheapest first, that it is the lowest one that will do; they add up to 1."""
    version: str
    """Model and prompt, such as `groq/openai/gpt-oss-20b classify/1`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What this process decides by itself, and whether a vote is worth its price."""

    decision: Decision
    asks: bool
    request: Request
    bounds: Bounds
    """What the policy left open before any scores were known."""
    classified_tier: int
    """The tier that the scores come to, wherever rules then send the request; what a vote moves."""


class Router:
    """Decides the tier of a request; deterministic, so that a redelivered request gets the same tier.

    What is known of its conversation may be more the second time; then it may stay where it went elsewhere before.

    Args:
        policy: The rules and limits.
        classifiers: The versions of the classifier that scores in this process.
        tiers: How many there are.
        boundary: The band of probability that counts as unsure.
        models: Who may serve which request.
        ask_band: A language model is to be asked where the probability of needing more than the tier that the scores
            come to, or than the one below it, lies in this band; rules shift it with the boundary. None: never.
        budget: Chooses the tier where the rules leave it open; None: the scores do.
        affinity: Keeps conversations with tools where they are; None: nothing does.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        classifiers: ClassifierVersions,
        tiers: int,
        boundary: tuple[float, float],
        models: EligibleModels,
        ask_band: tuple[float, float] | None = None,
        budget: BudgetRouting | None = None,
        affinity: Affinity | None = None,
    ) -> None:
        self._policy = policy
        self._classifiers = classifiers
        self._tiers = tiers
        self._boundary = boundary
        self._models = models
        self._ask_band = ask_band
        self._budget = budget
        self._affinity = affinity

    def draft(
        self,
        request: Request,
        digest: str,
        arrived_ms: int,
        ceilings: tuple[tuple[int, str], ...] = (),
        standing: Standing | None = None,
    ) -> Draft:
        """Decide with what is at hand, by the version of the classifier that was in force when the request arrived.

        Args:
            request: What is asked.
            digest: Of the request; stands for chance where a budget has something learned.
            arrived_ms: The broker's append time, milliseconds since the epoch.
            ceilings: Highest tiers that exhausted budgets leave, each with its reason.
            standing: Where the conversation of the request is; None: nowhere, as far as is known.

        Raises:
            NoModelError: No model of the tiers up to the ceiling may serve it, or none is the one that it names.
        """
        classifier = self._classifiers.at(arrived_ms)
        reading = classifier.read(request, self._tiers)
        needs, kind = reading.needs, reading.query_type
        bounds = self._policy.bounds(request, kind, ceilings=ceilings)
        classified, _ = self._classified(needs, shifted(self._boundary, bounds.threshold_shift))
        choice = self._within_budget(request, digest, arrived_ms, bounds)
        decision = self._decision(
            request, kind, bounds, needs, classifier.version, signed=signature(request.question), choice=choice
        )
        kept = None
        if standing is not None and self._affinity is not None:
            kept = self._affinity.kept(request, standing, decision, bounds, arrived_ms)
        return Draft(
            decision=kept or decision,
            asks=kept is None
            and choice is None
            and request.model is None
            and self._is_worth_asking(needs, bounds, classified),
            request=request,
            bounds=bounds,
            classified_tier=classified,
        )

    def evidence(self, request: Request, arrived_ms: int) -> list[Evidence]:
        """Say what moved the scores of the classifier that `draft` asks; nothing where it can't say."""
        classifier = self._classifiers.at(arrived_ms)
        return classifier.evidence(request, self._tiers) if isinstance(classifier, ExplainingClassifier) else []

    def decide(self, draft: Draft, vote: TierVote | None) -> Decision:
        """Let a vote move the draft by at most one tier, within what the policy leaves.

        Without a vote it is the draft's decision. So it is with one that nobody asked for, that is about another
        number of tiers, or that leads further (by a rule about the scores, or past a tier without a model for the
        request) or to where nobody may serve it.
        """
        drafted = draft.decision
        if vote is None or not draft.asks or len(vote.probabilities) != self._tiers:
            return drafted
        lowest, *_, highest = self._reach(draft.classified_tier)
        needs = [_need(vote.probabilities, tier, lowest, highest) for tier in range(1, self._tiers)]
        version = f"{drafted.classifier} then {vote.version}"
        try:
            voted = self._decision(
                draft.request,
                drafted.query_type,
                draft.bounds,
                needs,
                version,
                signed=drafted.signature,
            )
        except NoModelError:
            return drafted
        return voted if abs(voted.tier - drafted.tier) <= _FURTHEST else drafted

    def _decision(
        self,
        request: Request,
        kind: str,
        bounds: Bounds,
        needs: Sequence[float],
        version: str,
        *,
        signed: str | None,
        choice: BudgetChoice | None = None,
    ) -> Decision:
        """Choose the lowest tier whose chance of being too weak stays below the boundary band, or what a budget chose.

        Where no model of that tier may serve the request it starts on the next one up that has such a model, and where
        the request names its model on the lowest tier that has that one, which it does not leave.
        """
        scores = tier_probabilities(needs)
        band = shifted(self._boundary, bounds.threshold_shift)
        classified, at_boundary = self._classified(needs, band)
        bounds = self._policy.reviewed(bounds, request, kind, Classified(classified, scores[classified - 1]))
        reasons = list(bounds.reasons)
        tier, rule = bounds.decide(classified if choice is None else choice.tier)
        floor, ceiling = bounds.floor, bounds.ceiling
        if (named := self._models.named(request)) is not None:
            tier, rule = floor, f"model {named}"
            reasons.append(rule)
        elif choice is not None:
            reasons.append(choice.reason)
        elif at_boundary and bounds.tier is None:
            reasons.append("boundary")
        start = self._models.lowest_tier(request, tier, ceiling)
        if start.reason is not None:
            reasons.append(start.reason)
            floor = start.tier
        if named is not None:
            floor = ceiling = start.tier
        return Decision(
            tier=start.tier,
            rule=rule,
            scores=scores,
            boundary=band,
            classifier=version if choice is None else f"{version} under {choice.policy}",
            query_type=kind,
            validate_answer=bounds.validate_answer,
            floor=floor,
            ceiling=ceiling,
            reasons=tuple(reasons),
            classified_tier=classified,
            signature=signed,
        )

    def _within_budget(self, request: Request, digest: str, arrived_ms: int, bounds: Bounds) -> BudgetChoice | None:
        """Choose by what was learned under a budget; None where there is none, or the rules leave no choice."""
        is_set = bounds.tier is not None or request.model is not None or bounds.floor >= bounds.ceiling
        if self._budget is None or is_set:
            return None
        return self._budget.choose(request, digest, arrived_ms, lowest=bounds.floor, highest=bounds.ceiling)

    def _classified(self, needs: Sequence[float], band: tuple[float, float]) -> tuple[int, bool]:
        """Return the tier by the scores alone, and whether it is one up for being unsure."""
        low, high = band
        tier = next((k for k, p in enumerate(needs, start=1) if p < low), self._tiers)
        return tier, any(low <= p <= high for p in needs[: tier - 1])

    def _is_worth_asking(self, needs: Sequence[float], bounds: Bounds, classified: int) -> bool:
        """Whether the scores leave it open, and a vote could change where the request goes."""
        if self._ask_band is None or len({bounds.decide(tier)[0] for tier in self._reach(classified)}) == 1:
            return False
        low, high = shifted(self._ask_band, bounds.threshold_shift)
        return any(low <= p <= high for p in needs[max(classified - 2, 0) : classified])

    def _reach(self, classified: int) -> range:
        """Return the tiers that a vote may move a request to, at least two."""
        return range(max(classified - _FURTHEST, 1), min(classified + _FURTHEST, self._tiers) + 1)


def _need(probabilities: Sequence[float], tier: int, lowest: int, highest: int) -> float:
    """Return the probability of needing more than a tier; what lies beyond the reach counts for its nearest end."""
    if tier < lowest:
        return 1.0
    return min(sum(probabilities[tier:]), 1.0) if tier < highest else 0.0


def shifted(band: tuple[float, float], by: float) -> tuple[float, float]:
    """Move the boundary band, as far as it stays within 0 and 1."""
    low, high = band
    by = min(max(by, -low), 1 - high)
    return round(low + by, 6), round(high + by, 6)

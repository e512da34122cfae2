"""What the router asks where a deployment has a budget a request: the policy of that time, about tiers."""

from dataclasses import dataclass
from typing import Final

from streams.routing.online.features import RequestFeatures
from streams.routing.online.policy import Choice
from streams.routing.online.versions import OnlinePolicies
from topics.requests import Request

_DIGITS: Final = 8
"""Of the digest, that stand for chance."""


@dataclass(frozen=True, slots=True)
class BudgetChoice:
    """The tier for a request, and by which policy."""

    tier: int
    policy: str
    """As decisions name it, such as `budget/17`."""
    reason: str


class BudgetRouting:
    """Chooses tiers by the policies that a deployment has learned.

    Args:
        policies: Kept up to date by whoever follows `llm.control`.
        features: What a request looks like.
        tiers: How many there are; policies about another number are not asked.
    """

    def __init__(self, policies: OnlinePolicies, features: RequestFeatures, tiers: int) -> None:
        self._policies = policies
        self._features = features
        self._tiers = tiers

    def choose(self, request: Request, digest: str, asked_ms: int, *, lowest: int, highest: int) -> BudgetChoice | None:
        """Choose the tier of a request within bounds; None where no policy that fits was in force at its time.

        Args:
            request: What is asked.
            digest: Of the request; stands for chance.
            asked_ms: When the broker appended it, ms since the epoch.
            lowest: First tier that is allowed.
            highest: Last one.
        """
        policy = self._policies.at(asked_ms)
        if policy is None or policy.features != self._features.version or len(policy.arms) != self._tiers:
            return None
        draw = int(digest[:_DIGITS], 16) / 16**_DIGITS
        choice = policy.choose(self._features.of(request), draw, lowest, highest)
        return BudgetChoice(choice.arm, f"budget/{policy.version}", _reason(choice))


def _reason(choice: Choice) -> str:
    if choice.explored:
        return "budget: to learn"
    reward, cost = choice.rewards[choice.arm - 1], choice.costs_usd[choice.arm - 1]
    return f"budget: {reward:.2f} for ${cost:.2g}, a dollar has to bring {choice.price:.3g}"

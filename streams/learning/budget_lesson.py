"""Which tier is worth its price, learned from what requests cost and what became known of their answers."""

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from streams.config.settings_learning import LearningSettings
from streams.learning.evidence import FirstTier, first_tier
from streams.learning.lesson import Lesson
from streams.routing.online.arms import Arm, LearnerOptions
from streams.routing.online.features import Floats, RequestFeatures
from streams.routing.online.learner import Learner
from streams.routing.online.versions import OnlinePolicies
from topics.base import Record
from topics.feedback import Feedback
from topics.learned import ONLINE_POLICY_KEY, OnlinePolicyUpdate
from topics.requests import Request
from topics.results import Result

Narrow = NDArray[np.float32]

_MOST_OPEN: Final = 20_000
"""Requests whose result or feedback may still come; the oldest give way. Some 20 MB."""


@dataclass(slots=True)
class _Seen:
    """What is known of a request so far."""

    features: Narrow | None = None
    answer: FirstTier | None = None
    user: str | None = None


class BudgetLesson(Lesson):
    """Feeds the learner, and publishes its policy.

    A request teaches what the tier that it went to first brings: nothing is known of the others. What a rule or the
    requester decided is paid for, and teaches nothing.

    Args:
        settings: How much is explored, and when a policy takes force.
        arms: The tiers, cheapest first, with what is guessed of them.
        budget_usd: What requests may cost on average.
        features: What requests look like.
        policies: Those that were published before, whose numbers go on.
        window_ms: How far back requests may be delivered again.
    """

    reads_requests: ClassVar[bool] = True

    def __init__(
        self,
        settings: LearningSettings,
        arms: Sequence[Arm],
        *,
        budget_usd: float,
        features: RequestFeatures,
        policies: OnlinePolicies,
        window_ms: int,
    ) -> None:
        self._settings = settings
        self._features = features
        self._policies = policies
        self._window_ms = window_ms
        options = LearnerOptions(exploration=settings.exploration)
        self._learner = Learner(arms, budget_usd, features.version, features.size, options=options)
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._is_new = False
        self._number = policies.newest

    def on_request(self, request: Request, asked_ms: int) -> None:
        """Keep what the request looks like until its result is there."""
        del asked_ms
        seen = self._of(request.request_id)
        if seen.features is None:
            seen.features = self._features.of(request).astype(np.float32)
            seen.user = request.user_id
            self._learn(seen)

    def on_result(self, result: Result) -> None:
        """Take in what a request cost, and what was found out about its first answer."""
        if result.revision:
            # It was paid for the request that had its result before.
            self._learner.spend(float(result.cost_usd), requests=0)
            return
        seen = self._of(result.request_id)
        if seen.answer is not None:
            return
        seen.answer = first_tier(result)
        if seen.answer is not None:
            self._learn(seen)

    def on_feedback(self, feedback: Feedback) -> None:
        """Take in what somebody thinks of an answer."""
        seen = self._seen.get(feedback.request_id)
        if seen is None or seen.features is None or seen.answer is None or feedback.revision:
            return
        if seen.answer.was_chosen and seen.answer.stands:
            user = feedback.user_id or seen.user or ""
            self._learner.observe_reward(_wide(seen.features), self._arm(seen.answer.tier), feedback.score, user=user)
            self._is_new = True

    def conclusions(self, now: datetime) -> Sequence[Record]:
        """Return the policy of this moment, where something has come since the last one."""
        if not self._is_new:
            return ()
        self._is_new = False
        self._number = max(self._number, self._policies.newest) + 1
        policy = replace(self._learner.snapshot(), version=self._number)
        return (
            OnlinePolicyUpdate(
                version=self._number,
                policy=b64encode(policy.dumps()),
                delay_ms=round(self._settings.delay_s * 1000),
                at=now,
            ),
        )

    def outdated(self, now: datetime) -> Sequence[str]:
        """Return the policies that ended before the window in which requests are delivered again."""
        since_ms = int(now.timestamp() * 1000) - self._window_ms
        return [f"{ONLINE_POLICY_KEY}{number}" for number in self._policies.ended_before(since_ms)]

    def _learn(self, seen: _Seen) -> None:
        if seen.features is None or seen.answer is None:
            return
        self._is_new = True
        answer = seen.answer
        if answer.was_chosen:
            self._learner.observe(_wide(seen.features), self._arm(answer.tier), answer.value, answer.cost_usd)
        else:
            self._learner.spend(answer.cost_usd)

    def _arm(self, tier: int) -> str:
        return self._learner.arms[tier - 1]

    def _of(self, request_id: str) -> _Seen:
        seen = self._seen.setdefault(request_id, _Seen())
        self._seen.move_to_end(request_id)
        if len(self._seen) > _MOST_OPEN:
            self._seen.popitem(last=False)
        return seen


def _wide(features: Narrow) -> Floats:
    return features.astype(np.float64)

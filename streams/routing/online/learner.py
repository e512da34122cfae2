"""Follows a deployment's outcomes, and says what workers shall decide by."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streams.routing.online.arms import Arm, LearnerOptions
from streams.routing.online.drift import ChangeDetector
from streams.routing.online.features import Floats
from streams.routing.online.pacing import Pacer, price_of_a_dollar
from streams.routing.online.policy import OnlinePolicy
from streams.routing.online.prior import Prior
from streams.routing.online.shared_regression import SharedRegression, Spread
from streams.routing.online.user_caps import UserCaps

_REWARD: Final = Spread(shared=0.0133, own=0.0033, level=0.0225, level_drift=1e-7, weight_drift=5e-6)
_LOG_COST: Final = Spread(shared=0.3, own=0.15, level=1.0, level_drift=1e-6, weight_drift=5e-6)
_WELL_KNOWN: Final = 0.01
"""Standard deviation of an arm's reward from which on it has no benefit of the doubt."""
_UNKNOWN_REWARD: Final = 0.8
_REWARD_NOISE: Final = 0.0225
_LEAST_NOISE: Final = 0.0025
_COST_NOISE: Final = 0.3
_NOISE_MEMORY: Final = 0.995
_LARGEST_SURPRISE: Final = 0.5
"""Of a reward: one that is further from what was expected counts as this far."""
_LARGEST_COST_SURPRISE: Final = 3.0
"""Of the logarithm of a cost."""
_REWARD_DOUBT: Final = 0.0225
"""Variance of the level of an arm that has changed."""
_COST_DOUBT: Final = 1.0
_SMALLEST_COST: Final = 1e-9
"""Of a call, in dollars, so that free ones have a logarithm."""
_RATIO_MEMORY: Final = 0.995
_RATIO_COUNT: Final = 100.0
_WINDOW: Final = 300
"""Recent requests for which the price of a dollar is solved."""
_AT_ONCE: Final = 64
"""Outcomes that are gathered at most before they are taken in."""


@dataclass(slots=True)
class _Known:
    """What is known of one arm besides its weights."""

    noise: float = _REWARD_NOISE
    ratio_above: float = _RATIO_COUNT
    ratio_below: float = _RATIO_COUNT
    reward_change: ChangeDetector = field(default_factory=ChangeDetector)
    cost_change: ChangeDetector = field(default_factory=ChangeDetector)

    def observe_noise(self, surprise: float, counts: float) -> None:
        """Take in by how much a reward was above what was expected."""
        step = (1 - _NOISE_MEMORY) * counts
        self.noise = max(self.noise + step * (surprise**2 - self.noise), _LEAST_NOISE)

    def observe_ratio(self, cost_usd: float, expected_usd: float) -> None:
        """Take in a cost, and the one that its mean logarithm says."""
        self.ratio_above = self.ratio_above * _RATIO_MEMORY + cost_usd / expected_usd
        self.ratio_below = self.ratio_below * _RATIO_MEMORY + 1

    @property
    def log_ratio(self) -> float:
        """What the mean cost is above the one that its mean logarithm says."""
        return math.log(self.ratio_above / self.ratio_below)


@dataclass(frozen=True, slots=True)
class _Pending:
    """Outcomes that are not taken in yet."""

    arms: list[int] = field(default_factory=list)
    features: list[Floats] = field(default_factory=list)
    surprises: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)

    def add(self, arm: int, features: Floats, surprise: float, noise: float) -> None:
        self.arms.append(arm)
        self.features.append(features)
        self.surprises.append(surprise)
        self.noise.append(noise)


class Learner:
    """Learns what each arm brings and costs from the outcomes of those that were chosen; deterministic.

    Args:
        arms: At least one.
        budget_usd: Wanted mean cost of a request, in dollars.
        features_version: Of the vectors that it is given.
        size: Of the vectors.
        prior: To begin with; arms that are not in it begin as guessed.
        options: How it behaves.

    Raises:
        ValueError: There is no arm, a name is twice, or the budget is no amount above 0.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        budget_usd: float,
        features_version: str,
        size: int,
        prior: Prior | None = None,
        options: LearnerOptions = LearnerOptions(),  # noqa: B008 - immutable
    ) -> None:
        if not arms:
            raise ValueError("a learner wants at least one arm")
        if not (math.isfinite(budget_usd) and budget_usd > 0):
            raise ValueError(f"the budget is {budget_usd}: an amount above 0 is wanted")
        self._options = options
        self._features_version = features_version
        self._size = size
        self._names: list[str] = []
        self._known: list[_Known] = []
        self._reward = SharedRegression(size, _REWARD)
        self._cost = SharedRegression(size, _LOG_COST)
        self._pacer = Pacer(budget_usd, options.pacing)
        self._caps = UserCaps(options.user_share, options.user_memory)
        self._window: deque[tuple[Floats, int, int | None]] = deque(maxlen=_WINDOW)
        self._rewards, self._costs = _Pending(), _Pending()
        self._version = 0
        self._refresh()
        for arm in arms:
            self.add_arm(arm)
        if prior is not None:
            self._begin(prior)

    @property
    def arms(self) -> tuple[str, ...]:
        """Names, in the order of their numbers."""
        return tuple(self._names)

    @property
    def saved_usd(self) -> float:
        """What the requests so far cost less than the budget; negative where it was more."""
        return self._pacer.saved_usd

    def add_arm(self, arm: Arm) -> None:
        """Add an arm behind the others; nothing is known of it but the guesses.

        Raises:
            ValueError: There is one of this name, or a guess is no number that it can be.
        """
        if arm.name in self._names:
            raise ValueError(f"there is an arm {arm.name} already")
        if not (math.isfinite(arm.cost_usd) and arm.cost_usd >= 0 and (arm.reward is None or 0 <= arm.reward <= 1)):
            raise ValueError(f"the guesses of arm {arm.name} are no amount of dollars and no reward from 0 to 1")
        self._take_in()
        self._refresh()
        reward = self._reward_at(arm.cost_usd) if arm.reward is None else arm.reward
        self._names.append(arm.name)
        self._known.append(_Known())
        self._reward.add_arm(reward)
        self._cost.add_arm(_log(arm.cost_usd))
        self._centre(len(self._names) - 1)
        self._refresh()

    def announce_price(self, name: str, factor: float) -> None:
        """Say that an arm costs so many times what it did, as a price list does.

        Raises:
            ValueError: There is no such arm, or the factor is not above 0.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"the price of {name} times {factor}: a factor above 0 is wanted")
        arm = self._number(name)
        self._take_in()
        self._cost.shift(arm, math.log(factor))
        self._refresh()

    def observe(
        self,
        features: Floats,
        arm: str,
        reward: float | None,
        cost_usd: float,
        user: str | None = None,
        weight: float = 1.0,
        lowest: int = 1,
        highest: int | None = None,
    ) -> None:
        """Take in the outcome of a request.

        Args:
            features: Of the request: (size,).
            arm: The one that it went to.
            reward: From 0 to 1; None where nobody said.
            cost_usd: What was paid, with all attempts.
            user: Who said what it was worth; None for a judge or a check, which nobody bounds.
            weight: What the reward counts, from 0 to 1: less where it is less certain.
            lowest: First arm that was allowed.
            highest: Last one; default: of all.

        Raises:
            ValueError: There is no such arm, or a number is out of range.
        """
        number = self._number(arm)
        if not (math.isfinite(cost_usd) and cost_usd >= 0):
            raise ValueError(f"the request cost {cost_usd}: an amount of dollars is wanted")
        if reward is not None and not (0 <= reward <= 1 and 0 <= weight <= 1):
            raise ValueError(f"a reward of {reward} with weight {weight}: both are from 0 to 1")
        self._window.append((self._checked(features), lowest, highest))
        self._pacer.spend(cost_usd)
        self._observe_cost(number, features, cost_usd)
        if reward is not None:
            self._observe_reward(number, features, reward, weight, user)
        if len(self._costs.arms) >= _AT_ONCE:
            self._take_in()
            self._refresh()

    def observe_reward(
        self, features: Floats, arm: str, reward: float, user: str | None = None, weight: float = 1.0
    ) -> None:
        """Take in what became known of an answer after its request was observed; nothing was paid for it.

        Args:
            features: Of the request: (size,).
            arm: The one that it went to.
            reward: From 0 to 1.
            user: Who said so; None for a judge or a check.
            weight: What it counts, from 0 to 1.

        Raises:
            ValueError: There is no such arm, or a number is out of range.
        """
        if not (0 <= reward <= 1 and 0 <= weight <= 1):
            raise ValueError(f"a reward of {reward} with weight {weight}: both are from 0 to 1")
        self._observe_reward(self._number(arm), self._checked(features), reward, weight, user)
        if len(self._rewards.arms) >= _AT_ONCE:
            self._take_in()
            self._refresh()

    def spend(self, cost_usd: float, *, requests: int = 1) -> None:
        """Take in what was paid that teaches nothing about arms, for others chose.

        Args:
            cost_usd: In dollars.
            requests: For how many; 0: for one that was taken in before, such as an answer that was given anew.

        Raises:
            ValueError: It is no amount of dollars.
        """
        if not (math.isfinite(cost_usd) and cost_usd >= 0):
            raise ValueError(f"the request cost {cost_usd}: an amount of dollars is wanted")
        self._pacer.spend(cost_usd, requests=requests)

    def snapshot(self) -> OnlinePolicy:
        """Return what to decide by from now on."""
        self._take_in()
        self._refresh()
        self._version += 1
        cost_weights = self._cost_weights.copy()
        cost_weights[:, 0] += [known.log_ratio for known in self._known]
        options = self._options
        spreads = np.sqrt(self._reward.variances(self._typical()))
        doubts = np.maximum(spreads - _WELL_KNOWN, 0.0)
        return OnlinePolicy(
            version=self._version,
            features=self._features_version,
            arms=tuple(self._names),
            reward_weights=_as_published(self._reward_weights),
            cost_weights=_as_published(cost_weights),
            doubts=tuple(doubts.tolist()),
            price=self._price(cost_weights, doubts),
            ceiling_usd=self._pacer.ceiling_usd,
            exploration=options.exploration,
            floor=min(options.floor, options.exploration),
            exploration_usd=options.exploration_cost * self._pacer.budget_usd,
        )

    def _checked(self, features: Floats) -> Floats:
        if features.shape != (self._size,) or not np.isfinite(features).all():
            raise ValueError(f"the features are not {self._size} finite numbers")
        return features

    def _price(self, cost_weights: Floats, doubts: Floats) -> float:
        if not self._window:
            return 0.0
        features = np.array([seen[0] for seen in self._window])
        rewards = features @ self._reward_weights.T
        costs = np.exp(np.clip(features @ cost_weights.T, -50, 50))
        numbers = np.arange(1, len(self._names) + 1)
        lowest = np.array([seen[1] for seen in self._window])
        highest = np.array([len(numbers) if seen[2] is None else seen[2] for seen in self._window])
        # Without the ceiling, which passes: while it holds back expensive calls, a lower price would buy poor ones.
        allowed = (numbers >= lowest[:, None]) & (numbers <= highest[:, None])
        return price_of_a_dollar(np.where(allowed, rewards, -np.inf), costs, doubts, self._pacer.target_usd)

    def _observe_cost(self, arm: int, features: Floats, cost_usd: float) -> None:
        known = self._known[arm]
        expected = float(self._cost_weights[arm] @ features)
        surprise = min(max(_log(cost_usd) - expected, -_LARGEST_COST_SURPRISE), _LARGEST_COST_SURPRISE)
        known.observe_ratio(cost_usd, math.exp(expected))
        if known.cost_change.observe(surprise / math.sqrt(_COST_NOISE), 1.0):
            self._cost.doubt(arm, _COST_DOUBT)
        self._costs.add(arm, features, surprise, _COST_NOISE)

    def _observe_reward(self, arm: int, features: Floats, reward: float, weight: float, user: str | None) -> None:
        known = self._known[arm]
        surprise = reward - float(self._reward_weights[arm] @ features)
        counts = weight * self._caps.weigh(user, arm, surprise / math.sqrt(known.noise))
        if counts <= 0:
            return
        surprise = min(max(surprise, -_LARGEST_SURPRISE), _LARGEST_SURPRISE)
        if known.reward_change.observe(surprise / math.sqrt(known.noise), counts):
            self._reward.doubt(arm, _REWARD_DOUBT)
        known.observe_noise(surprise, counts)
        self._rewards.add(arm, features, surprise, known.noise / counts)

    def _take_in(self) -> None:
        for regression, pending in ((self._reward, self._rewards), (self._cost, self._costs)):
            if pending.arms:
                regression.observe(
                    pending.arms, np.array(pending.features), np.array(pending.surprises), np.array(pending.noise)
                )
        self._rewards, self._costs = _Pending(), _Pending()

    def _refresh(self) -> None:
        self._reward_weights, self._cost_weights = self._reward.weights, self._cost.weights

    def _begin(self, prior: Prior) -> None:
        columns = [i for i, name in enumerate(prior.arms) if name in self._names]
        arms = [self._names.index(prior.arms[i]) for i in columns]
        if not arms:
            return
        rewards, costs = prior.rewards[:, columns], np.maximum(prior.costs_usd[:, columns], _SMALLEST_COST)
        noise = np.maximum(rewards.var(axis=0), _LEAST_NOISE)
        self._reward.fit(arms, prior.features, rewards, noise)
        self._cost.fit(arms, prior.features, np.log(costs), np.full(len(arms), _COST_NOISE))
        self._refresh()
        expected = np.exp(prior.features @ self._cost_weights[arms].T)
        for column, arm in enumerate(arms):
            self._known[arm].noise = float(noise[column])
            self._known[arm].ratio_above = _RATIO_COUNT * float(costs[:, column].mean() / expected[:, column].mean())
        step = max(len(prior.features) // _WINDOW, 1)
        self._window.extend((row, 1, None) for row in prior.features[::step])
        for arm in set(range(len(self._names))) - set(arms):
            self._centre(arm)
        self._refresh()

    def _centre(self, arm: int) -> None:
        """Have the guesses of an arm be what it brings and costs for a typical request."""
        rest = self._typical()[1:]
        self._reward.shift(arm, -float(self._reward.shared[1:] @ rest))
        self._cost.shift(arm, -float(self._cost.shared[1:] @ rest))

    def _reward_at(self, cost_usd: float) -> float:
        """Return what the arm of about this cost brings for a typical request."""
        if not self._names:
            return _UNKNOWN_REWARD
        typical = self._typical()
        nearest = int(np.abs(self._cost_weights @ typical - _log(cost_usd)).argmin())
        return min(max(float(self._reward_weights[nearest] @ typical), 0.0), 1.0)

    def _typical(self) -> Floats:
        if not self._window:
            return np.asarray(np.eye(1, self._size)[0], dtype=np.float64)
        return np.asarray(np.mean([seen[0] for seen in self._window], axis=0), dtype=np.float64)

    def _number(self, name: str) -> int:
        try:
            return self._names.index(name)
        except ValueError:
            raise ValueError(f"there is no arm {name}; there are {', '.join(self._names)}") from None


def _log(cost_usd: float) -> float:
    return math.log(max(cost_usd, _SMALLEST_COST))


def _as_published(weights: Floats) -> Floats:
    """Return weights as workers read them: who decides before the trip decides the same."""
    return np.asarray(weights.astype(np.float32), dtype=np.float64)

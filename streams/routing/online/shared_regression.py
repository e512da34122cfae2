"""A linear model of several arms that have most in common, kept up to date with each outcome: a Kalman filter.

The weights of an arm are those that all arms share plus its own (hierarchical Bayesian regression), so that an outcome
of one arm says something of the others too: what is hard for one model is hard for the next, and what takes one many
words takes all many. Weights may wander, which is what forgets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.routing.online.features import Floats

_SHARED_LEVEL: Final = 1e-9
"""Variance of the level that arms share: there is none, each has its own."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far weights may be from what is expected: variances, in the square of the target's unit.

    Attributes:
        shared: Of a weight that all arms share.
        own: Of an arm's deviation from it.
        level: Of an arm's level, the weight of the constant.
        level_drift: By which a level becomes less sure with each outcome of any arm.
        weight_drift: The same for the other weights, as a share of their variance; they never exceed that.
    """

    shared: float
    own: float
    level: float
    level_drift: float
    weight_drift: float


class SharedRegression:
    """Predicts one target of each arm.

    Args:
        size: Of the feature vectors, whose first is 1.
        spread: What is known beforehand.
    """

    def __init__(self, size: int, spread: Spread) -> None:
        self._size = size
        self._spread = spread
        self._mean: Floats = np.zeros(size)
        self._most: Floats = np.full(size, spread.shared)
        self._most[0] = _SHARED_LEVEL
        self._cov: Floats = np.diag(self._most)

    @property
    def arms(self) -> int:
        """How many there are."""
        return len(self._mean) // self._size - 1

    @property
    def weights(self) -> Floats:
        """Of each arm, shared and own: (arms, size)."""
        blocks = self._mean.reshape(-1, self._size)
        return np.asarray(blocks[1:] + blocks[0])

    @property
    def shared(self) -> Floats:
        """Weights that all arms share: (size,)."""
        return self._mean[: self._size]

    def add_arm(self, level: float) -> None:
        """Add an arm whose level is a guess; for the rest it is like the others."""
        most = np.full(self._size, self._spread.own)
        most[0] = self._spread.level
        before = len(self._mean)
        self._mean = np.concatenate((self._mean, np.zeros(self._size)))
        self._most = np.concatenate((self._most, most))
        cov = np.zeros((len(self._mean), len(self._mean)))
        cov[:before, :before] = self._cov
        cov[before:, before:] = np.diag(most)
        self._cov = cov
        self._mean[before] = level

    def fit(self, arms: Sequence[int], features: Floats, targets: Floats, noise: Floats) -> None:
        """Take in many requests of which the outcomes of these arms are known.

        Args:
            arms: Their numbers.
            features: (requests, size)
            targets: (requests, arms)
            noise: (arms,) Variance of an outcome.
        """
        gram = features.T @ features
        precision = np.linalg.inv(self._cov)
        right = precision @ self._mean
        shared = self._block(-1)
        for arm, target, variance in zip(arms, targets.T, noise, strict=True):
            own, part = self._block(arm), features.T @ target / variance
            for one in (shared, own):
                right[one] += part
                for other in (shared, own):
                    precision[one, other] += gram / variance
        self._cov = np.linalg.inv(precision)
        self._cov = (self._cov + self._cov.T) / 2
        self._mean = self._cov @ right

    def observe(self, arms: Sequence[int], features: Floats, surprises: Floats, noise: Floats) -> None:
        """Take in outcomes, all at once.

        Args:
            arms: Of each outcome.
            features: (outcomes, size)
            surprises: (outcomes,) By how much each was above what `weights` say.
            noise: (outcomes,) Variance of each.
        """
        self._wander(len(arms))
        chosen = np.asarray(arms)
        reach = features @ self._cov[self._block(-1)]
        for arm in set(arms):
            reach[chosen == arm] += features[chosen == arm] @ self._cov[self._block(arm)]
        spread = reach[:, self._block(-1)] @ features.T
        for arm in set(arms):
            spread[:, chosen == arm] += reach[:, self._block(arm)] @ features[chosen == arm].T
        spread = (spread + spread.T) / 2 + np.diag(noise)
        gain = np.linalg.solve(spread, reach)
        self._mean = self._mean + surprises @ gain
        self._cov -= reach.T @ gain
        # What rounding makes of the two halves drifts apart otherwise.
        self._cov += self._cov.T
        self._cov /= 2

    def shift(self, arm: int, by: float) -> None:
        """Raise the level of an arm: something is known of it that no outcome has said."""
        self._mean[self._level(arm)] += by

    def doubt(self, arm: int, variance: float) -> None:
        """Let the level of an arm be less sure."""
        self._cov[self._level(arm), self._level(arm)] += variance

    def variances(self, features: Floats) -> Floats:
        """Return how unsure the prediction of each arm is for a feature vector: (arms,)."""
        shared = self._block(-1)
        at = features @ self._cov[shared]
        found = []
        for arm in range(self.arms):
            own = self._block(arm)
            found.append((at[shared] + 2 * at[own] + features @ self._cov[own, own]) @ features)
        return np.maximum(np.array(found), 0.0)

    def _wander(self, steps: int) -> None:
        diagonal = np.einsum("ii->i", self._cov)
        levels = [self._level(arm) for arm in range(self.arms)]
        before = diagonal[levels]
        diagonal += np.where(diagonal < self._most, self._most * self._spread.weight_drift * steps, 0.0)
        diagonal[levels] = np.maximum(before, np.minimum(before + self._spread.level_drift * steps, self._spread.level))

    def _block(self, arm: int) -> slice:
        return slice((arm + 1) * self._size, (arm + 2) * self._size)

    def _level(self, arm: int) -> int:
        return (arm + 1) * self._size

"""Picking the score from which a prompt goes to the stronger model, for a quality that is asked for."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tierstream.training.evaluation import Array, Interval, Ints, Ranking, interval, resample

_TINY: Final = 1e-12
_LOWEST: Final = 2.5
"""Percentile of the drawn qualities that a cautious threshold keeps above the target."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A score and what it leads to on the outcomes.

    Attributes:
        score: Prompts that score as much or more go to the stronger model; above every score: none does.
        strong_share: Share of the prompts that do.
        quality: Mean quality, relative to the stronger model's.
        quality_interval: Of the quality, with the score fixed.
        share_interval: Of the share that the target needs, when the score is picked anew.
    """

    score: float
    strong_share: float
    quality: float
    quality_interval: Interval
    share_interval: Interval


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The choice.

    Attributes:
        expected: Reaches the target on these outcomes: on others it misses it half of the time.
        cautious: Reaches the target in all but 2.5 % of the draws.
    """

    expected: Threshold
    cautious: Threshold


def pick_thresholds(ranking: Ranking, groups: Ints, *, target: float, draws: int, seed: int) -> Thresholds:
    """Pick the thresholds with the fewest strong calls.

    Args:
        ranking: Of the outcomes by score.
        groups: (outcomes,) Which ones belong together, numbered from 0.
        target: Share of the stronger model's quality to keep.
        draws: Of the bootstrap.
        seed: Of the draws.
    """
    share, quality = ranking.curve()
    drawn = [ranking.curve(weights) for weights in resample(groups, draws, seed)]
    relative = np.array([found / max(found[-1], _TINY) for _, found in drawn])
    needed = [s[_first_reaching(r, target)] for (s, _), r in zip(drawn, relative, strict=True)]
    low, high = np.percentile(relative, [_LOWEST, 100 - _LOWEST], axis=0)
    own = quality / max(quality[-1], _TINY)

    def at(i: int) -> Threshold:
        # No call at all: a score that none reaches.
        score = ranking.thresholds[i - 1] if i else np.nextafter(ranking.thresholds[0], np.inf)
        return Threshold(
            score=float(score),
            strong_share=float(share[i]),
            quality=float(own[i]),
            quality_interval=Interval(float(low[i]), float(high[i])),
            share_interval=interval(needed),
        )

    return Thresholds(at(_first_reaching(own, target)), at(_first_reaching(low, target)))


def _first_reaching(quality: Array, target: float) -> int:
    reached = quality >= target - _TINY
    return int(np.argmax(reached)) if reached.any() else len(quality) - 1

"""Bounds for a mean that hold however often they are looked at: confidence sequences by betting. Pure.

Somebody who doubts that the mean is at most m bets on each outcome before it is known, at odds that are fair if the
mean is m. If it is, no bets make money on average, so that the capital ever reaches 1/alpha times the start with a
probability of at most alpha, at whatever time it is looked at (Ville's inequality). Every m at which it does is ruled
out. The bets are a mixture of fixed sizes, so the capital depends on how often each outcome came and not on the order.

After I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, JRSS B, 2023.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Counts = Sequence[tuple[float, int]]
"""Each outcome, and how often it came."""

_SIZES: Final = np.geomspace(0.002, 0.99, 30)
"""Of the bets, as shares of the largest that can't lose more than there is."""
_HALVINGS: Final = 50


def exceeds(counts: Counts, mean: float, *, lowest: float, alpha: float) -> bool:
    """Whether the outcomes rule out that their mean is at most `mean`; wrongly so, ever, with a chance of `alpha`.

    Args:
        counts: None of the outcomes is below `lowest`.
        mean: Above `lowest`.
        lowest: Least outcome that there can be.
        alpha: Chance of an error over all looks.
    """
    return _log_capital(counts, mean, lowest) >= -math.log(alpha)


def lower_bound(counts: Counts, *, lowest: float, alpha: float) -> float:
    """Return what the mean exceeds; over all looks the chance that it does not is at most `alpha`."""
    total = sum(n for _, n in counts)
    low, high = lowest, sum(x * n for x, n in counts) / total if total else lowest
    if high <= low:
        return lowest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle <= lowest or exceeds(counts, middle, lowest=lowest, alpha=alpha):
            low = middle
        else:
            high = middle
    return low


def upper_bound(counts: Counts, *, highest: float, alpha: float) -> float:
    """Return what the mean stays below, as `lower_bound` does for the other side."""
    return -lower_bound([(-x, n) for x, n in counts], lowest=-highest, alpha=alpha)


def _log_capital(counts: Counts, mean: float, lowest: float) -> float:
    """Return the logarithm of what one dollar has become by bets on outcomes above the mean."""
    logs = sum((n * _log_factors((x - mean) / (mean - lowest)) for x, n in counts if n), np.zeros(len(_SIZES)))
    peak = float(logs.max())
    return peak + math.log(float(np.exp(logs - peak).mean()))


@lru_cache(4096)
def _log_factors(step: float) -> NDArray[np.float64]:
    """Return by what an outcome multiplies the capital, for each size of the bet, as a logarithm."""
    return np.log1p(_SIZES * step)

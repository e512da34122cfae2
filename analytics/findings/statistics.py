"""The tests behind findings: exact or conservative ones, with few assumptions. Everything is one-sided.

Shares are compared by Wilson's interval (1927) and Newcombe's of a difference (1998, method 10); days, which are the
independent observations, by the sign test and by ranks within strata (van Elteren, 1960); prices, which do not vary by
chance, by a median and a spread that a few odd days do not move. Holm's step-down procedure (1979) weighs all together.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Final

Z95: Final = NormalDist().inv_cdf(0.975)
_MOST_Z: Final = 38.0
"""Beyond it the tail of the normal distribution is no float."""
_MAD: Final = 1.4826
"""The spread of a normal distribution is so many medians of absolute deviations."""
_MEDIAN_ERROR: Final = math.sqrt(math.pi / 2)
"""The error of a median is so many errors of a mean."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; fractions stand for observations that count in part."""

    count: float
    n: float

    @property
    def value(self) -> float:
        """The share itself; 0 of nothing."""
        return self.count / self.n if self.n else 0.0

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Return Wilson's interval, of z standard errors to either side."""
        if not self.n:
            return 0.0, 1.0
        share, spread = min(1.0, self.value), z * z / self.n
        middle = (share + spread / 2) / (1 + spread)
        half = z / (1 + spread) * math.sqrt(share * (1 - share) / self.n + spread / (4 * self.n))
        return max(0.0, middle - half), min(1.0, middle + half)


def rated(answers: int, failed_checks: int, judged: int, judged_bad: float) -> Share:
    """Return how many of some answers were bad, of as many as a judge has looked at.

    What fails a free check is seen by no judge, so that it counts in the proportion in which judges look at the rest.
    """
    share = judged / max(answers - failed_checks, judged, 1)
    return Share(judged_bad + failed_checks * share, judged + failed_checks * share)


def normal_tail(z: float) -> float:
    """Return how likely more than z standard errors are."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def p_not_above(share: Share, bound: float) -> float:
    """Test that a share is not above a bound: return the level at which Wilson's interval begins to hold it."""
    return _level(lambda z: share.interval(z)[0] - bound)


def p_worse(new: Share, old: Share, margin: float) -> float:
    """Test that a share of bad ones is higher by the margin or more: small where the new one is as good.

    Args:
        new: Bad ones of what could be taken.
        old: Bad ones of what is taken today.
        margin: By how much the new share may be higher.

    Returns:
        The level at which Newcombe's interval of the difference begins to hold the margin.
    """
    return _level(lambda z: margin - _highest_difference(new, old, z))


def _highest_difference(new: Share, old: Share, z: float) -> float:
    above, below = new.interval(z)[1] - min(1.0, new.value), min(1.0, old.value) - old.interval(z)[0]
    return min(1.0, new.value) - min(1.0, old.value) + math.hypot(above, below)


def _level(room: Callable[[float], float]) -> float:
    """Return the tail beyond the greatest z for which there is room; room shrinks with z."""
    low, high = 0.0, _MOST_Z
    if room(low) <= 0:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if room(middle) > 0 else (low, middle)
    return normal_tail(low)


def p_sign(above: int, n: int) -> float:
    """Test that less than half of all days are above: return how likely `above` of n, or more, are then."""
    ways, total = math.comb(n, above), 0
    for k in range(above, n + 1):
        total += ways
        ways = ways * (n - k) // (k + 1)
    return total / (1 << n)


@dataclass(frozen=True, slots=True)
class Step:
    """Where a series goes up.

    Attributes:
        at: Index of the first value after it.
        ratio: Median after it to median before it, within strata.
        p: How likely a step like this is somewhere, where there is none.
    """

    at: int
    ratio: float
    p: float


def step_by_ranks(values: Sequence[float], strata: Sequence[Hashable], least: int = 3) -> Step | None:
    """Find the step up that ranks say most of, with Bonferroni's correction for having looked everywhere.

    Args:
        values: In the order of time; all above 0.
        strata: Of each: only values of the same one are compared, such as those of weekends.
        least: Values on either side, at least.
    """
    by_stratum = _indices(strata)
    ranks = _ranks(values, by_stratum)
    looks = range(least, len(values) - least + 1)
    if not looks:
        return None
    scores = {at: _rank_score(ranks, by_stratum, at) for at in looks}
    at = max(scores, key=scores.__getitem__)
    return Step(at, _ratio(values, by_stratum, at), min(1.0, normal_tail(scores[at]) * len(looks)))


def _indices(strata: Sequence[Hashable]) -> Sequence[Sequence[int]]:
    found = defaultdict(list)
    for index, stratum in enumerate(strata):
        found[stratum].append(index)
    return list(found.values())


def _ranks(values: Sequence[float], by_stratum: Sequence[Sequence[int]]) -> Sequence[float]:
    """Return the rank of each value in its stratum, from 1 on; equal values have the mean of theirs."""
    ranks = [0.0] * len(values)
    for indices in by_stratum:
        places = defaultdict(list)
        for place, index in enumerate(sorted(indices, key=values.__getitem__), 1):
            places[values[index]].append(place)
        for index in indices:
            ranks[index] = sum(places[values[index]]) / len(places[values[index]])
    return ranks


def _rank_score(ranks: Sequence[float], by_stratum: Sequence[Sequence[int]], at: int) -> float:
    """Return by how many standard errors ranks after `at` are too high."""
    excess = variance = 0.0
    for indices in by_stratum:
        after = [ranks[index] for index in indices if index >= at]
        n, m = len(indices), len(after)
        excess += sum(after) - m * (n + 1) / 2
        variance += m * (n - m) * (n + 1) / 12
    # The correction for continuity, for ranks are whole numbers.
    return (excess - 0.5) / math.sqrt(variance) if variance else 0.0


def _ratio(values: Sequence[float], by_stratum: Sequence[Sequence[int]], at: int) -> float:
    logs = []
    for indices in by_stratum:
        before = [values[index] for index in indices if index < at]
        after = [values[index] for index in indices if index >= at]
        if before and after:
            logs += [math.log(median(after) / median(before))] * len(after)
    return math.exp(sum(logs) / len(logs)) if logs else 1.0


def step_of_level(values: Sequence[float], noise: float) -> Step | None:
    """Find the step up of a series that stays where it is but for steps, such as a price.

    Args:
        values: In the order of time; all above 0.
        noise: Relative spread that is taken for granted, however little the values vary.
    """
    logs, looks = [math.log(value) for value in values], range(1, len(values))
    if not looks:
        return None
    # Where medians fit best; a step that is looked for elsewhere may be as high, with odd values on one side of it.
    at = min(looks, key=lambda split: sum(_off(logs, split)))
    rise = median(logs[at:]) - median(logs[:at])
    spread = max(_MAD * median(_off(logs, at)), noise)
    score = rise / (spread * _MEDIAN_ERROR * math.sqrt(1 / at + 1 / (len(logs) - at)))
    return Step(at, math.exp(rise), min(1.0, _heavy_tail(score) * len(looks)))


def _off(logs: Sequence[float], at: int) -> Sequence[float]:
    """Return how far values are from the median of their side."""
    before, after = median(logs[:at]), median(logs[at:])
    return [abs(log - (before if index < at else after)) for index, log in enumerate(logs)]


def _heavy_tail(score: float) -> float:
    """Return the tail of Student's distribution with 4 degrees of freedom, for the spread is estimated."""
    root = score / math.sqrt(4 + score * score)
    rest = 4 / (4 + score * score) / (1 + root) if root > 0 else 1 - root
    return rest * rest * (2 + root) / 4


def relative_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean of daily values, as a share of the mean; 1 where that says nothing."""
    n, mean = len(values), sum(values) / max(1, len(values))
    if n < 2 or mean <= 0:  # noqa: PLR2004 - one value has no spread
        return 1.0
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n) / mean


def holm(levels: Sequence[float]) -> Sequence[float]:
    """Return the levels at which each is rejected if the chance of any error is bounded, whatever depends on what."""
    adjusted, worst = [0.0] * len(levels), 0.0
    for place, index in enumerate(sorted(range(len(levels)), key=levels.__getitem__)):
        worst = max(worst, min(1.0, levels[index] * (len(levels) - place)))
        adjusted[index] = worst
    return adjusted

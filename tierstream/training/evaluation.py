"""How good a routing score is: the metrics of the RouteLLM paper (arXiv 2406.18665, section 3), with intervals.

Routing the share c of the prompts with the highest scores to the stronger model gives the mean quality r(c), and
PGR(c) = (r(c) - r(0)) / (r(1) - r(0)) is the part of the gap between the models that is recovered. APGR is the area
under it, CPT(x) the smallest c with PGR(c) >= x; both are read off the line through c = 0, 10, ..., 100 %, as the
paper's code does. Prompts of equal score count as routed at random among themselves, so that a constant score has an
APGR of exactly 0.5.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

STEPS: Final = tuple(step / 10 for step in range(11))
"""Shares of strong calls at which PGR is read for APGR and CPT."""
QUALITY_TARGET: Final = 0.95
_TINY: Final = 1e-12


class NoGapError(Exception):
    """The stronger model is no better than the weaker one here, so that nothing can be recovered."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % bootstrap interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a score achieves.

    Attributes:
        apgr: Average performance gap recovered.
        cpt50: Share of strong calls that recovers half of the gap.
        cpt80: The same for four fifths.
        share95: Smallest share of strong calls with 95 % of the stronger model's quality, on the full curve.
        pgr: PGR at `STEPS`.
    """

    apgr: float
    cpt50: float
    cpt80: float
    share95: float
    pgr: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MetricIntervals:
    """How sure the metrics are: what they come to when the outcomes are drawn anew."""

    apgr: Interval
    cpt50: Interval
    cpt80: Interval
    share95: Interval


@dataclass(frozen=True, slots=True)
class Lead:
    """How far one score is ahead of another in APGR, on the same draws of the same outcomes.

    Attributes:
        apgr: The difference.
        interval: Of the difference.
        verdict: "better" or "worse" where the interval leaves no doubt, "no worse" where only the difference itself is
            not below 0, else "unclear".
    """

    apgr: float
    interval: Interval
    verdict: str


class Ranking:
    """Outcomes in the order in which a score sends them to the stronger model."""

    def __init__(self, scores: ArrayLike, weak: ArrayLike, strong: ArrayLike) -> None:
        """Rank the outcomes.

        Args:
            scores: (outcomes,) Higher needs the stronger model more; only the order counts.
            weak: (outcomes,) Quality of the weaker model's answers, from 0 to 1.
            strong: (outcomes,) The same for the stronger one.

        Raises:
            ValueError: The lengths differ or there is no outcome.
        """
        found, self._weak, self._strong = (np.asarray(x, dtype=np.float64) for x in (scores, weak, strong))
        if not len(found) == len(self._weak) == len(self._strong) > 0:
            raise ValueError("scores, weak and strong must have one entry for each outcome")
        self._order = np.argsort(-found, kind="stable")
        ranked = found[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self.thresholds: Array = ranked[self._ends]
        """(distinct scores,) Highest first."""

    def curve(self, weights: Array | None = None) -> tuple[Array, Array]:
        """Return shares of strong calls and the quality at each: two of (distinct scores + 1,).

        Args:
            weights: (outcomes,) How often each counts; None: once.
        """
        w = np.ones(len(self._order)) if weights is None else weights
        w_ranked = w[self._order]
        total = w.sum()
        calls = np.cumsum(w_ranked)[self._ends]
        gain = np.cumsum(((self._strong - self._weak)[self._order]) * w_ranked)[self._ends]
        quality = (w @ self._weak + np.concatenate([[0.0], gain])) / total
        return np.concatenate([[0.0], calls]) / total, quality

    def metrics(self, weights: Array | None = None) -> Metrics:
        """Compute the metrics.

        Raises:
            NoGapError: The stronger model is no better.
        """
        share, quality = self.curve(weights)
        gap = quality[-1] - quality[0]
        if gap <= _TINY:
            raise NoGapError("the stronger model is no better than the weaker one")
        steps = np.array(STEPS)
        pgr = np.interp(steps, share, (quality - quality[0]) / gap)
        return Metrics(
            apgr=float(np.trapezoid(pgr, steps)),
            cpt50=_first(steps, pgr, 0.5),
            cpt80=_first(steps, pgr, 0.8),
            share95=_first(share, quality, QUALITY_TARGET * quality[-1]),
            pgr=tuple(pgr.tolist()),
        )


def oracle(weak: ArrayLike, strong: ArrayLike) -> Ranking:
    """Rank by what nobody knows beforehand: the gain itself."""
    return Ranking(np.asarray(strong, dtype=np.float64) - np.asarray(weak, dtype=np.float64), weak, strong)


def random_metrics(weak: ArrayLike, strong: ArrayLike) -> Metrics:
    """Compute what routing at random achieves on average.

    Raises:
        NoGapError: The stronger model is no better.
    """
    return Ranking(np.zeros(len(np.asarray(weak))), weak, strong).metrics()


def draw_metrics(rankings: Sequence[Ranking], groups: Ints, draws: int, seed: int) -> list[tuple[Metrics, ...]]:
    """Draw the outcomes anew, and compute the metrics of each ranking on every draw that has a gap.

    Args:
        rankings: Of the same outcomes by different scores.
        groups: (outcomes,) Which ones belong together, numbered from 0.
        draws: How many.
        seed: Of the draws.
    """
    found = []
    for weights in resample(groups, draws, seed):
        try:
            found.append(tuple(ranking.metrics(weights) for ranking in rankings))
        except NoGapError:
            continue
    return found


def intervals(drawn: Sequence[Metrics]) -> MetricIntervals | None:
    """Return the intervals of the metrics over the draws; None if there is none."""
    if not drawn:
        return None
    columns = np.array([(found.apgr, found.cpt50, found.cpt80, found.share95) for found in drawn]).T
    return MetricIntervals(*(interval(values) for values in columns))


def lead(one: Metrics, other: Metrics, drawn: Sequence[tuple[Metrics, Metrics]]) -> Lead | None:
    """Compare two scores by the draws of both (a paired bootstrap); None if there is no draw."""
    if not drawn:
        return None
    difference = one.apgr - other.apgr
    span = interval([first.apgr - second.apgr for first, second in drawn])
    if span.low > 0:
        verdict = "better"
    elif span.high < 0:
        verdict = "worse"
    else:
        verdict = "no worse" if difference >= 0 else "unclear"
    return Lead(difference, span, verdict)


def resample(groups: Ints, draws: int, seed: int) -> Iterator[Array]:
    """Draw whole groups with replacement; yields how often each outcome was drawn: (outcomes,)."""
    generator = np.random.default_rng(seed)
    size = int(groups.max()) + 1
    for _ in range(draws):
        yield np.bincount(generator.integers(0, size, size), minlength=size)[groups].astype(np.float64)


def interval(values: ArrayLike) -> Interval:
    """Return the central 95 % of the values."""
    low, high = np.percentile(np.asarray(values, dtype=np.float64), [2.5, 97.5])
    return Interval(float(low), float(high))


def _first(x: Array, y: Array, target: float) -> float:
    """Return the smallest x of a line at which y reaches the target; the line's end reaches every target asked for."""
    i = int(np.argmax(y >= target - _TINY))
    if i == 0 or y[i] == y[i - 1]:
        return float(x[i])
    part = min((target - y[i - 1]) / (y[i] - y[i - 1]), 1.0)
    return float(x[i - 1] + part * (x[i] - x[i - 1]))

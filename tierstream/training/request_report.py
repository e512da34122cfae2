"""How good decisions on labelled requests are: in all, by what sorts them, and by the labels of a second labeller."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streams.routing.request_classifier.model import LEVELS
from tierstream.training.evaluation import Array, Interval, Ints, interval, resample
from tierstream.training.folds import passage_groups
from tierstream.training.labelled_requests import LabelledRequest

Bools = NDArray[np.bool_]

_BINS: Final = 10
"""Of probability, for the calibration error."""
_SORTED_BY: Final[dict[str, Callable[[LabelledRequest], str]]] = {
    "language": lambda request: request.label.language,
    "query_type": lambda request: request.label.query_type,
    "slice": lambda request: request.label.slice,
    "turns": lambda request: (
        "conversation" if any(message.role == "assistant" for message in request.messages) else "single"
    ),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and how sure it is; without an interval where nothing was drawn."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How good the decisions are; None: there is nothing to tell it by.

    Attributes:
        right: Share whose tier is acceptable.
        too_low: Share whose tier is below the lowest acceptable one.
        too_high: The other mistakes.
        on_tier_1: Share of the requests of that tier which are on it.
        on_tier_2: The same.
        on_tier_3: The same.
        auc_more_than_1: How well the requests that need more than tier 1 are told from the others; 0.5 is chance.
        auc_tier_3: The same for those that need tier 3.
        query_type: Share whose query type is right.
        error_more_than_1: Expected calibration error of the probability of needing more than tier 1, in ten bins.
        error_tier_3: The same for needing tier 3.
    """

    right: Figure | None
    too_low: Figure | None
    too_high: Figure | None
    on_tier_1: Figure | None
    on_tier_2: Figure | None
    on_tier_3: Figure | None
    auc_more_than_1: Figure | None
    auc_tier_3: Figure | None
    query_type: Figure | None
    error_more_than_1: Figure | None
    error_tier_3: Figure | None


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the requests.

    Attributes:
        by: What they are sorted by; "all": they are all of them.
        name: What they have in common.
        requests: How many.
        figures: Of them.
    """

    by: str
    name: str
    requests: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class SecondLabels:
    """How far two labellers agree, and how good the decisions are by the second one.

    Attributes:
        requests: How many have a second label.
        same_tier: Share of the same tier.
        figures: Judged by the second labels.
        by_first: The same requests judged by the first.
    """

    requests: int
    same_tier: Figure | None
    figures: Figures
    by_first: Figures


@dataclass(frozen=True, slots=True)
class Report:
    """All of it; `second` is None where nobody labelled a second time."""

    groups: tuple[Group, ...]
    second: SecondLabels | None


@dataclass(frozen=True, slots=True)
class Labels:
    """What is right.

    Attributes:
        tier: (requests,) From 1.
        acceptable: (requests, levels) Whether a tier is no mistake.
        types: (requests,) Query types.
    """

    tier: Ints
    acceptable: Bools
    types: NDArray[np.str_]

    @property
    def lowest(self) -> Ints:
        """The lowest acceptable tier: (requests,)."""
        return np.asarray(self.acceptable.argmax(axis=1) + 1)

    def judge(self, tiers: Ints) -> tuple[Bools, Bools, Bools]:
        """Say of decided tiers which are right, too low and too high: three of (requests,)."""
        right = self.acceptable[np.arange(len(tiers)), tiers - 1]
        too_low = tiers < self.lowest
        return right, too_low, ~right & ~too_low

    def of(self, rows: Ints) -> "Labels":
        """Return those of some requests."""
        return Labels(self.tier[rows], self.acceptable[rows], self.types[rows])


@dataclass(frozen=True, slots=True)
class Scores:
    """What a classifier says.

    Attributes:
        needs: (requests, levels - 1) Probabilities of needing more than each tier.
        types: (requests,) Query types.
    """

    needs: Array
    types: NDArray[np.str_]

    def of(self, rows: Ints) -> "Scores":
        """Return those of some requests."""
        return Scores(self.needs[rows], self.types[rows])


def labels_of(requests: Sequence[LabelledRequest]) -> Labels:
    """Return the labels of the first labeller."""
    return _labels([(r.label.tier, r.label.tiers, r.label.query_type) for r in requests])


def decide(needs: Array, thresholds: ArrayLike) -> Ints:
    """Decide as the router does: the lowest tier that too few need more than: (requests,), from 1.

    Args:
        needs: (requests, levels - 1) Probabilities of needing more than each tier.
        thresholds: From which one a request goes up: one for all steps, or (levels - 1,).
    """
    return np.asarray(1 + np.cumprod(needs >= np.asarray(thresholds), axis=1, dtype=np.intp).sum(axis=1))


def draw_weights(requests: Sequence[LabelledRequest], draws: int, seed: int) -> Array:
    """Draw the requests anew, those that quote the same text together: how often each counts, (1 + draws, requests).

    The first row counts each once: what is computed of it is the figure, and of the others its interval.
    """
    groups = passage_groups([request.question for request in requests])
    return np.array([np.ones(len(requests)), *resample(groups, draws, seed)])


def mean(weights: Array, values: ArrayLike) -> Figure | None:
    """Average what each request comes to.

    Args:
        weights: (1 + draws, requests) See `draw_weights`.
        values: (requests,)
    """
    with np.errstate(invalid="ignore"):
        return _figure(weights @ np.asarray(values, dtype=np.float64) / weights.sum(axis=1))


def area_under_curve(weights: Array, scores: Array, positive: Bools) -> Figure | None:
    """Compute how often a positive has the higher score of two, ties counted as half; None without one of each kind."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    ups, downs = (np.add.reduceat(weights[:, order] * kind[order], starts, axis=1) for kind in (positive, ~positive))
    below = np.cumsum(downs, axis=1) - downs / 2
    with np.errstate(invalid="ignore"):
        return _figure((ups * below).sum(axis=1) / (ups.sum(axis=1) * downs.sum(axis=1)))


def calibration_error(weights: Array, probabilities: Array, happened: Bools) -> Figure | None:
    """Compute by how much probabilities are off on average, within bins of equal width."""
    bins = np.minimum((probabilities * _BINS).astype(np.intp), _BINS - 1)
    gaps = weights @ (np.eye(_BINS)[bins] * (happened - probabilities)[:, None])
    with np.errstate(invalid="ignore"):
        return _figure(np.abs(gaps).sum(axis=1) / weights.sum(axis=1))


def report(requests: Sequence[LabelledRequest], scores: Scores, thresholds: ArrayLike, weights: Array) -> Report:
    """Judge what a classifier says of labelled requests.

    Args:
        requests: At least one.
        scores: Of the requests.
        thresholds: As for `decide`.
        weights: See `draw_weights`.
    """
    labels = labels_of(requests)
    everything = np.arange(len(requests))
    chosen = [("all", "all", everything)]
    for by, name_of in _SORTED_BY.items():
        names = np.array([str(name_of(request)) for request in requests])
        chosen += [(by, str(name), np.flatnonzero(names == name)) for name in np.unique(names) if name]
    groups = [
        Group(by, name, len(rows), _figures(labels.of(rows), scores.of(rows), thresholds, weights[:, rows]))
        for by, name, rows in chosen
    ]
    return Report(tuple(groups), _second(requests, scores, thresholds, weights))


def _second(
    requests: Sequence[LabelledRequest], scores: Scores, thresholds: ArrayLike, weights: Array
) -> SecondLabels | None:
    given = [(i, request.label.second) for i, request in enumerate(requests) if request.label.second is not None]
    if not given:
        return None
    rows = np.array([i for i, _ in given], dtype=np.intp)
    first, second = labels_of(requests).of(rows), _labels([label for _, label in given])
    scores, weights = scores.of(rows), weights[:, rows]
    return SecondLabels(
        requests=len(rows),
        same_tier=mean(weights, first.tier == second.tier),
        figures=_figures(second, scores, thresholds, weights),
        by_first=_figures(first, scores, thresholds, weights),
    )


def _labels(given: Sequence[tuple[int, Sequence[int], str]]) -> Labels:
    acceptable = np.zeros((len(given), LEVELS), dtype=np.bool_)
    for row, (tier, tiers, _) in zip(acceptable, given, strict=True):
        row[[other - 1 for other in tiers or (tier,)]] = True
    return Labels(
        np.array([tier for tier, *_ in given], dtype=np.intp),
        acceptable,
        np.array([str(kind) for *_, kind in given]),
    )


def _figures(labels: Labels, scores: Scores, thresholds: ArrayLike, weights: Array) -> Figures:
    tiers = decide(scores.needs, thresholds)
    right, too_low, too_high = labels.judge(tiers)
    more, top = labels.tier > 1, labels.tier == LEVELS

    def on(tier: int) -> Figure | None:
        rows = labels.tier == tier
        return mean(weights[:, rows], tiers[rows] == tier)

    return Figures(
        right=mean(weights, right),
        too_low=mean(weights, too_low),
        too_high=mean(weights, too_high),
        on_tier_1=on(1),
        on_tier_2=on(2),
        on_tier_3=on(3),
        auc_more_than_1=area_under_curve(weights, scores.needs[:, 0], more),
        auc_tier_3=area_under_curve(weights, scores.needs[:, -1], top),
        query_type=mean(weights, labels.types == scores.types),
        error_more_than_1=calibration_error(weights, scores.needs[:, 0], more),
        error_tier_3=calibration_error(weights, scores.needs[:, -1], top),
    )


def _figure(found: Array) -> Figure | None:
    if not np.isfinite(found[0]):
        return None
    drawn = found[1:][np.isfinite(found[1:])]
    return Figure(float(found[0]), interval(drawn) if len(drawn) else None)

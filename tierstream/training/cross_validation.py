"""Scores for prompts from models that were trained without them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tierstream.training.estimators import baseline_scores
from tierstream.training.evaluation import Array, Ints, NoGapError, Ranking
from tierstream.training.fit_model import TrainingOptions, train
from tierstream.training.routing_report import Outcomes, Progress


class Control(StrEnum):
    """Labels that nothing can be learned from: what they score shows whether the evaluation leaks."""

    SHUFFLED = "shuffled"
    """Each prompt gets the labels of another: APGR has to be 0.5, but for chance."""
    SWAPPED = "swapped"
    """The weaker model's labels become the stronger one's: APGR has to be below 0.5."""


@dataclass(frozen=True, slots=True)
class ControlSlice:
    """What models trained on a control's labels come to on the true ones of a slice.

    Attributes:
        name: Of the slice.
        outcomes: How many.
        apgr: Of each repeat; empty where the stronger model is no better.
    """

    name: str
    outcomes: int
    apgr: tuple[float, ...]


def out_of_fold_scores(
    prompts: Sequence[str],
    weak: Array,
    strong: Array,
    folds: Ints,
    options: TrainingOptions | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Array:
    """Score each prompt by a model that was trained on the other folds: (prompts,).

    Args:
        prompts: The texts.
        weak: (prompts,) Quality of the weaker model's answers, from 0 to 1.
        strong: (prompts,) The same for the stronger one.
        folds: (prompts,) The fold of each; -1: it is in every training set and has no score (NaN).
        options: How to fit.
        on_progress: Called with the share that is done.

    Raises:
        TrainingError: What remains without a fold can't be learned from.
    """
    scores = np.full(len(prompts), np.nan)
    splits = [*_splits(folds)]
    for number, (rest, held) in enumerate(splits):

        def progress(done: float, number: int = number) -> None:
            on_progress((number + done) / len(splits))

        model = train(_at(prompts, rest), weak[rest].tolist(), strong[rest].tolist(), options, progress)
        scores[held] = model.score_many(_at(prompts, held))
    return scores


def out_of_fold_baseline(prompts: Sequence[str], gain: Array, folds: Ints) -> Array:
    """Score each prompt by the tf-idf baseline, fitted to the other folds: (prompts,), as `out_of_fold_scores` does."""
    scores = np.full(len(prompts), np.nan)
    for rest, held in _splits(folds):
        scores[held] = baseline_scores(_at(prompts, rest), gain[rest], _at(prompts, held))
    return scores


def evaluate_control(
    outcomes: Outcomes, control: Control, *, folds: int, repeats: int, seed: int, on_progress: Progress
) -> list[ControlSlice]:
    """Cross-validate on a control's labels, with other seeds each time.

    Raises:
        TrainingError: The labels can't be learned from.
    """
    found: dict[str, list[float]] = {name: [] for name in outcomes.slices()}
    for number in range(repeats):

        def progress(done: float, number: int = number) -> None:
            on_progress((number + done) / repeats)

        again = seed + number
        weak, strong = _labels(outcomes, control, again)
        dealt = outcomes.passage_folds(folds, again)
        scores = out_of_fold_scores(outcomes.prompts, weak, strong, dealt, TrainingOptions(seed=again), progress)
        for name, rows in outcomes.slices().items():
            with suppress(NoGapError):
                ranking = Ranking(scores[rows], outcomes.weak[rows], outcomes.strong[rows])
                found[name].append(ranking.metrics().apgr)
    return [ControlSlice(name, len(rows), tuple(found[name])) for name, rows in outcomes.slices().items()]


def _labels(outcomes: Outcomes, control: Control, seed: int) -> tuple[Array, Array]:
    if control is Control.SWAPPED:
        return outcomes.strong, outcomes.weak
    order = np.random.default_rng(seed).permutation(len(outcomes.weak))
    return outcomes.weak[order], outcomes.strong[order]


def _splits(folds: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield the rows to fit to and those to score, for each fold."""
    for name in np.unique(folds[folds >= 0]):
        yield np.flatnonzero(folds != name), np.flatnonzero(folds == name)


def _at(prompts: Sequence[str], rows: Ints) -> list[str]:
    return [prompts[i] for i in rows]

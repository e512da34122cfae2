"""Scores for prompts from models that were trained without them."""

from collections.abc import Callable, Sequence

import numpy as np

from tierstream.training.evaluation import Array, Ints
from tierstream.training.fit_model import TrainingOptions, train


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
    names = [int(name) for name in np.unique(folds) if name >= 0]
    for number, name in enumerate(names):
        held, rest = np.flatnonzero(folds == name).tolist(), np.flatnonzero(folds != name).tolist()
        model = train(
            [prompts[i] for i in rest],
            weak[rest].tolist(),
            strong[rest].tolist(),
            options,
            lambda done, number=number: on_progress((number + done) / len(names)),  # type: ignore[misc]
        )
        scores[held] = model.score_many([prompts[i] for i in held])
    return scores

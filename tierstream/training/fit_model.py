"""Fits the learned classifier to outcomes: deterministic, seconds for 10,000 of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from zlib import crc32

import numpy as np

from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.learned.features import parse
from streams.routing.learned.forest import Floats
from streams.routing.learned.model import WEAK_SHARE, WORDS_SHARE, Model, Training, row_of
from streams.routing.model_archive import prompt_hashes
from tierstream.training import TrainingError
from tierstream.training.estimators import Growth, Sparse, fit_forest, fit_projection, fit_word_weights
from tierstream.training.evaluation import Array

FEWEST_OUTCOMES: Final = 100
_CALIBRATION_FOLDS: Final = 3
_SAME_BEGINNING: Final = 80
"""Prompts that begin alike up to there may share a passage, and fall into one fold."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a model is fitted.

    Attributes:
        growth: Of the forest.
        dimensions: Of the projection.
        seed: Of everything random.
        attribution: Kept in the model file.
    """

    growth: Growth = field(default_factory=Growth)
    dimensions: int = 40
    seed: int = 0
    attribution: str = ""


def train(
    prompts: Sequence[str],
    weak: Sequence[float],
    strong: Sequence[float],
    options: TrainingOptions | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> LearnedClassifier:
    """Fit a classifier; the same outcomes in the same order and the same seed give the same one.

    Args:
        prompts: The texts.
        weak: 1 where the weaker model was right, 0 where it was wrong.
        strong: The same for the stronger one.
        options: How to fit.
        on_progress: Called with the share that is done.

    Raises:
        TrainingError: There are too few outcomes, or no two of them differ in gain.
    """
    options = options or TrainingOptions()
    if len(prompts) < FEWEST_OUTCOMES:
        raise TrainingError(f"{len(prompts)} outcomes are too few to train on: collect at least {FEWEST_OUTCOMES}")
    right = np.asarray(weak, dtype=np.float64)
    gain = np.asarray(strong, dtype=np.float64) - right
    if np.ptp(gain) == 0:
        raise TrainingError("the two models did equally well on every outcome: there is nothing to learn")
    targets = np.stack([gain - WEAK_SHARE * right, right], axis=1)
    parsed = [parse(prompt) for prompt in prompts]
    on_progress(0.15)
    projection, tf_idf = fit_projection([text.tokens for text in parsed], options.dimensions, options.seed)
    rows = np.stack([row_of(text.surface, projection.project(*projection.tf_idf(text.tokens))) for text in parsed])
    on_progress(0.4)
    intercept, slope = _calibrate(prompts, rows, tf_idf, gain, targets, options)
    on_progress(0.7)
    forest = fit_forest(rows, targets, options.growth, options.seed)
    word_weights = fit_word_weights(tf_idf, targets[:, 0])
    on_progress(1.0)
    training = Training(len(prompts), float(gain.mean()), np.sort(prompt_hashes(prompts)), options.attribution)
    return LearnedClassifier(Model(projection, forest, word_weights, intercept, slope, training))


def _calibrate(
    prompts: Sequence[str], rows: Floats, tf_idf: Sparse, gain: Array, targets: Array, options: TrainingOptions
) -> tuple[float, float]:
    """Fit the line from predictions for prompts that a smaller forest was not trained on to their gain."""
    beginnings = (prompt[:_SAME_BEGINNING].encode("utf-8", "replace") for prompt in prompts)
    fold = np.array([crc32(beginning) % _CALIBRATION_FOLDS for beginning in beginnings])
    growth = replace(options.growth, trees=max(10, options.growth.trees // _CALIBRATION_FOLDS))
    raw = np.zeros(len(targets))
    for held in (fold == k for k in range(_CALIBRATION_FOLDS)):
        if held.all():
            return float(gain.mean() - targets[:, 0].mean()), 1.0
        if held.any():
            forest = fit_forest(rows[~held], targets[~held], growth, options.seed)
            words = fit_word_weights(tf_idf[~held], targets[~held, 0])
            by_words = tf_idf[held] @ words.weight + words.intercept
            raw[held] = (1 - WORDS_SHARE) * np.array([*map(forest.predict, rows[held])]) + WORDS_SHARE * by_words
    slope = float(np.clip(np.cov(raw, gain)[0, 1] / max(raw.var(), 1e-12), 0.25, 4.0))
    return float(gain.mean() - slope * raw.mean()), slope

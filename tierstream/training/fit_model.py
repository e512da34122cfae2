"""Fits the learned classifier to outcomes: NumPy only, deterministic, seconds for 10,000 of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.learned.features import parse
from streams.routing.learned.forest import Floats
from streams.routing.learned.model import WEAK_SHARE, WORDS_SHARE, Model, Training, prompt_hashes, row_of
from tierstream.training.fit_forest import Growth, fit_forest
from tierstream.training.fit_projection import fit_projection
from tierstream.training.word_rows import WordRows

FEWEST_OUTCOMES: Final = 100
_CALIBRATION_FOLDS: Final = 3
_SAME_BEGINNING: Final = 80
"""Prompts that begin alike up to there may share a passage, and fall into one fold."""

Matrix = NDArray[np.float64]


class TrainingError(Exception):
    """The outcomes can't be learned from; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a model is fitted.

    Attributes:
        growth: Of the forest.
        dimensions: Of the projection.
        vocabulary: Most tokens that it knows.
        document_frequency: Fewest prompts that each of them occurs in.
        seed: Of everything random.
        attribution: Kept in the model file.
    """

    growth: Growth = field(default_factory=Growth)
    dimensions: int = 40
    vocabulary: int = 20_000
    document_frequency: int = 3
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
    projection = fit_projection(
        [found.tokens for found in parsed],
        dimensions=options.dimensions,
        vocabulary=options.vocabulary,
        document_frequency=options.document_frequency,
        seed=options.seed,
    )
    texts = [projection.tf_idf(found.tokens) for found in parsed]
    words = WordRows(texts, len(projection.idf))
    rows = np.array(
        [row_of(found.surface, projection.project(*text)) for found, text in zip(parsed, texts, strict=True)],
        dtype=np.float32,
    )
    on_progress(0.4)
    intercept, slope = _calibrate(prompts, rows, words, gain, targets, options)
    on_progress(0.7)
    forest = fit_forest(rows, targets, options.growth, options.seed, lambda done: on_progress(0.7 + 0.3 * done))
    training = Training(len(prompts), float(gain.mean()), np.sort(prompt_hashes(prompts)), options.attribution)
    word_weights = words.fit(np.ones(len(prompts), dtype=bool), targets[:, 0])
    return LearnedClassifier(Model(projection, forest, word_weights, intercept, slope, training))


def _calibrate(
    prompts: Sequence[str], rows: Floats, words: WordRows, gain: Matrix, targets: Matrix, options: TrainingOptions
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
            weights = words.fit(~held, targets[:, 0])
            by_words = words.times(weights.weight)[held] + weights.intercept
            raw[held] = (1 - WORDS_SHARE) * forest.predict_many(rows[held]) + WORDS_SHARE * by_words
    slope = float(np.clip(np.cov(raw, gain)[0, 1] / max(raw.var(), 1e-12), 0.25, 4.0))
    return float(gain.mean() - slope * raw.mean()), slope

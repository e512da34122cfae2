"""The learned classifier: predicts from a prompt's text alone what a stronger model gains over a weaker one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np

from streams.routing.learned.features import parse
from streams.routing.learned.model import WORDS_SHARE, Model, Training, row_of
from streams.routing.learned.model_file import digest, read, save
from streams.routing.model_archive import prompt_hashes


@dataclass(frozen=True, slots=True)
class Reading:
    """A score, and how much of what it rests on the text has.

    Attributes:
        score: How much it needs the stronger model, in [0, 1]; 0.5 means that no difference between the two models is
            expected, 1 that only the stronger one will be right. `2 * score - 1` is the expected gain, P(only the
            stronger is right) - P(only the weaker is right).
        known: Share of the text's tokens that occurred in training, in [0, 1].
    """

    score: float
    known: float


class LearnedClassifier:
    """Scores how much prompts need the stronger of two models."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._forest = model.forest
        self.version: Final = digest(model)[:8]
        """Of the parameters."""

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """The score from which a prompt goes above tier 1, tier 2 and so on; None where that was not calibrated."""
        return self._model.thresholds

    @property
    def training(self) -> Training:
        """What the model was made from."""
        return self._model.training

    @property
    def examples(self) -> int:
        """How many outcomes it was trained on."""
        return self._model.training.outcomes

    def read(self, text: str) -> Reading:
        """Score a text, and say how far it is like those of the training; any is accepted, long ones are sampled."""
        parsed = parse(text)
        projection = self._model.projection
        words, tf_idf = projection.tf_idf(parsed.tokens)
        by_forest = self._forest.predict(row_of(parsed.surface, projection.project(words, tf_idf)))
        known = sum(map(projection.rows.__contains__, parsed.tokens)) / max(len(parsed.tokens), 1)
        return Reading(self._calibrated(by_forest, self._model.word_weights.predict(words, tf_idf)), known)

    def score_many(self, texts: Iterable[str]) -> list[float]:
        """Return the scores of several prompts."""
        return [self.read(text).score for text in texts]

    def with_threshold(self, threshold: float, lower: int = 1, upper: int = 2) -> "LearnedClassifier":
        """Return a copy that is calibrated for going from one tier to another; others keep what they have.

        Args:
            threshold: The score from which a prompt goes up.
            lower: The tier of the weaker model.
            upper: The tier of the stronger one; the threshold is that of every step between the two.
        """
        known = self._model.thresholds
        steps = range(1, max(len(known) + 1, upper))
        found = tuple(
            threshold if lower <= tier < upper else known[tier - 1] if tier <= len(known) else None for tier in steps
        )
        return LearnedClassifier(replace(self._model, thresholds=found))

    def trained_on(self, prompts: Iterable[str]) -> int:
        """Count the prompts that the model was trained on, by their hashes."""
        return int(np.isin(prompt_hashes(prompts), self._model.training.prompts).sum())

    def save(self, path: Path) -> None:
        """Write the model file, replacing the path at once.

        Raises:
            OSError: It can't be written.
        """
        save(self._model, path)

    @classmethod
    def load(cls, path: Path) -> "LearnedClassifier":
        """Read a model file.

        Raises:
            ModelError: It is no model file, or was made for other features; says what to do.
            OSError: It can't be read.
        """
        return cls.loads(path.read_bytes(), str(path))

    @classmethod
    def loads(cls, file: bytes, name: str) -> "LearnedClassifier":
        """Read a model file from memory; errors call it by the name.

        Raises:
            ModelError: See `load`.
        """
        return cls(read(BytesIO(file), name))

    @classmethod
    def shipped(cls) -> "LearnedClassifier":
        """Load the model that ships with the package."""
        return cls.loads(resources.files(__package__).joinpath("model.npz").read_bytes(), "the shipped model")

    def _calibrated(self, by_forest: float, by_words: float) -> float:
        raw = (1 - WORDS_SHARE) * by_forest + WORDS_SHARE * by_words
        return min(max((1 + self._model.intercept + self._model.slope * raw) / 2, 0.0), 1.0)

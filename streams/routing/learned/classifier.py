"""The learned classifier: predicts from a prompt's text alone what a stronger model gains over a weaker one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from streams.routing.learned.features import parse
from streams.routing.learned.forest import Floats
from streams.routing.learned.model import Model, Training, prompt_hashes, row_of
from streams.routing.learned.model_file import digest, load, save


class LearnedClassifier:
    """Scores prompts, and learns from single labelled outcomes.

    A score of 0.5 means that no difference between the two models is expected, 1 that only the stronger one will be
    right: `2 * score - 1` is the expected gain, P(only the stronger is right) - P(only the weaker is right).
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._forest = model.forest
        self._digest = digest(model)[:8]
        self._observed = 0

    @property
    def version(self) -> str:
        """The digest of the parameters as they were loaded, and how many outcomes were observed since."""
        return f"{self._digest}{f'+{self._observed}' if self._observed else ''}"

    @property
    def threshold(self) -> float | None:
        """The score from which a prompt goes to the stronger model; None if the model was never calibrated."""
        return self._model.threshold

    @property
    def training(self) -> Training:
        """What the model was made from."""
        return self._model.training

    def score(self, text: str) -> float:
        """Return how much a prompt needs the stronger model, in [0, 1]; any text is accepted, long ones are sampled."""
        return self._calibrated(self._forest.predict(self._row(text)))

    def score_many(self, texts: Sequence[str]) -> list[float]:
        """Score several prompts, at less cost for each."""
        if not texts:
            return []
        return [self._calibrated(raw) for raw in self._forest.predict_many(np.stack([*map(self._row, texts)])).tolist()]

    def observe(self, text: str, *, weak_correct: float, strong_correct: float) -> None:
        """Learn from one outcome: its leaves' means move as if it had been among their training rows.

        The trees' structure, the projection and the calibration stay as they are.

        Args:
            text: The prompt.
            weak_correct: 1 where the weaker model was right, 0 where it was wrong.
            strong_correct: The same for the stronger one.
        """
        self._forest.update(self._row(text), strong_correct - weak_correct)
        self._observed += 1

    def with_threshold(self, threshold: float) -> "LearnedClassifier":
        """Return a copy with a calibrated threshold; what either observes later does not move the other."""
        forest = replace(self._forest, value=self._forest.value.copy(), count=self._forest.count.copy())
        return LearnedClassifier(replace(self._model, forest=forest, threshold=threshold))

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
        return cls(load(path))

    @classmethod
    def shipped(cls) -> "LearnedClassifier":
        """Load the model that ships with the package."""
        with resources.as_file(resources.files(__package__).joinpath("model.npz")) as path:
            return cls.load(path)

    def _row(self, text: str) -> Floats:
        return row_of(self._model.projection, parse(text))

    def _calibrated(self, raw: float) -> float:
        return min(max((1 + self._model.intercept + self._model.slope * raw) / 2, 0.0), 1.0)

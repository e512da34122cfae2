"""The classifier of requests: a sum of weights, which says what moved it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from streams.routing.classifier import Evidence, Reading
from streams.routing.model_archive import prompt_hashes
from streams.routing.request_classifier.features import FORM, Seen, parts_of, see, shares
from streams.routing.request_classifier.model import LEVELS, OUTPUTS, TYPES, Floats, Model, digest, read, save
from topics.requests import Request

_REMEMBERED_WORDS: Final = 1 << 15
_LEAST_LIKELY: Final = 1e-6
"""A boundary or threshold at 0 or 1 is read as this close to it: no evidence moves those."""


class RequestClassifier:
    """Reads what is asked and in which form; deterministic.

    Args:
        model: What was trained.
        goes_up_from: The probability from which the router sends a request up; what a request just at a calibrated
            threshold gets.
    """

    def __init__(self, model: Model, goes_up_from: float = 0.5) -> None:
        self._model = model
        self._goes_up_from = goes_up_from
        self._rows: dict[str, int] = {}
        self._sums = np.empty((_REMEMBERED_WORDS, OUTPUTS + 1), dtype=np.float32)
        """Of the weights of each word and its parts, and how many those are."""
        self._bins = np.arange(len(FORM)) * model.form.shape[1]
        self._form = model.form.reshape(-1, OUTPUTS)
        self._shifts = [0.0 if math.isnan(at) else _log_odds(goes_up_from) - _log_odds(at) for at in model.thresholds]
        self.version: Final = f"requests/1:{digest(model)[:8]}"

    @property
    def model(self) -> Model:
        """What was trained."""
        return self._model

    @property
    def examples(self) -> int:
        """How many requests it was trained on."""
        return len(self._model.trained_on)

    def read(self, request: Request, tiers: int) -> Reading:
        """Score a request for so many tiers, of which the first and the last are those of the labels."""
        outputs = self.outputs(request)
        kind = request.query_type or TYPES[int(outputs[LEVELS:].argmax())]
        return Reading([1 / (1 + math.exp(-value)) for value in self._steps(outputs, tiers)], kind)

    def needs(self, request: Request) -> tuple[float, ...]:
        """Return the probabilities of needing more than each tier of the labels; no threshold moves them."""
        found = _needs(self.outputs(request)[:LEVELS].tolist())
        return tuple(1 / (1 + math.exp(-value)) for value in found)

    def query_type(self, request: Request) -> str:
        """Return what the request looks like, whatever its producer says."""
        return TYPES[int(self.outputs(request)[LEVELS:].argmax())]

    def outputs(self, request: Request) -> Floats:
        """Return the scores of tiers and types, before thresholds: (outputs,)."""
        return self._outputs(see(request))

    def surface(self, request: Request) -> tuple[NDArray[np.intp], Floats]:
        """Return the bin of each feature of the form (form,), and the scores (outputs,)."""
        seen = see(request)
        return self._bins_of(seen) - self._bins, self._outputs(seen)

    def evidence(self, request: Request, tiers: int) -> list[Evidence]:
        """Say what moved the scores: each word with its parts, and each feature of the form beside the usual one."""
        seen = see(request)
        outputs = self._outputs(seen)
        rows = self._rows_of(seen.words)
        scale = shares(seen, int(self._sums[rows, OUTPUTS].sum()))[0]
        found = self._steps(outputs, tiers)

        def evidence(name: str, kind: Literal["word", "form"], part: Floats) -> Evidence:
            without = self._steps(outputs - part, tiers)
            return Evidence(name, kind, tuple(a - b for a, b in zip(found, without, strict=True)))

        return [
            *(
                evidence(word, "word", self._sums[row, :OUTPUTS] * scale)
                for word, row in zip(seen.words, rows, strict=True)
            ),
            *(evidence(name, "form", self._form[row]) for name, row in zip(FORM, self._bins_of(seen), strict=True)),
        ]

    def with_thresholds(self, thresholds: Sequence[float]) -> "RequestClassifier":
        """Return a copy that goes up from these probabilities of needing more, one for each step of the labels."""
        calibrated = replace(self._model, thresholds=np.array(thresholds, dtype=np.float64))
        return RequestClassifier(calibrated, self._goes_up_from)

    def trained_on(self, requests: Iterable[Request]) -> int:
        """Count the requests whose question the model was trained on."""
        hashes = prompt_hashes(request.question for request in requests)
        return int(np.isin(hashes, self._model.trained_on).sum())

    def save(self, path: Path) -> None:
        """Write the model file, replacing the path at once.

        Raises:
            OSError: It can't be written.
        """
        save(self._model, path)

    @classmethod
    def loads(cls, file: bytes, name: str, goes_up_from: float = 0.5) -> "RequestClassifier":
        """Read a model file from memory; errors call it by the name.

        Raises:
            ModelError: It is no model file, or was made for other features; says what to do.
        """
        return cls(read(BytesIO(file), name), goes_up_from)

    @classmethod
    def shipped(cls, goes_up_from: float = 0.5) -> "RequestClassifier":
        """Make one of the model that ships with the package."""
        return cls(_shipped_model(), goes_up_from)

    def _outputs(self, seen: Seen) -> Floats:
        weights = self._model.weights
        sums = np.add.reduce(self._sums.take(self._rows_of(seen.words), axis=0))
        of_text, of_edges, of_context = shares(seen, int(sums[OUTPUTS]))
        found: Floats = self._model.intercept + (
            sums[:OUTPUTS] + np.add.reduce(weights.take(seen.pairs, axis=0))
        ) * np.float32(of_text)
        found += np.add.reduce(weights.take(seen.edges, axis=0)) * np.float32(of_edges)
        found += np.add.reduce(weights.take(seen.context, axis=0)) * np.float32(of_context)
        found += np.add.reduce(self._form.take(self._bins_of(seen), axis=0))
        return found

    def _bins_of(self, seen: Seen) -> NDArray[np.intp]:
        found: NDArray[np.intp] = self._bins + (self._model.cuts < seen.form[:, None]).sum(axis=1)
        return found

    def _rows_of(self, words: Sequence[str]) -> list[int]:
        if len(self._rows) + len(words) > _REMEMBERED_WORDS:
            self._rows.clear()
        return [self._rows[word] if word in self._rows else self._remember(word) for word in words]

    def _remember(self, word: str) -> int:
        row = self._rows[word] = len(self._rows)
        parts = parts_of(word)
        self._sums[row, :OUTPUTS] = np.add.reduce(self._model.weights.take(parts, axis=0))
        self._sums[row, OUTPUTS] = len(parts)
        return row

    def _steps(self, outputs: Floats, tiers: int) -> list[float]:
        """Return the log odds of needing more than each tier but the last.

        The steps of the labels are spread over those of a deployment; its only step is in the middle of them.
        """
        found = _needs(outputs[:LEVELS].tolist())
        log_odds = [value + shift for value, shift in zip(found, self._shifts, strict=True)]
        first, last = log_odds[0], min(log_odds)
        at = [i / (tiers - 2) for i in range(tiers - 1)] if tiers > 2 else [0.5] * (tiers - 1)  # noqa: PLR2004 - one step
        return [first + (last - first) * x for x in at]


def _needs(outputs: Sequence[float]) -> list[float]:
    """Return the log odds of needing more than each level."""
    most = max(outputs)
    likely = [math.exp(value - most) for value in outputs]
    return [
        math.log(max(sum(likely[level:]), _LEAST_LIKELY)) - math.log(max(sum(likely[:level]), _LEAST_LIKELY))
        for level in range(1, len(likely))
    ]


def _log_odds(p: float) -> float:
    p = min(max(p, _LEAST_LIKELY), 1 - _LEAST_LIKELY)
    return math.log(p / (1 - p))


@cache
def _shipped_model() -> Model:
    file = resources.files(__package__).joinpath("model.npz").read_bytes()
    return read(BytesIO(file), "the shipped model")

"""What a conversation says of its last answer: whether its user asks the same again, or has lost patience.

A small linear model weighs how much the last message has in common with those before it, its form, and hashes of its
words and their parts. `tierstream.training.fit_signals` fits it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from io import BytesIO
from math import exp, log, sqrt
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from streams.config.setting_types import Signal
from streams.routing.conversation_features import Seen, see
from streams.routing.request_classifier.features import parts_of
from topics.messages import Message
from topics.requests import Request

MODEL_FILE: Final = "conversation_model.npz"
BUCKETS: Final = 1 << 14
OUTPUTS: Final = ("any", *Signal)
"""Whether there is a signal, and which."""
SHARES: Final = (6.0, 3.0, 3.0)
"""What the new words, the edges and the answer count beside the form, whose features have a spread of 1."""
_LIKELY: Final = log(0.7 / 0.3)
"""Log odds from which on a second signal is given."""
_REMEMBERED_WORDS: Final = 1 << 14
_COARSEST: Final = 127
"""Of a signed byte."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SignalModel:
    """A linear model of the signals.

    Attributes:
        intercept: (outputs,) Log odds where every feature is 0.
        form: (form, outputs) Weights of `conversation_features.FORM`.
        buckets: (buckets, outputs) Weights of words and their parts.
        scale: (outputs,) By which those are multiplied.
        threshold: The probability of any signal from which on there is one.
    """

    intercept: Floats
    form: Floats
    buckets: NDArray[np.int8]
    scale: Floats
    threshold: float

    @classmethod
    def of(cls, intercept: Floats, form: Floats, buckets: Floats, threshold: float) -> "SignalModel":
        """Make one of weights that are rounded as its file keeps them."""
        scale = np.maximum(np.abs(buckets).max(axis=0), 1e-9) / _COARSEST
        return cls(intercept, form, np.rint(buckets / scale).astype(np.int8), scale, threshold)

    @classmethod
    def read(cls, file: bytes) -> "SignalModel":
        """Read the file of a model."""
        with np.load(BytesIO(file), allow_pickle=False) as found:
            arrays = {name: found[name] for name in ("intercept", "form", "buckets", "scale")}
            return cls(**arrays, threshold=float(found["threshold"]))

    def write(self, path: Path) -> None:
        """Write the file of the model."""
        arrays: Mapping[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)


class SignalReader:
    """Reads signals by a model, and remembers what words come to."""

    def __init__(self, model: SignalModel) -> None:
        self.model = model
        self._form = model.form.T.tolist()
        self._intercept = model.intercept.tolist()
        self._bar = log(model.threshold / (1 - model.threshold))
        self._sums: Callable[[str, str], tuple[int, list[float]]] = lru_cache(_REMEMBERED_WORDS)(self._sum)

    def given(self, messages: Sequence[Message]) -> frozenset[Signal]:
        """Return the signals of a conversation: if there is any, the likelier one, and the other where it is likely."""
        seen = see(messages)
        if seen is None:
            return frozenset()
        anything, *which = self._log_odds(seen)
        if anything < self._bar:
            return frozenset()
        bar = min(_LIKELY, max(which))
        return frozenset(signal for signal, odds in zip(Signal, which, strict=True) if odds >= bar)

    def probabilities(self, messages: Sequence[Message]) -> tuple[float, ...]:
        """Return the probability of each of the `OUTPUTS`; all 0 where nothing is read."""
        seen = see(messages)
        return (0.0,) * len(OUTPUTS) if seen is None else tuple(1 / (1 + exp(-odds)) for odds in self._log_odds(seen))

    def _log_odds(self, seen: Seen) -> list[float]:
        found = [
            intercept + sum(map(float.__mul__, weights, seen.form))
            for intercept, weights in zip(self._intercept, self._form, strict=True)
        ]
        for share, words in _groups(seen):
            sums = [self._sums(use, word) for use, word in words]
            factor = share / sqrt(max(sum(count for count, _ in sums), 1))
            for output in range(len(found)):
                found[output] += factor * sum(weights[output] for _, weights in sums)
        return found

    def _sum(self, use: str, word: str) -> tuple[int, list[float]]:
        rows = _buckets(use, word)
        sums = self.model.buckets[rows].astype(np.float64).sum(axis=0) * self.model.scale
        return len(rows), sums.tolist()


def columns_of(seen: Seen) -> Iterator[tuple[int, float]]:
    """Yield the buckets of what was seen, each with what it counts there; one may occur several times."""
    for share, words in _groups(seen):
        rows = [row for use, word in words for row in _buckets(use, word)]
        value = share / sqrt(max(len(rows), 1))
        yield from ((row, value) for row in rows)


def signals(request: Request) -> frozenset[Signal]:
    """Return what the last message of the user says of the answer before it; nothing where the user spoke only once."""
    return signals_of(request.messages)


def signals_of(messages: Sequence[Message]) -> frozenset[Signal]:
    """Return the `signals` of the messages of a request."""
    if sum(message.role == "user" for message in messages) < 2:  # noqa: PLR2004 - the model need not even be there
        return frozenset()
    return shipped().given(messages)


@cache
def shipped() -> SignalReader:
    """Read the model that ships."""
    return SignalReader(SignalModel.read(resources.files("streams.routing").joinpath(MODEL_FILE).read_bytes()))


def _groups(seen: Seen) -> tuple[tuple[float, list[tuple[str, str]]], ...]:
    """Return the uses of words that are normalised together, each with its share."""
    new, edges, answer = SHARES
    return (
        (new, [("new", word) for word in seen.words]),
        (edges, [*(("first", word) for word in seen.first), *(("last", word) for word in seen.last)]),
        (answer, [("answer", word) for word in seen.answer]),
    )


def _buckets(use: str, word: str) -> list[int]:
    """Return the buckets of a word: of a new one those of its parts too."""
    if use == "new":
        return [bucket & (BUCKETS - 1) for bucket in parts_of(word)]
    return [crc32(f"{use} {word}".encode("utf-8", "surrogatepass")) & (BUCKETS - 1)]

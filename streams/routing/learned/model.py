"""What a trained model consists of."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from streams.routing.learned.features import Parsed
from streams.routing.learned.forest import Floats, Forest
from streams.routing.learned.projection import Projection


@dataclass(frozen=True, slots=True)
class Training:
    """What a model was made from.

    Attributes:
        outcomes: How many outcomes.
        mean_gain: Their mean gain, in [-1, 1].
        prompts: (outcomes,) Sorted CRC-32 of the prompts, to tell prompts that were trained on.
        attribution: Where they come from, and under which licence.
    """

    outcomes: int
    mean_gain: float
    prompts: NDArray[np.uint32]
    attribution: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that a model file holds.

    Attributes:
        projection: Of the tokens.
        forest: Predicts the gain from surface features and projection.
        intercept: Of the line that calibrates the forest's prediction.
        slope: Of that line.
        training: What it was made from.
        threshold: Score from which a prompt goes to the stronger model, if calibrated.
    """

    projection: Projection
    forest: Forest
    intercept: float
    slope: float
    training: Training
    threshold: float | None = None


def row_of(projection: Projection, parsed: Parsed) -> Floats:
    """Return what the forest sees of a text: its surface features, then its projection."""
    surface = np.frombuffer(array("f", parsed.surface), dtype=np.float32)
    return np.concatenate((surface, projection(parsed.tokens)))


def prompt_hashes(prompts: Iterable[str]) -> NDArray[np.uint32]:
    """Return the CRC-32 of each prompt: (prompts,)."""
    return np.array([crc32(prompt.encode("utf-8", "surrogatepass")) for prompt in prompts], dtype=np.uint32)

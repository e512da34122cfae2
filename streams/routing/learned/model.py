"""What a trained model consists of."""

from array import array
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.routing.learned.forest import Floats, Forest
from streams.routing.learned.projection import Projection
from streams.routing.learned.word_weights import WordWeights

WEAK_SHARE: Final = 0.15
"""What is learned is the gain minus this much of the weaker model's success: where that one fails there is something to
gain, and on subjects that the training does not have its failures can be foreseen better than the gain."""
WORDS_SHARE: Final = 0.2
"""Of the word weights in a prediction; the forest has the rest."""


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
        forest: Predicts the need (the gain less the weaker model's part) from surface features and projection.
        word_weights: Predicts the same from the words alone.
        intercept: Of the line that turns their prediction into the gain.
        slope: Of that line.
        training: What it was made from.
        thresholds: Score from which a prompt goes above tier 1, tier 2 and so on; None where that was not calibrated.
    """

    projection: Projection
    forest: Forest
    word_weights: WordWeights
    intercept: float
    slope: float
    training: Training
    thresholds: tuple[float | None, ...] = ()


def row_of(surface: list[float], projected: Floats) -> Floats:
    """Return what the forest sees of a text: its surface features, then its projection."""
    return np.concatenate((np.frombuffer(array("f", surface), dtype=np.float32), projected))

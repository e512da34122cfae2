"""What the classifier of requests consists of, and its file."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from streams.routing.classifier import QueryType
from streams.routing.model_archive import Arrays, Layout
from streams.routing.request_classifier import features

LEVELS: Final = 3
"""Tiers of the labels: a deployment's own tiers, however many, are steps between them."""
TYPES: Final = tuple(QueryType)
OUTPUTS: Final = LEVELS + len(TYPES)
KIND: Final = "requests"
_LARGEST: Final = 1e6
"""Beyond any weight, and far from where sums end."""
_COARSEST: Final = 127
"""Of a signed byte."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Model:
    """A linear model: each output is a sum of weights, the log of a probability but for a constant of the request.

    Attributes:
        weights: (buckets, outputs) Of words, their parts and pairs; the first outputs are the tiers, then the types.
        cuts: (form, cuts) Where a feature of the form goes from one bin to the next, in rising order; then infinity.
        form: (form, cuts + 1, outputs) Weights of the bins, whose mean over the training is 0.
        intercept: (outputs,)
        thresholds: (steps,) Probability of needing a higher tier from which a request goes up; NaN: not calibrated.
        trained_on: (requests,) Sorted CRC-32 of the questions, to tell those that were trained on.
        attribution: Where they come from, and under which licence.
    """

    weights: Floats
    cuts: Floats
    form: Floats
    intercept: Floats
    thresholds: NDArray[np.float64]
    trained_on: NDArray[np.uint32]
    attribution: str = ""

    def rounded(self) -> "Model":
        """Return the model as its file keeps it."""
        return _model_of(_arrays_of(self))


@cache
def _layout() -> Layout:
    return Layout(
        kind=KIND,
        format=1,
        features=features.features_digest(),
        shapes={
            "weights": ("buckets outputs", np.int8),
            "scale": ("outputs", np.float32),
            "cuts": ("form cuts", np.float32),
            "bins": ("form bins outputs", np.float32),
            "intercept": ("outputs", np.float32),
            "thresholds": ("steps", np.float64),
            "trained_on": ("requests", np.uint32),
            "attribution": ("text", np.uint8),
        },
        axes={"buckets": features.BUCKETS, "outputs": OUTPUTS, "form": len(features.FORM), "steps": LEVELS - 1},
        not_finite=frozenset({"thresholds", "cuts"}),
    )


def save(model: Model, path: Path) -> None:
    """Write a model file; see `Layout.write`."""
    _layout().write(_arrays_of(model), path)


def read(file: BinaryIO, name: str) -> Model:
    """Read a model from an open file; see `Layout.read`."""
    layout = _layout()
    arrays = layout.read(file, name)
    layout.require(name, _problem(arrays))
    return _model_of(arrays)


def digest(model: Model) -> str:
    """Return the SHA-256 of all that scores depend on, and of the questions' checksums."""
    return _layout().digest(_arrays_of(model))


def _problem(arrays: Arrays) -> str | None:
    if arrays["bins"].shape[1] != arrays["cuts"].shape[1] + 1:
        return "bins do not fit the cuts"
    if any((np.abs(arrays[name]) > _LARGEST).any() for name in ("scale", "bins", "intercept")):
        return "weights too large to be added up"
    if np.isnan(arrays["cuts"]).any() or (arrays["cuts"][:, 1:] < arrays["cuts"][:, :-1]).any():
        return "cuts do not rise"
    known = arrays["thresholds"][~np.isnan(arrays["thresholds"])]
    return "thresholds out of range" if ((known < 0) | (known > 1)).any() else None


def _arrays_of(model: Model) -> Arrays:
    scale = np.maximum(np.abs(model.weights).max(axis=0), math.ulp(1.0)) / _COARSEST
    return _layout().typed(
        {
            "weights": np.rint(model.weights / scale),
            "scale": scale,
            "cuts": model.cuts,
            "bins": model.form,
            "intercept": model.intercept,
            "thresholds": model.thresholds,
            "trained_on": model.trained_on,
            "attribution": np.frombuffer(model.attribution.encode(errors="replace"), dtype=np.uint8),
        }
    )


def _model_of(arrays: Arrays) -> Model:
    return Model(
        # Rows next to each other, or every look-up would copy them all.
        weights=np.ascontiguousarray(arrays["weights"] * arrays["scale"]),
        cuts=arrays["cuts"],
        form=arrays["bins"],
        intercept=arrays["intercept"],
        thresholds=arrays["thresholds"],
        trained_on=arrays["trained_on"],
        attribution=arrays["attribution"].tobytes().decode(),
    )

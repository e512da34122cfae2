"""Files of models that were trained on outcomes."""

import math
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from streams.routing.learned.features import SURFACE_NAMES, features_digest
from streams.routing.learned.forest import Forest
from streams.routing.learned.model import Model, Training
from streams.routing.learned.projection import Projection
from streams.routing.learned.word_weights import WordWeights
from streams.routing.model_archive import Arrays, Layout, text_array

KIND: Final = "outcomes"
_DEEPEST: Final = 64


@cache
def _layout() -> Layout:
    return Layout(
        kind=KIND,
        format=2,
        features=features_digest(),
        shapes={
            "words": ("bytes", np.uint8),
            "idf": ("vocabulary", np.float32),
            "basis": ("vocabulary dimensions", np.float16),
            "depth": ("", np.int32),
            "shrink": ("", np.float32),
            "roots": ("trees", np.int32),
            "test_feature": ("tests", np.int16),
            "test_threshold": ("tests", np.float32),
            "tests": ("nodes", np.uint16),
            "left": ("nodes", np.int32),
            "value": ("nodes", np.float32),
            "count": ("nodes", np.float32),
            "word_weights": ("vocabulary", np.float32),
            "word_intercept": ("", np.float64),
            "calibration": ("line", np.float64),
            "thresholds": ("boundaries", np.float64),
            "prompts": ("outcomes", np.uint32),
            "mean_gain": ("", np.float64),
            "attribution": ("text", np.uint8),
        },
        axes={"line": 2},
        not_finite=frozenset({"thresholds", "test_threshold"}),
    )


def save(model: Model, path: Path) -> None:
    """Write a model file; see `Layout.write`."""
    _layout().write(_arrays_of(model), path)


def read(file: BinaryIO, name: str) -> Model:
    """Read a model from an open file; see `Layout.read`."""
    layout = _layout()
    arrays = layout.read(file, name)
    layout.require(name, _wrong_words(arrays) or _wrong_forest(arrays))
    return _model_of(arrays)


def digest(model: Model) -> str:
    """Return the SHA-256 of all that scores depend on, and of the prompts' checksums."""
    return _layout().digest(_arrays_of(model))


def _arrays_of(model: Model) -> Arrays:
    forest, projection, training = model.forest, model.projection, model.training
    arrays: dict[str, Any] = {
        "words": text_array("\n".join(projection.rows)),
        "idf": projection.idf,
        "basis": projection.basis,
        **{name: getattr(forest, name) for name in Forest.__slots__},
        "word_weights": model.word_weights.weight,
        "word_intercept": model.word_weights.intercept,
        "calibration": (model.intercept, model.slope),
        "thresholds": [math.nan if threshold is None else threshold for threshold in model.thresholds],
        "prompts": training.prompts,
        "mean_gain": training.mean_gain,
        "attribution": np.frombuffer(training.attribution.encode(errors="replace"), dtype=np.uint8),
    }
    return _layout().typed(arrays)


def _model_of(arrays: Arrays) -> Model:
    words = arrays["words"].tobytes().decode(errors="surrogatepass").split("\n")
    return Model(
        projection=Projection(
            {word: row for row, word in enumerate(words)}, arrays["idf"], arrays["basis"].astype(np.float32)
        ),
        forest=Forest(
            depth=int(arrays["depth"]),
            shrink=float(arrays["shrink"]),
            roots=arrays["roots"].astype(np.intp),
            test_feature=arrays["test_feature"].astype(np.intp),
            test_threshold=arrays["test_threshold"],
            tests=arrays["tests"].astype(np.intp),
            left=arrays["left"].astype(np.intp),
            value=arrays["value"],
            count=arrays["count"],
        ),
        word_weights=WordWeights(arrays["word_weights"], float(arrays["word_intercept"])),
        intercept=float(arrays["calibration"][0]),
        slope=float(arrays["calibration"][1]),
        training=Training(
            outcomes=len(arrays["prompts"]),
            mean_gain=float(arrays["mean_gain"]),
            prompts=arrays["prompts"],
            attribution=arrays["attribution"].tobytes().decode(),
        ),
        thresholds=tuple(None if math.isnan(value) else value for value in arrays["thresholds"].tolist()),
    )


def _wrong_words(arrays: Arrays) -> str | None:
    """Name what is inconsistent in the words, so that no later lookup can fail; None if nothing is."""
    try:
        words = arrays["words"].tobytes().decode(errors="surrogatepass").split("\n")
    except UnicodeDecodeError:
        return "texts are not UTF-8"
    return None if len(set(words)) == len(words) == len(arrays["idf"]) else "words"


def _wrong_forest(arrays: Arrays) -> str | None:
    """Name what is inconsistent in the trees, so that no walk can fail or loop; None if nothing is."""
    nodes, features = len(arrays["left"]), len(SURFACE_NAMES) + arrays["basis"].shape[1]
    within = {"roots": nodes, "test_feature": features, "tests": len(arrays["test_feature"]), "left": nodes}
    for name, end in within.items():
        if not arrays[name].size or arrays[name].min() < 0 or arrays[name].max() >= end:
            return f"{name} out of range"
    # A test that can pass leads to the node after `left`, which has to be there too.
    if arrays["left"][arrays["tests"] > 0].max(initial=0) + 1 >= max(nodes, 2):
        return "left out of range"
    if not 0 < arrays["depth"] <= _DEEPEST or arrays["shrink"] < 0 or arrays["count"].min() < 0:
        return "depth, shrink or count out of range"
    return None if np.isposinf(arrays["test_threshold"][0]) else "the test of leaves can pass"

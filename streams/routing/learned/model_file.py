"""Model files: NumPy archives without pickles, checked from end to end when they are read."""

import hashlib
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from streams.routing.learned.features import SURFACE_NAMES, features_digest
from streams.routing.learned.forest import Forest
from streams.routing.learned.model import Model, Training
from streams.routing.learned.projection import Projection
from streams.routing.learned.word_weights import WordWeights

FORMAT: Final = 2
_LARGEST_BYTES: Final = 64 << 20
"""Unpacked. A model of 10,000 outcomes has 3 MB; a file that claims far more is no model."""
_DEEPEST: Final = 64

_SHAPES: Final[dict[str, tuple[str, type[np.generic]]]] = {
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
}
"""Axes and type of each array; an axis has the same length wherever it is named."""

_Arrays = Mapping[str, NDArray[Any]]


class ModelError(Exception):
    """A model file can't be used; the message is one line that says what to do."""


def save(model: Model, path: Path) -> None:
    """Write a model file; the path has either what it had before or all of the new one.

    Raises:
        OSError: It can't be written.
    """
    arrays: dict[str, Any] = {
        **_arrays_of(model),
        "format": np.int32(FORMAT),
        "features": np.frombuffer(features_digest().encode(), dtype=np.uint8),
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Model:
    """Read a model file.

    Raises:
        ModelError: It is no model file, is damaged, or was made by a version with another format or other features.
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        return read(file, str(path))


def read(file: BinaryIO, name: str) -> Model:
    """Read a model from an open file, which errors call by the name.

    Raises:
        ModelError: See `load`.
        OSError: It can't be read.
    """
    arrays = _read(file, name)
    problem = _problem(arrays)
    if problem is not None:
        raise ModelError(f"{name}: damaged model file ({problem}): train the model again")
    return _model_of(arrays)


def digest(model: Model) -> str:
    """Return the SHA-256 of all that scores depend on, and of the prompts' checksums."""
    found = hashlib.sha256(features_digest().encode())
    for name, values in _arrays_of(model).items():
        if name != "attribution":
            found.update(name.encode() + values.tobytes())
    return found.hexdigest()


def _arrays_of(model: Model) -> dict[str, NDArray[Any]]:
    forest, projection, training = model.forest, model.projection, model.training
    arrays: dict[str, Any] = {
        "words": np.frombuffer("\n".join(projection.rows).encode(errors="surrogatepass"), dtype=np.uint8),
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
    return {name: np.asarray(values).astype(_SHAPES[name][1]) for name, values in arrays.items()}


def _model_of(arrays: _Arrays) -> Model:
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


def _read(opened: BinaryIO, name: str) -> _Arrays:
    """Read the arrays of a file of this format, trained with these features."""
    try:
        with zipfile.ZipFile(opened) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST_BYTES:
                raise ModelError(f"{name}: not a model file: it unpacks to more than {_LARGEST_BYTES >> 20} MiB")
        opened.seek(0)
        with np.load(opened, allow_pickle=False) as file:
            if int(file["format"]) != FORMAT:
                raise ModelError(f"{name}: model format {int(file['format'])}, not {FORMAT}: train the model again")
            if file["features"].tobytes() != features_digest().encode():
                raise ModelError(f"{name}: trained with other features than this version has: train the model again")
            return {array: file[array] for array in _SHAPES}
    except KeyError as error:
        raise ModelError(f"{name}: not a model file: {error.args[0]}") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, TypeError, EOFError, NotImplementedError, RuntimeError):
        raise ModelError(f"{name}: not a model file, or damaged: make one with `tierstream train`") from None


def _problem(arrays: _Arrays) -> str | None:
    """Name what is inconsistent, so that no later lookup can fail or loop; None if nothing is."""
    axes: dict[str, int] = {"line": 2}
    for name, (wanted, dtype) in _SHAPES.items():
        values, names = arrays[name], wanted.split()
        if values.dtype != dtype or values.ndim != len(names):
            return f"type or shape of {name}"
        for axis, length in zip(names, values.shape, strict=True):
            if axes.setdefault(axis, length) != length:
                return f"{name} has {length} {axis}, not {axes[axis]}"
        if values.dtype.kind == "f" and name not in {"thresholds", "test_threshold"} and not np.isfinite(values).all():
            return f"{name} is not finite"
    return _wrong_words(arrays, axes["vocabulary"]) or _wrong_forest(arrays, axes)


def _wrong_words(arrays: _Arrays, vocabulary: int) -> str | None:
    try:
        arrays["attribution"].tobytes().decode()
        words = arrays["words"].tobytes().decode(errors="surrogatepass").split("\n")
    except UnicodeDecodeError:
        return "texts are not UTF-8"
    return None if len(set(words)) == len(words) == vocabulary else "words"


def _wrong_forest(arrays: _Arrays, axes: Mapping[str, int]) -> str | None:
    nodes, features = axes["nodes"], len(SURFACE_NAMES) + axes["dimensions"]
    within = {"roots": nodes, "test_feature": features, "tests": axes["tests"], "left": nodes}
    for name, end in within.items():
        if not arrays[name].size or arrays[name].min() < 0 or arrays[name].max() >= end:
            return f"{name} out of range"
    # A test that can pass leads to the node after `left`, which has to be there too.
    if arrays["left"][arrays["tests"] > 0].max(initial=0) + 1 >= max(nodes, 2):
        return "left out of range"
    if not 0 < arrays["depth"] <= _DEEPEST or arrays["shrink"] < 0 or arrays["count"].min() < 0:
        return "depth, shrink or count out of range"
    return None if np.isposinf(arrays["test_threshold"][0]) else "the test of leaves can pass"

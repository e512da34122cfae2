"""Model files: NumPy archives without pickles, checked from end to end when they are read."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

_LARGEST_BYTES: Final = 64 << 20
"""Unpacked. Models have a few MB; a file that claims far more is no model."""
_AGAIN: Final = "train the model again"


class ModelError(Exception):
    """A model file can't be used; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a kind of model file holds.

    Attributes:
        kind: Told apart by it: what the models are trained on.
        format: A file of another format is refused.
        features: Digest of what the model reads of a text; so is one that was made for other features.
        shapes: Axes and type of each array; an axis has the same length wherever it is named.
        axes: Lengths that are known beforehand.
        not_finite: Names of the arrays that may have NaN or infinity.
    """

    kind: str
    format: int
    features: str
    shapes: Mapping[str, tuple[str, type[np.generic]]]
    axes: Mapping[str, int]
    not_finite: frozenset[str]

    def typed(self, arrays: Mapping[str, Any]) -> Arrays:
        """Turn what a model consists of into arrays of the types of the file."""
        return {name: np.asarray(values).astype(self.shapes[name][1]) for name, values in arrays.items()}

    def digest(self, arrays: Arrays) -> str:
        """Return the SHA-256 of all that scores depend on, and of the checksums of what was trained on."""
        found = hashlib.sha256(self.features.encode())
        for name, values in arrays.items():
            if name != "attribution":
                found.update(name.encode() + values.tobytes())
        return found.hexdigest()

    def write(self, arrays: Arrays, path: Path) -> None:
        """Write a model file; the path has either what it had before or all of the new one.

        Raises:
            OSError: It can't be written.
        """
        head: dict[str, Any] = {
            "kind": text_array(self.kind),
            "format": np.int32(self.format),
            "features": text_array(self.features),
        }
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with partial.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **dict(arrays), **head)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def read(self, opened: BinaryIO, name: str) -> Arrays:
        """Read the arrays of a file of this kind, which errors call by the name.

        Raises:
            ModelError: It is no such file, is damaged, or was made by a version with another format or other features.
            OSError: It can't be read.
        """
        try:
            with _opened(opened, name) as file:
                if (kind := _kind(file)) != self.kind:
                    raise ModelError(f"{name}: a model that was trained on {kind}, not on {self.kind}")
                if int(file["format"]) != self.format:
                    raise ModelError(f"{name}: model format {int(file['format'])}, not {self.format}: {_AGAIN}")
                if file["features"].tobytes() != self.features.encode():
                    raise ModelError(f"{name}: trained with other features than this version has: {_AGAIN}")
                arrays = {array: file[array] for array in self.shapes}
        except KeyError as error:
            raise ModelError(f"{name}: not a model file: {error.args[0]}") from None
        except _DAMAGES:
            raise _not_a_model(name) from None
        self.require(name, self._problem(arrays))
        return arrays

    def require(self, name: str, problem: str | None) -> None:
        """Refuse a file with a problem.

        Raises:
            ModelError: There is one.
        """
        if problem is not None:
            raise ModelError(f"{name}: damaged model file ({problem}): {_AGAIN}")

    def _problem(self, arrays: Arrays) -> str | None:
        """Name what is inconsistent; None if nothing is."""
        axes = dict(self.axes)
        for name, (wanted, dtype) in self.shapes.items():
            values, names = arrays[name], wanted.split()
            if values.dtype != dtype or values.ndim != len(names):
                return f"type or shape of {name}"
            for axis, length in zip(names, values.shape, strict=True):
                if axes.setdefault(axis, length) != length:
                    return f"{name} has {length} {axis}, not {axes[axis]}"
            if values.dtype.kind == "f" and name not in self.not_finite and not np.isfinite(values).all():
                return f"{name} is not finite"
        try:
            arrays["attribution"].tobytes().decode()
        except UnicodeDecodeError:
            return "texts are not UTF-8"
        return None


_DAMAGES = (
    zipfile.BadZipFile, zlib.error, ValueError, TypeError, EOFError, NotImplementedError, RuntimeError, SyntaxError,
    TokenError,
)  # fmt: skip
"""What the libraries below raise; the last two on a damaged header, which NumPy parses before any checksum is compared.
"""


def kind_of(opened: BinaryIO, name: str) -> str:
    """Tell what the model of a file was trained on, and go back to its beginning.

    Raises:
        ModelError: It is no model file.
    """
    try:
        with _opened(opened, name) as file:
            return _kind(file)
    except _DAMAGES:
        raise _not_a_model(name) from None
    finally:
        opened.seek(0)


def text_array(text: str) -> NDArray[np.uint8]:
    """Return a text as an array of the bytes of its UTF-8; lone surrogates pass."""
    return np.frombuffer(text.encode(errors="surrogatepass"), dtype=np.uint8)


def prompt_hashes(prompts: Iterable[str]) -> NDArray[np.uint32]:
    """Return the CRC-32 of each prompt: (prompts,)."""
    return np.array([crc32(prompt.encode("utf-8", "surrogatepass")) for prompt in prompts], dtype=np.uint32)


def _opened(opened: BinaryIO, name: str) -> Any:  # noqa: ANN401 - NumPy's type of an archive is not public
    with zipfile.ZipFile(opened) as archive:
        if sum(member.file_size for member in archive.infolist()) > _LARGEST_BYTES:
            raise ModelError(f"{name}: not a model file: it unpacks to more than {_LARGEST_BYTES >> 20} MiB")
    opened.seek(0)
    return np.load(opened, allow_pickle=False)


def _kind(file: Mapping[str, NDArray[Any]]) -> str:
    # Files of before there were two kinds name none.
    return file["kind"].tobytes().decode(errors="replace") if "kind" in file else "outcomes"


def _not_a_model(name: str) -> ModelError:
    return ModelError(f"{name}: not a model file, or damaged: make one with `tierstream train`")

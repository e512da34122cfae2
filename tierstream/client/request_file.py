"""Requests as people write them: JSON objects, one a line, checked before anything is sent."""

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from pydantic_core import from_json

from topics.codec import DecodeError, decode, encode
from topics.registry import REQUESTS
from topics.requests import Request

_RUNS = uuid5(NAMESPACE_URL, "tierstream:run")
_GZIP_MAGIC = b"\x1f\x8b"


class InputError(Exception):
    """What the user gave can't be used; the message is one line that names the place and the problem."""


@dataclass(frozen=True)
class Line:
    """A request and where it stands."""

    number: int
    request: Request
    unknown_fields: tuple[str, ...]


@dataclass
class UnknownFields:
    """Fields that nobody reads, gathered over many lines; most often typing errors."""

    lines: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        """Note what a line has."""
        for name in line.unknown_fields:
            self.lines[name] += 1
            self.first.setdefault(name, line.number)

    def describe(self) -> str:
        """Name each field with its first line and count; empty where there is none."""
        return ", ".join(
            f"{name} (line {self.first[name]}{f' and {count - 1} more' if count > 1 else ''})"
            for name, count in self.lines.most_common(10)
        )


@dataclass(frozen=True)
class RequestFile:
    """A file that was checked from its first to its last line."""

    path: Path
    run_id: str
    ids: frozenset[str]
    unknown_fields: UnknownFields
    max_bytes: int

    def requests(self) -> Iterator[Request]:
        """Read the file again, with the ids that the check gave."""
        with open_lines(self.path) as lines:
            for line in read_lines(lines, str(self.path), run_line_ids(self.run_id), self.max_bytes):
                yield line.request


def check_file(path: Path, *, run_id: str | None, max_bytes: int) -> RequestFile:
    """Check every line of a file, plain or gzip.

    Args:
        path: The file.
        run_id: What ids of lines without one are derived from; None: the SHA-256 of the content.
        max_bytes: Largest request that the system accepts.

    Raises:
        InputError: A line is not a request, an id comes twice, or there is no request at all.
        OSError: The file can't be read.
    """
    run_id = run_id or _content_hash(path)
    numbers: dict[str, int] = {}
    unknown = UnknownFields()
    with open_lines(path) as lines:
        for line in read_lines(lines, str(path), run_line_ids(run_id), max_bytes):
            request_id = line.request.request_id
            first = numbers.setdefault(request_id, line.number)
            if first != line.number:
                raise InputError(f"{path} line {line.number}: request_id: the same as on line {first}")
            unknown.add(line)
    if not numbers:
        raise InputError(f"{path}: there is no request in it")
    return RequestFile(path, run_id, frozenset(numbers), unknown, max_bytes)


def read_lines(lines: Iterable[bytes], name: str, line_id: Callable[[int], str], max_bytes: int) -> Iterator[Line]:
    """Parse lines of JSON, blank ones apart.

    Args:
        lines: As read from a file.
        name: What errors call the file.
        line_id: Gives the id for the line of that number where it has none.
        max_bytes: Largest request that the system accepts.

    Raises:
        InputError: Naming line and field.
    """
    for number, text in enumerate(lines, 1):
        if text.strip():
            yield parse_line(text, number, f"{name} line {number}", partial(line_id, number), max_bytes)


def parse_line(text: bytes, number: int, place: str, new_id: Callable[[], str], max_bytes: int) -> Line:
    """Parse a line of JSON; see `parse_request`.

    Raises:
        InputError: Naming the place and, where there is one, the field.
    """
    try:
        # Without its end, or what is cut off there is said to be on the next line.
        data = from_json(text.rstrip(), allow_inf_nan=False)
    except ValueError as error:
        raise InputError(f"{place}: not JSON: {str(error).replace('line 1 column', 'column')}") from None
    if not isinstance(data, dict):
        raise InputError(f"{place}: not a JSON object")
    request, unknown = parse_request(data, place, new_id, max_bytes)
    return Line(number, request, unknown)


def parse_request(
    data: Mapping[str, Any], place: str, new_id: Callable[[], str], max_bytes: int
) -> tuple[Request, tuple[str, ...]]:
    """Make a request of a JSON object that may have `prompt` instead of `messages` and no id.

    Returns:
        The request, and the names of the fields that nobody reads.

    Raises:
        InputError: Naming the place and the field.
    """
    values = dict(data)
    if "prompt" in values:
        if "messages" in values:
            raise InputError(f"{place}: prompt: give either prompt or messages")
        values["messages"] = [{"role": "user", "content": values.pop("prompt")}]
    if values.get("request_id") is None:
        values["request_id"] = new_id()
    try:
        decoded = decode(REQUESTS, json.dumps(values).encode(), ())
    except DecodeError as error:
        raise InputError(f"{place}: {error.message}") from None
    size = len(encode(decoded.record).value)
    if size > max_bytes:
        raise InputError(f"{place}: the request has {size} bytes, at most {max_bytes} are accepted")
    return decoded.record, decoded.unknown_fields


def random_id(_number: int = 0) -> str:
    """Make an id for a request that has none."""
    return str(uuid4())


def run_line_ids(run_id: str) -> Callable[[int], str]:
    """Derive the same id for the same line of the same run, whenever it is read."""
    return lambda number: str(uuid5(_RUNS, f"{run_id}\x1f{number}"))


@contextmanager
def open_lines(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open a file, unpacking it where it is gzip.

    Raises:
        InputError: It is gzip and broken.
        OSError: It can't be read.
    """
    with path.open("rb") as raw:
        is_gzip = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        raw.seek(0)
        if not is_gzip:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}: broken gzip file: {error}") from None


def _content_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open_lines(path) as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

"""Reading files of labelled things: JSON objects, one a line, each with an id."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tierstream.client.request_file import InputError, open_lines

L = TypeVar("L", bound=BaseModel)


def read_labelled_lines(paths: Sequence[Path], as_type: type[L], *, what: str, id_field: str = "id") -> list[L]:
    """Read files, plain or gzip.

    Args:
        paths: Of the files.
        as_type: What a line is.
        what: What errors call it.
        id_field: What names it, in all files together.

    Raises:
        InputError: Naming line and field; or an id occurs twice, or there is nothing in the files.
        OSError: A file can't be read.
    """
    found: dict[str, L] = {}
    for path in paths:
        for place, one in _lines(path, as_type):
            name: str = getattr(one, id_field)
            if name in found:
                raise InputError(f"{place}: {id_field}: {name!r} occurs twice")
            found[name] = one
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: there is no {what} in it")
    return [*found.values()]


def _lines(path: Path, as_type: type[L]) -> Iterator[tuple[str, L]]:
    with open_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            place = f"{path} line {number}"
            try:
                yield place, as_type.model_validate_json(line)
            except ValidationError as error:
                # The library's own message quotes the input, and no text must end in a log.
                first = error.errors(include_input=False, include_url=False, include_context=False)[0]
                where = ".".join(map(str, first["loc"])) or "line"
                raise InputError(f"{place}: {where}: {first['msg']}") from None

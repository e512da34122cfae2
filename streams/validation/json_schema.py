"""JSON that was asked for: found in an answer with tolerance, and held against the schema without any."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError
from pydantic_core import from_json

from streams.validation.finished import Finished, split_fences
from topics.requests import Request

# Applied to stripped text; it backtracks nowhere, because a model that loops can return any number of newlines.
_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\r?\n(.*)```\Z", re.DOTALL)

_ANY_OBJECT: Final[dict[str, Any]] = {"type": "object"}

_MOST_LEVELS = 64
"""The stages wrap the request in records of their own, and JSON is read to 200 levels."""

_MOST_EXPANSIONS = 10_000

_OPENING: Final = re.compile(r"[{\[]")
_STRUCTURE: Final = re.compile(r'[{}\[\]]|(?<=[\s:,{\[])"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_MOST_VALUES: Final = 8
"""Pieces that are read as JSON."""
_MOST_BRACKETS: Final = 50_000
"""Brackets and strings of a text with words around its JSON that are looked at."""


def schema_of(request: Request) -> dict[str, Any] | None:
    """Return the JSON Schema that an answer is held against; of JSON that needs none, any object will do."""
    if request.answer_schema is not None:
        return request.answer_schema
    return _ANY_OBJECT if request.asks_for_json else None


def is_off_schema(answer: Finished) -> bool:
    """Whether JSON was asked for, and this is none or breaks the schema; calls of tools are no answer yet."""
    schema = schema_of(answer.request)
    return schema is not None and not answer.tool_calls and not matches_schema(answer.content, schema)


def matches_parameters(arguments: str, schema: dict[str, Any] | None) -> bool:
    """Whether the arguments of a call are an object that satisfies the parameters of its tool.

    Args:
        arguments: As the model wrote them; nothing stands for none.
        schema: Of the tool; None: it takes no arguments. Of one that can't be used here any object will do: what is a
            schema is up to the provider, which has taken it.
    """
    try:
        value = _read(arguments.strip() or "{}")
    except ValueError:
        return False
    if not isinstance(value, dict):
        return False
    if schema is None:
        return not value
    return schema_problem(schema) is not None or _is_valid(_validator(schema), value)


def matches_schema(content: str, schema: dict[str, Any]) -> bool:
    """Whether the answer holds one piece of JSON that satisfies the schema, with or without fences and words around it.

    Two different pieces that both do are none: nobody can tell which is the answer.
    """
    try:
        validator = _validator(schema)
    except ValueError:
        return False
    whole = unfenced(content)
    try:
        return validator.is_valid(_read(whole))
    except ValueError:
        pass
    found = [value for value in _values(content) if _is_valid(validator, value)]
    return bool(found) and all(value == found[0] for value in found)


def _is_valid(validator: Draft202012Validator, value: object) -> bool:
    try:
        return bool(validator.is_valid(value))
    except ValueError:
        return False


def _read(text: str) -> Any:  # noqa: ANN401 - JSON can be anything
    return from_json(text.encode(), allow_inf_nan=False)


def _values(content: str) -> Iterator[object]:
    """Find pieces of JSON: what is in fences, and objects and lists between words."""
    budget = _MOST_VALUES
    for outside, block in split_fences(content):
        for text in (_bare(outside), [] if block is None else [block]):
            for piece in text:
                budget -= 1
                if budget < 0:
                    return
                try:
                    yield _read(piece)
                except ValueError:
                    continue


def _bare(text: str) -> list[str]:
    """Cut out what stands between brackets that belong together, the outermost of them."""
    if _OPENING.search(text) is None:
        return []
    openings: list[int] = []
    pairs: list[tuple[int, int]] = []
    for mark in islice(_STRUCTURE.finditer(text), _MOST_BRACKETS):
        if mark[0] in "{[":
            openings.append(mark.start())
        elif mark[0] in "}]" and openings:
            start = openings.pop()
            while pairs and pairs[-1][0] > start:
                pairs.pop()
            pairs.append((start, mark.end()))
    return [text[start:end] for start, end in pairs]


def unfenced(content: str) -> str:
    """Take the text out of the code fence that some models put around JSON."""
    fenced = _FENCE.match(content.strip())
    return fenced.group(1).strip("\n") if fenced else content


def schema_problem(schema: dict[str, Any]) -> str | None:
    """Say what is wrong with a request's own schema; None if it is a JSON Schema that is safe to check against."""
    if _levels(schema) > _MOST_LEVELS:
        return f"is nested more than {_MOST_LEVELS} levels deep"
    if any(not reference.startswith("#") for reference in _references(schema)):
        return "$ref may only point into the schema itself"
    try:
        _validator(schema)
    except ValidationError as error:
        where = "/".join(map(str, error.instance_path))
        return f"is not a JSON Schema{f' at {where}' if where else ''}"[:300]
    if _Expansion(schema).size() > _MOST_EXPANSIONS:
        return f"its $refs expand to more than {_MOST_EXPANSIONS} parts"
    return None


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    # A schema comes from outside: it must neither make this process fetch something nor hold it up with a pattern.
    return Draft202012Validator(schema, pattern_options=RegexOptions(), offline=True)


class _Expansion:
    """Counts the parts of a schema with each `$ref` replaced by its target, which can double at every level."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._sizes: dict[str, int] = {}

    def size(self) -> int:
        return self._of(self._schema)

    def _of(self, node: object) -> int:
        if isinstance(node, list):
            return sum(map(self._of, node))
        if not isinstance(node, dict):
            return 0
        reference = node.get("$ref")
        target = self._target(reference) if isinstance(reference, str) else 0
        return 1 + target + sum(map(self._of, node.values()))

    def _target(self, reference: str) -> int:
        if reference not in self._sizes:
            # A reference that leads back to itself ends with the data, so it counts once.
            self._sizes[reference] = 0
            self._sizes[reference] = self._of(_resolve(self._schema, reference))
        return self._sizes[reference]


def _resolve(schema: dict[str, Any], reference: str) -> object:
    """Follow a JSON pointer into the schema; anchors and dangling pointers lead nowhere."""
    node: object = schema
    for part in reference.removeprefix("#").split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node


def _levels(node: object) -> int:
    if isinstance(node, dict):
        return 1 + max(map(_levels, node.values()), default=0)
    if isinstance(node, list):
        return 1 + max(map(_levels, node), default=0)
    return 0


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)

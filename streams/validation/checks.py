"""Free checks: what can be seen of an answer without paying for a judge. A new one is a function under `@_check`."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError
from pydantic_core import from_json

from topics.requests import Request

# Applied to stripped text; it backtracks nowhere, because a model that loops can return any number of newlines.
_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\r?\n(.*)```\Z", re.DOTALL)

_MOST_LEVELS = 64
"""The stages wrap the request in records of their own, and JSON is read to 200 levels."""

_MOST_EXPANSIONS = 10_000

# A hedge counts only near the start of a short answer: a long text that admits a limit in passing is no refusal.
_HEDGE_CHARACTERS = 400
_HEDGE = re.compile(
    r"\b(i (really |honestly )?(don['’]t|do not) know|i(['’]m| am) (not sure|unsure|unable to|not able to)"
    r"|i (can['’]t|cannot|can not) (help|assist|answer|provide|comply|do that)|as an ai( language)? model"
    r"|i (don['’]t|do not) have (enough|sufficient|access|the) (information|context|data|details)?"
    r"|(ich weiß (es )?(leider )?nicht|das weiß ich (leider )?nicht)|je ne sais pas|no (lo )?sé\b|não sei\b"
    r"|unable to (answer|determine|help))"
    r"|我不知道|无法回答|わかりません|分かりません",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer as the checks see it.

    Attributes:
        request: What was asked.
        content: The whole text.
        finish_reason: One of stop, length, content_filter, tool_calls and other.
    """

    request: Request
    content: str
    finish_reason: str


Fails = Callable[[Finished], bool]

CHECKS: Final[dict[str, Fails]] = {}
"""What tells that an answer fails, by the name that routes and hops have for it, in the order of trying."""


def failed_check(request: Request, content: str, finish_reason: str) -> str | None:
    """Name the first check that the answer fails; None if it passes all."""
    answer = Finished(request, content, finish_reason)
    return next((name for name, fails in CHECKS.items() if fails(answer)), None)


def _check(name: str) -> Callable[[Fails], Fails]:
    """Register a check, to be tried after those that stand above it."""

    def register(fails: Fails) -> Fails:
        if name in CHECKS:
            raise ValueError(f"there are two checks called {name!r}")
        CHECKS[name] = fails
        return fails

    return register


@_check("empty")
def _has_no_text(answer: Finished) -> bool:
    return not answer.content.strip()


@_check("filtered")
def _was_withheld(answer: Finished) -> bool:
    return answer.finish_reason == "content_filter"


@_check("truncated")
def _was_cut_off(answer: Finished) -> bool:
    # Who sets a limit takes what comes of it.
    return answer.finish_reason == "length" and answer.request.params.max_tokens is None


@_check("schema")
def _is_off_schema(answer: Finished) -> bool:
    schema = answer.request.response_schema
    return schema is not None and not matches_schema(answer.content, schema)


@_check("hedge")
def _says_that_it_does_not_know(answer: Finished) -> bool:
    # JSON that was asked for may well hold such words, and of what was cut off as asked the rest is not known.
    if answer.request.response_schema is not None or answer.finish_reason == "length":
        return False
    return len(answer.content) <= _HEDGE_CHARACTERS and _HEDGE.search(answer.content) is not None


def matches_schema(content: str, schema: dict[str, Any]) -> bool:
    """Whether the answer is JSON, bare or in one code fence, that satisfies the schema."""
    try:
        instance = from_json(unfenced(content).encode(), allow_inf_nan=False)
        return _validator(schema).is_valid(instance)
    except ValueError:
        return False


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

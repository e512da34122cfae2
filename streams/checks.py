"""Free checks: what can be seen of an answer without paying for a judge."""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic_core import from_json
from referencing import Registry
from referencing.exceptions import Unresolvable

from topics.requests import Request

# Applied to stripped text; it backtracks nowhere, because a model that loops can return any number of newlines.
_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\r?\n(.*)```\Z", re.DOTALL)

_MOST_LEVELS = 64
"""The stages wrap the request in records of their own, and JSON is read to 200 levels."""

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


def failed_check(request: Request, content: str, finish_reason: str) -> str | None:
    """Name the first check that the answer fails: empty, filtered, truncated, schema or hedge; None if it passes."""
    if not content.strip():
        return "empty"
    if finish_reason == "content_filter":
        return "filtered"
    if finish_reason == "length" and request.params.max_tokens is None:
        return "truncated"
    if request.response_schema is not None:
        return None if matches_schema(content, request.response_schema) else "schema"
    if finish_reason == "length":
        return None
    return "hedge" if _HEDGE.search(content[:_HEDGE_CHARACTERS]) and len(content) <= _HEDGE_CHARACTERS else None


def matches_schema(content: str, schema: dict[str, Any]) -> bool:
    """Whether the answer is JSON, bare or in one code fence, that satisfies the schema."""
    try:
        instance = from_json(unfenced(content).encode(), allow_inf_nan=False)
        return _validator(schema).is_valid(instance)
    except (ValueError, RecursionError, Unresolvable):
        return False


def unfenced(content: str) -> str:
    """Take the text out of the code fence that some models put around JSON."""
    fenced = _FENCE.match(content.strip())
    return fenced.group(1).strip("\n") if fenced else content


def schema_problem(schema: dict[str, Any]) -> str | None:
    """Say what is wrong with a request's own schema; None if it is a valid JSON Schema."""
    if _levels(schema) > _MOST_LEVELS:
        return f"is nested more than {_MOST_LEVELS} levels deep"
    try:
        Draft202012Validator.check_schema(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    except SchemaError as error:
        return error.message[:300]
    if any(not reference.startswith("#") for reference in _references(schema)):
        return "$ref may only point into the schema itself"
    return None


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    # An empty registry: a schema from outside must not make this process fetch what it points to.
    return Draft202012Validator(schema, registry=Registry())


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

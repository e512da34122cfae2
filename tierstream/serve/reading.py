"""How a body becomes a Request: what every surface does with mistakes, callers and targets."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError, to_json

from tierstream.serve.surface import Caller, DoorError, Target
from topics.codec import message_of
from topics.requests import Request

M = TypeVar("M", bound=BaseModel)

_LONGEST_PATH: Final = 200
"""Characters: keys of objects are part of it, and those come from outside."""
_TYPE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


T = TypeVar("T")
Several = Annotated[tuple[T, ...], Field(fail_fast=True)]
"""A list in a body. One that is wrong is reason enough: a megabyte of them would take seconds to list."""


class BodyPart(BaseModel):
    """A part of a body: what nobody reads is passed over, as both vendors' rules for newer fields ask for."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


def validated(model: type[M], data: object, *, names: Mapping[str, str] | None = None, at: str = "") -> M:
    """Read JSON values as a model. They have the types of JSON: a number is no text, and text no number.

    Args:
        model: What they should be.
        data: As a JSON parser gives them.
        names: What fields at the top level are called in the body, where that differs.
        at: Where they are in the body; empty for the body itself.

    Raises:
        DoorError: They are not; the field is named, and no value is repeated.
    """
    try:
        return model.model_validate_json(to_json(data), strict=True)
    except ValidationError as error:
        raise _invalid(error, data, names or {}, at) from None
    except PydanticSerializationError:
        raise DoorError(
            400, "invalid_request", "the body is nested too deep, or has text that is not Unicode"
        ) from None


def request_of(fields: Mapping[str, Any], names: Mapping[str, str]) -> Request:
    """Put a Request together from records.

    Args:
        fields: Of the Request.
        names: What its fields are called in the body, where that differs.

    Raises:
        DoorError: They don't go together; the field is named.
    """
    try:
        return Request.model_validate(fields)
    except ValidationError as error:
        raise _invalid(error, fields, names) from None


@contextmanager
def located(path: str) -> Iterator[None]:
    """Have what records find wrong within named by the place in the body that they are made from.

    Raises:
        DoorError: A record was not valid.
    """
    try:
        yield
    except ValidationError as error:
        problem = _problems(error)[0]
        raise DoorError(400, "invalid_request", _said(problem), param=path) from None


def refuse(body: Mapping[str, Any], reasons: Mapping[str, str], path: str = "") -> None:
    """Refuse what is not served here.

    Args:
        body: An object of the body.
        reasons: Why, by the field that asks for it; one that is absent, null, false, zero or empty does not ask.
        path: Where the object is, with a point behind it; empty for the body itself.

    Raises:
        DoorError: A field asks for it.
    """
    for name, reason in reasons.items():
        if body.get(name):
            raise DoorError(400, "unsupported_parameter", reason, param=f"{path}{name}")


def unserved(kind: object, path: str, what: str) -> DoorError:
    """Say that there is no such kind of thing here, such as a tool that the vendor runs itself.

    Args:
        kind: Its type, as the body names it: it is repeated where it looks like a name.
        path: Where it is.
        what: What is served instead.
    """
    name = kind if isinstance(kind, str) and _TYPE_NAME.fullmatch(kind) else "this type"
    return DoorError(400, "unsupported_value", f"{name} is not served here: {what}", param=path)


def check_tools(tools: object, served: tuple[str | None, ...], what: str) -> None:
    """Refuse tools by the names of their types: a vendor runs them, or its models alone know what they take.

    Args:
        tools: As the body has them; what is none at all is for the record to refuse.
        served: The types that are served.
        what: What is served instead.

    Raises:
        DoorError: One has another type.
    """
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, Mapping) and tool.get("type") not in served:
            raise unserved(tool.get("type"), f"tools[{number}].type", what)


def of_caller(caller: Caller, target: Target, user: str | None) -> dict[str, Any]:
    """Return the fields of a Request that say who asks and whom; the caller's key binds whatever else is said.

    Args:
        caller: Who asks.
        target: Whom the body asks for.
        user: Who asks, as the body has it.

    Raises:
        DoorError: 403, the key may not ask for this.
    """
    lowest = max((tier for tier in (caller.min_tier, target.min_tier) if tier is not None), default=None)
    highest = min((tier for tier in (caller.max_tier, target.max_tier) if tier is not None), default=None)
    if lowest is not None and highest is not None and lowest > highest:
        raise DoorError(403, "model_not_allowed", "the key may not ask for this model", param="model")
    return {
        "user_id": caller.user_id or user,
        "feature": caller.feature or target.feature,
        "tags": caller.tags,
        "min_tier": lowest,
        "max_tier": highest,
        "model": target.model,
    }


def model_named(body: Mapping[str, Any]) -> str:
    """Return the name of the model in a body.

    Raises:
        DoorError: There is none.
    """
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise DoorError(400, "invalid_request", "a model has to be named", param="model")
    return name


def _invalid(error: ValidationError, data: object, names: Mapping[str, str], at: str = "") -> DoorError:
    found = [
        (_steps(problem["loc"], data, missing=problem["type"] == "missing"), problem) for problem in _problems(error)
    ]
    # Of the members of a union the one that went furthest is what was meant.
    steps, problem = max(found, key=lambda one: len(one[0]))
    return DoorError(400, "invalid_request", _said(problem), param=_path(steps, names, at) or None)


def _problems(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False, include_context=False)


def _said(problem: ErrorDetails) -> str:
    return message_of(problem).removeprefix("Value error, ")


def _steps(location: Sequence[str | int], data: object, *, missing: bool) -> list[str | int]:
    """Return the steps that lead somewhere in the data: pydantic names members of unions as well."""
    steps: list[str | int] = []
    here: Any = data
    for number, step in enumerate(location):
        if isinstance(here, Mapping):
            leads = step in here
        else:
            leads = isinstance(here, list | tuple) and isinstance(step, int) and step < len(here)
        if leads:
            here = here[step]
        if leads or (missing and number == len(location) - 1):
            steps.append(step)
    return steps


def _path(steps: list[str | int], names: Mapping[str, str], at: str) -> str:
    if steps[:1] == ["params"]:
        steps = steps[1:]
    if steps:
        steps = [names.get(str(steps[0]), steps[0]), *steps[1:]]
    return "".join([at, *(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)]).removeprefix(".")[
        :_LONGEST_PATH
    ]

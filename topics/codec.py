"""Bytes to records and back: JSON values, with the name and version of the schema in a header."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Generic, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from topics.base import Identifier, Record
from topics.registry import TopicSpec

SCHEMA_HEADER = "schema"

Headers = Sequence[tuple[str, bytes | None]]
M = TypeVar("M", bound=Record)

_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)
_SHOWN_PROBLEMS = 5
_SHOWN_UNKNOWN = 20


@dataclass(frozen=True)
class Encoded:
    """A record as it travels."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True)
class Decoded(Generic[M]):
    """A record as it was read, with the names of the fields that nobody reads."""

    record: M
    unknown_fields: tuple[str, ...]


class DecodeError(Exception):
    """A value that is not a record of its topic.

    The message names fields and problems and never repeats a value: texts stay out of logs.
    """

    def __init__(self, reason: str, message: str, request_id: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.request_id = request_id


class Damaged(bytes):
    """Stands for the value of a record that could not be read from its batch; its bytes can't be had."""

    problem: str

    def __new__(cls, problem: str) -> Self:
        """Make an empty value that says what is wrong."""
        damaged = super().__new__(cls)
        damaged.problem = problem
        return damaged


def encode(record: Record) -> Encoded:
    """Write a record as JSON, with the schema header and the partition key as key."""
    return Encoded(
        key=record.partition_key.encode(),
        value=record.model_dump_json().encode(),
        headers=[(SCHEMA_HEADER, record.SCHEMA.encode()), *record.own_headers()],
    )


def header(headers: Iterable[tuple[str, bytes | None]], name: str) -> str | None:
    """Return the last value of a header as text; None where it is absent."""
    found = None
    for key, value in headers:
        if key == name and value is not None:
            found = value.decode(errors="replace")
    return found


def decode(spec: TopicSpec[M], value: bytes | None, headers: Headers, *, max_bytes: int | None = None) -> Decoded[M]:
    """Read a record of a topic.

    Args:
        spec: The topic; a missing schema header means its first record type.
        value: The bytes, None for a tombstone.
        headers: As Kafka gives them.
        max_bytes: Largest value that is accepted, for topics that others write to.

    Raises:
        DecodeError: With reason `damaged`, `empty`, `too_large`, `not_json`, `unknown_schema` or `invalid`, and the
            request id where one could be read.
    """
    if isinstance(value, Damaged):
        raise DecodeError("damaged", value.problem)
    if not value:
        raise DecodeError("empty", "the record has no value")
    try:
        data = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        if max_bytes is not None and len(value) > max_bytes:
            raise _too_large(value, max_bytes, None) from None
        raise DecodeError("not_json", f"the value is not JSON: {error}") from None
    request_id = _read_request_id(data)
    if max_bytes is not None and len(value) > max_bytes:
        raise _too_large(value, max_bytes, request_id)
    model = _model_for(spec, headers, request_id)
    try:
        record = model.model_validate(data)
    except ValidationError as error:
        raise DecodeError("invalid", _describe(error), request_id) from None
    return Decoded(record, tuple(_unknown_fields(data, model))[:_SHOWN_UNKNOWN])


def _too_large(value: bytes, max_bytes: int, request_id: str | None) -> DecodeError:
    return DecodeError("too_large", f"the value has {len(value)} bytes, at most {max_bytes} are accepted", request_id)


def _read_request_id(data: object) -> str | None:
    """Read the id of a request, or of the one that a record of ours is about."""
    for part in ("task", "request"):
        if isinstance(data, dict) and part in data:
            data = data[part]
    if not isinstance(data, dict):
        return None
    try:
        return _IDENTIFIER.validate_python(data.get("request_id"), strict=True)
    except ValidationError:
        return None


def _model_for(spec: TopicSpec[M], headers: Headers, request_id: str | None) -> type[M]:
    schema = header(headers, SCHEMA_HEADER)
    if schema is None:
        return spec.records[0]
    for model in spec.records:
        if schema == model.SCHEMA:
            return model
    known = ", ".join(model.SCHEMA for model in spec.records)
    raise DecodeError("unknown_schema", f"schema {schema[:64]!r} is not one of {known}", request_id)


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    shown = [f"{'.'.join(map(str, p['loc']))[:100] or 'value'}: {p['msg']}" for p in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        shown.append(f"and {len(problems) - _SHOWN_PROBLEMS} more")
    return "; ".join(shown)


def _unknown_fields(data: object, model: type[BaseModel], path: str = "") -> Iterable[str]:
    """Name the fields of the JSON that the model ignores, those of nested models included."""
    if not isinstance(data, dict):
        return
    nested = _nested_models(model)
    for name, value in data.items():
        if name not in nested:
            yield f"{path}{name}"[:100]
        elif isinstance(value, dict) and (inner := nested[name]) is not None:
            yield from _unknown_fields(value, inner, f"{path}{name}.")


@cache
def _nested_models(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Return the fields of a model, each with the model that its value is one of."""
    return {name: _model_in(field.annotation) for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type annotation has no better type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Union, UnionType}:
        return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)
    return None

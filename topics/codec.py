"""Bytes to records and back: JSON values, with the name and version of the schema in a header."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Final, Generic, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from topics.base import Record
from topics.registry import TopicSpec
from topics.request_ids import find_request_id

SCHEMA_HEADER = "schema"

Headers = Sequence[tuple[str, bytes | None]]
M = TypeVar("M", bound=Record)

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
    """A record as it was read, with the names of the fields that nobody reads, where others write them."""

    record: M
    unknown_fields: tuple[str, ...]


_PLAIN: Final = {"union_tag_invalid": "the type is none that is served"}
"""Messages of pydantic's that repeat what is there, which may be text, by their type; and what is said instead."""


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
    """Read a record of a topic. Its fields have the types of JSON: a number is no text, and text no number.

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
        return _decode(spec, value, headers, max_bytes)
    except DecodeError as error:
        error.request_id = find_request_id(value, spec.records[0].REQUEST_ID_AT)
        raise


def _decode(spec: TopicSpec[M], value: bytes, headers: Headers, max_bytes: int | None) -> Decoded[M]:
    if max_bytes is not None and len(value) > max_bytes:
        raise DecodeError("too_large", f"the value has {len(value)} bytes, at most {max_bytes} are accepted")
    # What we have written needs no second look, which costs as much as the first.
    data = _json_of(value) if spec.from_outside else None
    model = _model_for(spec, headers)
    try:
        # From the bytes and not from `data`: only there strictness knows what JSON has no types for.
        record = model.model_validate_json(value, strict=True)
    except ValidationError as error:
        _json_of(value)
        raise DecodeError("invalid", _describe(error)) from None
    return Decoded(record, tuple(_unknown_fields(data, model))[:_SHOWN_UNKNOWN])


def _json_of(value: bytes) -> object:
    try:
        return from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise DecodeError("not_json", f"the value is not JSON: {error}") from None


def _model_for(spec: TopicSpec[M], headers: Headers) -> type[M]:
    schema = header(headers, SCHEMA_HEADER)
    if schema is None:
        return spec.records[0]
    for model in spec.records:
        if schema == model.SCHEMA:
            return model
    known = ", ".join(model.SCHEMA for model in spec.records)
    raise DecodeError("unknown_schema", f"the header schema is not one of {known}")


def message_of(problem: ErrorDetails) -> str:
    """Say what pydantic found wrong, without the value that it found."""
    return _PLAIN.get(problem["type"], problem["msg"])


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    shown = [f"{'.'.join(map(str, p['loc']))[:100] or 'value'}: {message_of(p)}" for p in problems[:_SHOWN_PROBLEMS]]
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

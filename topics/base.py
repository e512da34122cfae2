"""The base of every record, and the types that several records share."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

MAX_ID_LENGTH = 256


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must be printable, without surrounding spaces")
    return value


Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH), AfterValidator(_printable)]
"""An id that a producer chooses: 1 to 256 printable characters."""

Label = Annotated[str, Field(max_length=MAX_ID_LENGTH)]
"""A free-text dimension such as a feature or a role."""

Money = Annotated[Decimal, Field(ge=0, max_digits=38, decimal_places=12)]
"""US dollars. Twelve decimals hold tokens times a rate of six decimals a million tokens without rounding."""


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        # Within a day of the calendar's ends the same moment may have no date in UTC.
        raise ValueError("must be a date that UTC can express") from None


Timestamp = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment in UTC; a value without a zone is refused rather than guessed."""

Millis = Annotated[int, Field(ge=0, lt=2**63)]
"""Milliseconds since the epoch, as Kafka gives them."""

Digits = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""64 bits, as hexadecimal digits."""

Tier = Annotated[int, Field(ge=1, le=99)]
"""1 is the cheapest tier; higher is more capable."""


def _finite(value: JsonValue) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not have numbers that are too large for a double")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _finite(part)


def _in_doubles(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _finite(schema)
    return schema


JsonSchema = Annotated[dict[str, JsonValue], AfterValidator(_in_doubles)]
"""A JSON Schema that is written again as it was read: 1e999 would become null."""


class Record(BaseModel):
    """A value on a topic: frozen, and tolerant of fields that a newer writer added."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    SCHEMA: ClassVar[str] = ""
    """Name and major version that travel in the `schema` header; empty on parts of records."""
    REQUEST_ID_AT: ClassVar[tuple[str, ...]] = ("request_id",)
    """The way to the id of the request that a record is about: names of fields, outermost first."""

    @property
    def partition_key(self) -> str:
        """The text whose murmur2 decides the partition; nearly always the request id."""
        raise NotImplementedError(f"{type(self).__name__} is a part of a record, it has no topic of its own")

    def own_headers(self) -> list[tuple[str, bytes]]:
        """Headers of its own, besides the schema."""
        return []


def from_millis(milliseconds: int) -> datetime:
    """Turn a Kafka timestamp (ms since the epoch) into a UTC datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)

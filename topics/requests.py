"""The request: the one record that other services write."""

import hashlib
import math
import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, FailFast, Field, JsonValue

from topics.base import Identifier, Label, Money, Record, Tier, Timestamp

_LONGEST_TIMEOUT_MS = 365 * 24 * 3600 * 1000
"""Far above any window, and low enough that adding it to a moment can't leave the calendar."""

_DECIMAL = re.compile(r"[0-9]{1,64}(\.[0-9]{1,64})?([eE][+-]?[0-9]{1,3})?")


def _read_decimal(value: object) -> object:
    """Take a number, or a string that looks like one: `Decimal` alone reads more, such as 1_0 and Arabic digits."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    if isinstance(value, str | bool):
        raise ValueError("must be a decimal number, such as 0.01")  # noqa: TRY004 - pydantic reads ValueError
    return value


def _read_moment(value: object) -> object:
    """Take ISO 8601 alone: pydantic has a number mean seconds or milliseconds since 1970, whichever seems likelier."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date and a time of ISO 8601 with its zone") from None


Limit = Annotated[Money, BeforeValidator(_read_decimal)]
"""US dollars, as a number or as a string."""

Moment = Annotated[Timestamp, BeforeValidator(_read_moment)]
"""A moment, as a string of ISO 8601 with its zone."""


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


class Tolerance(StrEnum):
    """How much an error in the answer hurts the requester's work."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Impact(StrEnum):
    """What a wrong answer costs the business."""

    LOW = "low"
    NORMAL = "normal"
    CRITICAL = "critical"


class DataClass(StrEnum):
    """Which providers may see the text: the config names the classes that each may."""

    PUBLIC = "public"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


class ServiceClass(StrEnum):
    """How long the requester waits; decides the default deadline."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BULK = "bulk"


class TextPart(Record):
    """One part of a message's content; only text parts are served."""

    type: Literal["text"]
    text: str


class Message(Record):
    """One chat message in OpenAI's shape."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | tuple[TextPart, ...]
    name: Label | None = None

    @property
    def text(self) -> str:
        """The content as one string."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class Params(Record):
    """Sampling parameters; what is absent is the provider's default."""

    max_tokens: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: Annotated[tuple[str, ...], Field(max_length=4)] | None = None
    seed: int | None = None


class RequestContext(Record):
    """What the requester knows about the stakes; the routing policy reads it."""

    user_role: Label | None = None
    error_tolerance: Tolerance = Tolerance.NORMAL
    business_impact: Impact = Impact.NORMAL
    self_validating: bool = False
    data_class: DataClass = DataClass.INTERNAL


WHERE_GIVEN = Field(exclude_if=lambda value: value is None)
"""On each field that is newer than digests: None is not written, so a request without it has the digest that it had."""


class Request(Record):
    """What a service asks. `request_id` and `messages` are enough."""

    SCHEMA: ClassVar[str] = "request/1"

    request_id: Identifier
    # One bad message is reason enough: a megabyte of them would take seconds to list.
    messages: Annotated[tuple[Message, ...], Field(min_length=1), FailFast()]
    conversation_id: Identifier | None = None
    user_id: Label | None = None
    feature: Label | None = None
    query_type: Label | None = None
    params: Params = Params()
    response_schema: JsonSchema | None = None
    context: RequestContext = RequestContext()
    service_class: ServiceClass = ServiceClass.STANDARD
    timeout_ms: Annotated[int, Field(gt=0, le=_LONGEST_TIMEOUT_MS)] | None = None
    deadline: Moment | None = None
    stream: bool = False
    progress: Annotated[bool | None, WHERE_GIVEN] = None
    """Whether `llm.status` tells of each attempt, as it does of a request that streams."""
    min_tier: Tier | None = None
    max_tier: Tier | None = None
    max_cost_usd: Limit | None = None
    tags: tuple[Label, ...] = ()

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id

    @property
    def is_followed(self) -> bool:
        """Whether somebody wants to hear of each attempt."""
        return self.stream or bool(self.progress)

    @property
    def question(self) -> str:
        """Text of the last user message, or of the last message where no user speaks."""
        for message in reversed(self.messages):
            if message.role == "user":
                return message.text
        return self.messages[-1].text

    def digest(self) -> str:
        """SHA-256 of what is asked, to tell a resend from another request under the same id."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Dimensions(Record):
    """The fields of a request that its result has too, and the ledger a column for, to tell costs apart by them.

    The result of a request that was rejected has none of them.
    """

    tags: tuple[Label, ...] = ()
    user_id: Label | None = None
    feature: Label | None = None
    query_type: Label | None = None
    service_class: ServiceClass | None = None


def dimensions_of(request: Request) -> dict[str, Any]:
    """Return the dimensions of a request, by name, as its ending has them."""
    return {name: getattr(request, name) for name in Dimensions.model_fields}

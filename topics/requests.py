"""The request: the one record that other services write."""

import hashlib
import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, FailFast, Field, model_validator

from topics.base import Identifier, JsonSchema, Label, Money, Record, Tier, Timestamp
from topics.messages import WHERE_ANY, WHERE_GIVEN, Message, NamedTool, ResponseFormat, SchemaFormat, Tool, ToolChoice

_LONGEST_TIMEOUT_MS = 365 * 24 * 3600 * 1000
"""Far above any window, and low enough that adding it to a moment can't leave the calendar."""

_MOST_TOOLS = 1_024

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


class Params(Record):
    """Sampling parameters; what is absent is the provider's default."""

    max_tokens: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: Annotated[tuple[str, ...], Field(max_length=4, fail_fast=True)] | None = None
    seed: int | None = None
    reasoning_effort: Annotated[
        Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None, WHERE_GIVEN
    ] = None
    service_tier: Annotated[Label | None, WHERE_GIVEN] = None
    """In the words of a provider, such as `flex`; those that have no such words are not told."""
    logprobs: Annotated[bool | None, WHERE_GIVEN] = None
    top_logprobs: Annotated[Annotated[int, Field(ge=0, le=20)] | None, WHERE_GIVEN] = None
    n: Annotated[Annotated[int, Field(ge=1, le=1)] | None, WHERE_GIVEN] = None
    """How many answers: there is one."""


class RequestContext(Record):
    """What the requester knows about the stakes; the routing policy reads it."""

    user_role: Label | None = None
    error_tolerance: Tolerance = Tolerance.NORMAL
    business_impact: Impact = Impact.NORMAL
    self_validating: bool = False
    data_class: DataClass = DataClass.INTERNAL


class Request(Record):
    """What a service asks. `request_id` and `messages` are enough."""

    SCHEMA: ClassVar[str] = "request/1"

    request_id: Identifier
    # One bad message is reason enough, and one bad part of it: a megabyte of them would take seconds to list.
    messages: Annotated[tuple[Message, ...], Field(min_length=1), FailFast()]
    conversation_id: Identifier | None = None
    user_id: Label | None = None
    feature: Label | None = None
    query_type: Label | None = None
    params: Params = Params()
    response_schema: JsonSchema | None = None
    response_format: Annotated[ResponseFormat | None, WHERE_GIVEN] = None
    """OpenAI's way to ask for JSON; `response_schema` is the short one."""
    tools: Annotated[tuple[Tool, ...], Field(max_length=_MOST_TOOLS, fail_fast=True), WHERE_ANY] = ()
    tool_choice: Annotated[ToolChoice | None, WHERE_GIVEN] = None
    parallel_tool_calls: Annotated[bool | None, WHERE_GIVEN] = None
    context: RequestContext = RequestContext()
    service_class: ServiceClass = ServiceClass.STANDARD
    timeout_ms: Annotated[int, Field(gt=0, le=_LONGEST_TIMEOUT_MS)] | None = None
    deadline: Moment | None = None
    model: Annotated[Label | None, WHERE_GIVEN] = None
    """`provider/model` of the deployment that has to answer; None: whichever will do."""
    stream: bool = False
    progress: Annotated[bool | None, WHERE_GIVEN] = None
    """Whether `llm.status` tells of each attempt, as it does of a request that streams."""
    final_once_shown: Annotated[bool | None, WHERE_GIVEN] = None
    """Whether a complete answer that was streamed is the last one, good or not: for who can't take text back."""
    min_tier: Tier | None = None
    max_tier: Tier | None = None
    max_cost_usd: Limit | None = None
    tags: tuple[Label, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Request":
        if self.response_schema is not None and self.response_format is not None:
            raise ValueError("response_format: name either this or response_schema")
        names = [tool.function.name for tool in self.tools]
        if len(set(names)) < len(names):
            raise ValueError("tools: two have the same name")
        if not names and self.tool_choice not in {None, "none", "auto"}:
            raise ValueError("tool_choice: there are no tools")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise ValueError("tool_choice: no tool has the name")
        return self

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id

    @property
    def answer_schema(self) -> dict[str, Any] | None:
        """JSON Schema that the answer has to satisfy, whichever way it was given."""
        if isinstance(self.response_format, SchemaFormat):
            return self.response_format.json_schema.get("schema")
        return self.response_schema

    @property
    def asks_for_json(self) -> bool:
        """Whether the answer has to be JSON, of a schema or not."""
        return self.response_schema is not None or (
            self.response_format is not None and self.response_format.type != "text"
        )

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

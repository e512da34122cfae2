"""What is said in a conversation: messages, their parts, the tools that a model may call, and its calls of them.

The shapes are OpenAI's. What those can't say has a part of its own, as Anthropic names it: thinking with its signature.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NotRequired, Protocol, Required

from pydantic import AfterValidator, Field, JsonValue, model_validator
from typing_extensions import TypedDict

from topics.base import MAX_ID_LENGTH, JsonSchema, Label, Record

WHERE_GIVEN: Final = Field(exclude_if=lambda value: value is None)
"""On each field that is newer than digests: None is not written, so a request without it has the digest that it had."""
WHERE_ANY: Final = Field(exclude_if=lambda value: not value)
"""The same for a field whose default is empty."""

_DATA_URL: Final = re.compile(r"data:[\w.+-]{1,100}/[\w.+-]{1,100};base64,", re.ASCII)
_LONGEST_URL: Final = 8_192

CallId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
"""Of a tool call, as its model made it."""
ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


def is_data_url(url: str) -> bool:
    """Whether a URL holds what it refers to."""
    return url.startswith("data:")


def _fetched_or_held(url: str) -> str:
    if is_data_url(url):
        return _decodable(url)
    if not url.startswith("https://") or len(url) > _LONGEST_URL or not url.isprintable():
        raise ValueError("must be an https URL, which the provider fetches, or a data URL in base64")
    return url


def _decodable(url: str) -> str:
    head = _DATA_URL.match(url)
    if head is None:
        raise ValueError("must be a data URL in base64, such as data:image/png;base64,...")
    try:
        binascii.a2b_base64(url[head.end() :], strict_mode=True)
    except (ValueError, binascii.Error):
        raise ValueError("must be a data URL whose base64 can be decoded") from None
    return url


def data_of(url: str) -> tuple[str, str]:
    """Split a data URL into its media type and its base64."""
    head, _, data = url.partition(",")
    return head.removeprefix("data:").removesuffix(";base64"), data


class CacheControl(Record):
    """Asks the provider to cache the prompt up to here, where it has to be asked."""

    type: Literal["ephemeral"]
    ttl: Annotated[Literal["5m", "1h"] | None, WHERE_GIVEN] = None


class _Part(Record):
    cache_control: Annotated[CacheControl | None, WHERE_GIVEN] = None


class TextPart(_Part):
    """Text."""

    type: Literal["text"]
    text: str


class ImageUrl(Record):
    """Where an image is."""

    url: Annotated[str, AfterValidator(_fetched_or_held)]
    """A data URL, or an `https` URL that the provider fetches; nobody else does."""
    detail: Annotated[Literal["auto", "low", "high"] | None, WHERE_GIVEN] = None


class ImagePart(_Part):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class FileSource(Record):
    """A file: its data, or where it is."""

    file_data: Annotated[Annotated[str, AfterValidator(_decodable)] | None, WHERE_GIVEN] = None
    """A data URL."""
    file_url: Annotated[Annotated[str, AfterValidator(_fetched_or_held)] | None, WHERE_GIVEN] = None
    """An `https` URL that the provider fetches; nobody else does."""
    filename: Annotated[Label | None, WHERE_GIVEN] = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> "FileSource":
        if (self.file_data is None) is (self.file_url is None):
            raise ValueError("needs either file_data or file_url")
        return self

    @property
    def url(self) -> str:
        """Where the file is, or the data URL that holds it."""
        return self.file_data or self.file_url or ""


class FilePart(_Part):
    """A file, such as a PDF."""

    type: Literal["file"]
    file: FileSource


class ThinkingPart(Record):
    """What a model thought before it went on, where its provider tells.

    With a signature it goes back to the provider as it came: without it, or changed, some refuse the conversation.
    """

    type: Literal["thinking"]
    thinking: str
    signature: Annotated[str | None, WHERE_GIVEN] = None


class RedactedThinkingPart(Record):
    """What a model thought, in a form that only its provider can read."""

    type: Literal["redacted_thinking"]
    data: str


class ToolCallPlace(Record):
    """Where among the parts a call of `tool_calls` stands; those that have no place stand behind all parts."""

    type: Literal["tool_call"]
    id: CallId


AnswerPart = Annotated[TextPart | ThinkingPart | RedactedThinkingPart | ToolCallPlace, Field(discriminator="type")]
Part = Annotated[
    TextPart | ImagePart | FilePart | ThinkingPart | RedactedThinkingPart | ToolCallPlace, Field(discriminator="type")
]


class FunctionCall(Record):
    """Which function a model wants called, and with what."""

    name: Annotated[str, Field(max_length=MAX_ID_LENGTH)]
    arguments: str
    """JSON, as the model wrote it: it may be broken, or not what the function takes."""


class ToolCall(Record):
    """A call that a model wants made."""

    id: CallId
    type: Literal["function"] = "function"
    function: FunctionCall


class FunctionTool(Record):
    """A function that a model may have called."""

    name: ToolName
    description: Annotated[str | None, WHERE_GIVEN] = None
    parameters: Annotated[JsonSchema | None, WHERE_GIVEN] = None
    """JSON Schema of its arguments; None: it takes none."""
    strict: Annotated[bool | None, WHERE_GIVEN] = None


class Tool(_Part):
    """A tool that a model may use."""

    type: Literal["function"]
    function: FunctionTool


class NamedFunction(Record):
    """A function by its name."""

    name: ToolName


class NamedTool(Record):
    """The tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["none", "auto", "required"] | NamedTool


class NamedSchema(TypedDict):
    """What an answer in JSON has to look like. A dictionary: pydantic's models have a `schema` of their own."""

    name: Required[ToolName]
    description: NotRequired[str | None]
    schema: NotRequired[JsonSchema | None]
    strict: NotRequired[bool | None]


class PlainFormat(Record):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]


class SchemaFormat(Record):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[PlainFormat | SchemaFormat, Field(discriminator="type")]

_OF_ASSISTANT: Final = (ThinkingPart, RedactedThinkingPart, ToolCallPlace)


class Message(Record):
    """One chat message in OpenAI's shape."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[tuple[Part, ...], Field(fail_fast=True)] | None
    name: Label | None = None
    tool_calls: Annotated[Annotated[tuple[ToolCall, ...], Field(fail_fast=True)] | None, WHERE_GIVEN] = None
    """Of the assistant."""
    tool_call_id: Annotated[CallId | None, WHERE_GIVEN] = None
    """Of a tool: which call its content is the result of."""
    is_error: Annotated[bool | None, WHERE_GIVEN] = None
    """Of a tool: whether the content says why there is no result."""

    @model_validator(mode="after")
    def _fits_its_role(self) -> "Message":
        if self.content is None and not self.tool_calls:
            raise ValueError("content: only a message with tool_calls may have none")
        if self.tool_calls is not None and self.role != "assistant":
            raise ValueError("tool_calls: only the assistant makes them")
        if (self.tool_call_id is not None) is not (self.role == "tool"):
            raise ValueError("tool_call_id: a message of role tool needs it, and no other has it")
        if self.is_error is not None and self.role != "tool":
            raise ValueError("is_error: only a message of role tool has it")
        self._check_parts()
        return self

    def _check_parts(self) -> None:
        calls = {call.id for call in self.calls}
        if len(calls) < len(self.calls):
            raise ValueError("tool_calls: two have the same id")
        for number, part in enumerate(self.parts):
            if isinstance(part, _OF_ASSISTANT) and self.role != "assistant":
                raise ValueError(f"content.{number}: {part.type} is of the assistant")
            if isinstance(part, ImagePart | FilePart) and self.role not in {"user", "tool"}:
                raise ValueError(f"content.{number}: only users and tools give a part of type {part.type}")
            if isinstance(part, ToolCallPlace) and part.id not in calls:
                raise ValueError(f"content.{number}: no call of tool_calls has the id")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts; none where it is a string."""
        return self.content if isinstance(self.content, tuple) else ()

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls in it; none in most."""
        return self.tool_calls or ()

    @property
    def text(self) -> str:
        """What is said in it, as one string: neither its thinking nor its calls."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    def texts(self) -> Iterator[str]:
        """Yield all texts in it that a model reads: what is said, thought, and written into calls."""
        if isinstance(self.content, str):
            yield self.content
        for part in self.parts:
            if isinstance(part, TextPart):
                yield part.text
            elif isinstance(part, ThinkingPart):
                yield part.thinking
            elif isinstance(part, RedactedThinkingPart):
                yield part.data
        for call in self.calls:
            yield call.function.name
            yield call.function.arguments

    def in_order(self) -> Iterator[Part | ToolCall]:
        """Yield its parts, each call in its place; a content of text alone is one part."""
        calls = {call.id: call for call in self.calls}
        parts = (TextPart(type="text", text=self.content),) if isinstance(self.content, str) else self.parts
        for part in parts:
            if not isinstance(part, ToolCallPlace):
                yield part
            elif (call := calls.pop(part.id, None)) is not None:
                yield call
        yield from calls.values()


class Spoken(Record):
    """What an answer has besides its text."""

    tool_calls: Annotated[tuple[ToolCall, ...], WHERE_ANY] = ()
    """Calls that the model wants made, in order."""
    parts: Annotated[tuple[AnswerPart, ...] | None, WHERE_GIVEN] = None
    """The whole answer as parts in their order, where text with calls behind it is not all: thinking, and what stands
    between. As the content of an assistant's message it goes back to the model as it came."""
    logprobs: Annotated[dict[str, JsonValue] | None, WHERE_GIVEN] = None
    """Log probabilities of the tokens, as the provider has them, where they were asked for."""


class AnswerLike(Protocol):
    """An answer that has what `Spoken` has, a record or not."""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """As in `Spoken`."""

    @property
    def parts(self) -> tuple[AnswerPart, ...] | None:
        """As in `Spoken`."""

    @property
    def logprobs(self) -> dict[str, Any] | None:
        """As in `Spoken`."""


def spoken(answer: AnswerLike) -> dict[str, Any]:
    """Return what an answer has besides its text, by name, as other records of it have it."""
    return {name: getattr(answer, name) for name in Spoken.model_fields}

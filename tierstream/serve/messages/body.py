"""What a body of Anthropic's messages may hold, as far as it is read.

Source: https://platform.claude.com/docs/en/api/messages/create.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from tierstream.serve.reading import BodyPart, Several
from topics.base import JsonSchema
from topics.messages import CacheControl


class TextBlock(BodyPart):
    """Text; its citations are passed over."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None


class Base64Source(BodyPart):
    """Data of an image or a document."""

    type: Literal["base64"]
    media_type: str
    data: str


class UrlSource(BodyPart):
    """Where an image or a document is, for the provider to fetch."""

    type: Literal["url"]
    url: str


class TextSource(BodyPart):
    """A document that is a text."""

    type: Literal["text"]
    data: str


class ImageBlock(BodyPart):
    """An image."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource, Field(discriminator="type")]
    cache_control: CacheControl | None = None


class ContentSource(BodyPart):
    """A document that is made of blocks."""

    type: Literal["content"]
    content: str | Several[Annotated[TextBlock | ImageBlock, Field(discriminator="type")]]

    @property
    def blocks(self) -> tuple[TextBlock | ImageBlock, ...]:
        """The blocks: a string is short for one of text."""
        return (TextBlock(type="text", text=self.content),) if isinstance(self.content, str) else self.content


class DocumentBlock(BodyPart):
    """A document."""

    type: Literal["document"]
    source: Annotated[Base64Source | UrlSource | TextSource | ContentSource, Field(discriminator="type")]
    title: str | None = None
    context: str | None = None
    cache_control: CacheControl | None = None


SeenBlock = TextBlock | ImageBlock | DocumentBlock
"""What users and tools give."""


class ToolResultBlock(BodyPart):
    """What came of a call."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | Several[Annotated[SeenBlock, Field(discriminator="type")]] = ""
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class ToolUseBlock(BodyPart):
    """A call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, JsonValue]


class ThinkingBlock(BodyPart):
    """What the assistant thought."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(BodyPart):
    """The same, in a form that only its provider can read."""

    type: Literal["redacted_thinking"]
    data: str


SpokenBlock = TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock
"""What the assistant says."""


class UserTurn(BodyPart):
    """What a user says, and what came of calls."""

    role: Literal["user"]
    content: str | Several[Annotated[SeenBlock | ToolResultBlock, Field(discriminator="type")]]


class SpokenTurn(BodyPart):
    """What the assistant said."""

    role: Literal["assistant"]
    content: str | Several[Annotated[SpokenBlock, Field(discriminator="type")]]


class SystemTurn(BodyPart):
    """What the system says in the middle of a conversation."""

    role: Literal["system"]
    content: str | Several[TextBlock]


Turn = Annotated[UserTurn | SpokenTurn | SystemTurn, Field(discriminator="role")]


class ToolDefinition(BodyPart):
    """A tool that the client runs."""

    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: JsonSchema
    strict: bool | None = None
    cache_control: CacheControl | None = None


class Choice(BodyPart):
    """Which tool has to be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(BodyPart):
    """Whether the model thinks, and how much."""

    type: Literal["enabled", "adaptive", "between_tools", "disabled"]
    budget_tokens: int | None = None


class OutputFormat(BodyPart):
    """JSON that the answer has to be."""

    type: Literal["json_schema"]
    schema_: Annotated[JsonSchema, Field(alias="schema")]


class OutputConfig(BodyPart):
    """How the answer is to be."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Metadata(BodyPart):
    """Who asks."""

    user_id: str | None = None


class MessagesBody(BodyPart):
    """A body."""

    model: str
    max_tokens: int
    messages: Annotated[Several[Turn], Field(min_length=1)]
    system: str | Several[TextBlock] | None = None
    tools: Several[ToolDefinition] | None = None
    tool_choice: Choice | None = None
    stop_sequences: Several[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    """As the beta of structured outputs had it, whose clients still send it."""
    metadata: Metadata | None = None
    service_tier: str | None = None
    cache_control: CacheControl | None = None
    stream: bool | None = None

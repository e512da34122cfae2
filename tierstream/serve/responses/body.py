"""What a body of OpenAI's responses may hold, as far as it is read.

Source: https://platform.openai.com/docs/api-reference/responses/create.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, JsonValue

from tierstream.serve.reading import BodyPart, Several
from topics.base import JsonSchema

_MOST_METADATA: Final = 16


def _few(metadata: object) -> object:
    """Refuse too many before each is looked at."""
    if isinstance(metadata, dict) and len(metadata) > _MOST_METADATA:
        raise ValueError(f"must have at most {_MOST_METADATA} keys")
    return metadata


class TextContent(BodyPart):
    """Text, of whoever speaks."""

    type: Literal["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    text: str


class RefusalContent(BodyPart):
    """Why the assistant did not answer."""

    type: Literal["refusal"]
    refusal: str


class ImageContent(BodyPart):
    """An image."""

    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class FileContent(BodyPart):
    """A file."""

    type: Literal["input_file"]
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None


GivenContent = Annotated[TextContent | ImageContent | FileContent, Field(discriminator="type")]
SpokenContent = Annotated[TextContent | RefusalContent, Field(discriminator="type")]


class GivenItem(BodyPart):
    """What anybody but the assistant says."""

    role: Literal["user", "system", "developer"]
    content: str | Several[GivenContent]


class SpokenItem(BodyPart):
    """What the assistant said."""

    role: Literal["assistant"]
    content: str | Several[SpokenContent]


class CallItem(BodyPart):
    """A call that the assistant wanted made."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class CallOutputItem(BodyPart):
    """What came of a call."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | Several[GivenContent]


class ReasoningItem(BodyPart):
    """What the assistant thought."""

    type: Literal["reasoning"]
    summary: Several[TextContent] = ()
    content: Several[TextContent] | None = None
    encrypted_content: str | None = None


Item = GivenItem | SpokenItem | CallItem | CallOutputItem | ReasoningItem


class FunctionDefinition(BodyPart):
    """A function that the model may have called."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None


class TextFormat(BodyPart):
    """What form the answer has to have."""

    type: Literal["text", "json_object", "json_schema"]
    name: str = "response"
    description: str | None = None
    schema_: Annotated[JsonSchema | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextConfig(BodyPart):
    """How the text of the answer is to be."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningConfig(BodyPart):
    """How much to think, and what to tell of it."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ResponsesBody(BodyPart):
    """A body but for its input, whose items are read one by one."""

    model: str
    instructions: str | None = None
    tools: Several[FunctionDefinition] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, JsonValue] | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: Several[str] | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    metadata: Annotated[dict[str, str], BeforeValidator(_few)] | None = None
    background: bool | None = None
    store: bool | None = None
    stream: bool | None = None
    previous_response_id: str | None = None
    truncation: Literal["auto", "disabled"] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    user: str | None = None

    def told(self) -> dict[str, Any]:
        """Return what an answer repeats and a Request has no field for, where it was said."""
        names = ("previous_response_id", "truncation", "metadata", "background", "store", "max_tool_calls")
        return {
            name: value
            for name in (*names, "service_tier", "safety_identifier", "prompt_cache_key")
            if (value := getattr(self, name)) is not None
        }

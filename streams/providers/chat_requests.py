"""Writing requests in the chat completions wire format, spoken by OpenAI, Groq and many others.

What the format has no words for: thinking is left out, these vendors take none back; so is `cache_control`, they cache
by themselves. What a tool gave besides text stands in a message of the user behind the results, which hold text only.

Source: https://platform.openai.com/docs/api-reference/chat/create.
"""

import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from streams.providers.base import ChatCall, ErrorKind, Prompt, ProviderError
from streams.providers.tool_names import CallIds, function_name
from topics.messages import (
    FilePart,
    ImagePart,
    Message,
    Part,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCall,
    data_of,
    is_data_url,
)
from topics.requests import Params

# The API refuses requests with other names; a name is not worth that.
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CALL_ID: Final = re.compile(r".{1,40}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an API differs from the others that speak the format.

    Attributes:
        token_limit: The field that limits output tokens.
        developer_role: The role that stands for `developer`.
        takes_files: Whether a message may hold a file.
        service_tiers: The words that it has for them.
    """

    token_limit: str
    developer_role: str = "developer"
    takes_files: bool = True
    service_tiers: frozenset[str] = frozenset()


def write_request(
    call: ChatCall, dialect: Dialect, *, reasoning_effort: str | None, samples: bool = True, tells_logprobs: bool = True
) -> dict[str, Any]:
    """Write a request body.

    Args:
        call: What is asked.
        dialect: Of the API.
        reasoning_effort: In the model's words; None: it is not told.
        samples: Whether the model takes temperature and top_p.
        tells_logprobs: Whether it takes logprobs.

    Raises:
        ProviderError: The format has no words for what is asked.
    """
    prompt, params = call.prompt, call.prompt.params
    body: dict[str, Any] = {
        "model": call.model.model,
        "messages": _Conversation(dialect).write(prompt.messages),
        dialect.token_limit: call.max_tokens,
    }
    optional = {
        "temperature": params.temperature if samples else None,
        "top_p": params.top_p if samples else None,
        "stop": None if params.stop is None else list(params.stop),
        "seed": params.seed,
        "reasoning_effort": reasoning_effort,
        "service_tier": params.service_tier if params.service_tier in dialect.service_tiers else None,
        **(_logprobs(params) if tells_logprobs else {}),
        **_tools(prompt),
        "response_format": _response_format(prompt),
    }
    body.update((name, value) for name, value in optional.items() if value is not None)
    return body


def _logprobs(params: Params) -> dict[str, Any]:
    """A number of alternatives is refused without the flag."""
    asked = params.logprobs or params.top_logprobs is not None
    return {"logprobs": True, "top_logprobs": params.top_logprobs} if asked else {}


def _tools(prompt: Prompt) -> dict[str, Any]:
    """Without tools the API refuses to hear how they are to be used."""
    if not prompt.tools:
        return {}
    choice = prompt.tool_choice
    return {
        "tools": [_tool(tool) for tool in prompt.tools],
        "tool_choice": choice if choice is None or isinstance(choice, str) else choice.model_dump(),
        "parallel_tool_calls": prompt.parallel_tool_calls,
    }


def _tool(tool: Tool) -> dict[str, Any]:
    return {"type": "function", "function": tool.function.model_dump(exclude_none=True)}


def _response_format(prompt: Prompt) -> dict[str, Any] | None:
    asked = prompt.response_format
    if isinstance(asked, SchemaFormat):
        named = {name: value for name, value in asked.json_schema.items() if value is not None}
        return {"type": "json_schema", "json_schema": named}
    if asked is not None:
        return {"type": "json_object"} if asked.type == "json_object" else None
    if prompt.response_schema is None:
        return None
    # Strict mode takes a subset of JSON Schema only; the answer is checked against the whole schema anyway.
    schema = {"name": "response", "schema": prompt.response_schema, "strict": False}
    return {"type": "json_schema", "json_schema": schema}


class _Conversation:
    """Writes the messages of one request, in order."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._ids = CallIds(_CALL_ID)
        self._shown: list[dict[str, Any]] = []
        """What tools gave that is not text, until their results are written."""

    def write(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        written: list[dict[str, Any]] = []
        for message in messages:
            if message.role != "tool":
                written += self._take_shown()
            written.append(self._message(message))
        return [*written, *self._take_shown()]

    def _take_shown(self) -> Iterator[dict[str, Any]]:
        if self._shown:
            yield {"role": "user", "content": self._shown}
            self._shown = []

    def _message(self, message: Message) -> dict[str, Any]:
        match message.role:
            case "tool":
                return self._result(message)
            case "assistant":
                written: dict[str, Any] = {"role": "assistant", "content": message.text}
                if message.calls:
                    written["content"] = message.text or None
                    written["tool_calls"] = [self._call(call) for call in message.calls]
            case role:
                written = {
                    "role": self._dialect.developer_role if role == "developer" else role,
                    "content": self._content(message),
                }
        if message.name and _NAME.fullmatch(message.name):
            written["name"] = message.name
        return written

    def _call(self, call: ToolCall) -> dict[str, Any]:
        function = {"name": function_name(call.function.name), "arguments": call.function.arguments}
        return {"id": self._ids.of_call(call.id), "type": "function", "function": function}

    def _result(self, message: Message) -> dict[str, Any]:
        call_id = self._ids.of_result(message.tool_call_id or "")
        shown = [self._part(part) for part in message.parts if not isinstance(part, TextPart)]
        if shown:
            self._shown += [{"type": "text", "text": f"Result of the tool call {call_id}:"}, *shown]
        return {"role": "tool", "content": message.text, "tool_call_id": call_id}

    def _content(self, message: Message) -> str | list[dict[str, Any]]:
        """A text is written as one, which every server takes."""
        if all(isinstance(part, TextPart) for part in message.parts):
            return message.text
        return [self._part(part) for part in message.parts]

    def _part(self, part: Part) -> dict[str, Any]:
        match part:
            case TextPart():
                return {"type": "text", "text": part.text}
            case ImagePart():
                return {"type": "image_url", "image_url": part.image_url.model_dump(exclude_none=True)}
            case FilePart():
                return self._file(part)
            case _:
                raise TypeError(f"a part of type {part.type} is of the assistant")

    def _file(self, part: FilePart) -> dict[str, Any]:
        if not self._dialect.takes_files:
            raise ProviderError(ErrorKind.BAD_REQUEST, "the provider takes no files in messages")
        url = part.file.url
        if not is_data_url(url):
            raise ProviderError(ErrorKind.BAD_REQUEST, "file_url: chat completions take the data of a file only")
        # The API wants a name, by whose end it tells what the file is.
        name = part.file.filename or f"file{mimetypes.guess_extension(data_of(url)[0]) or ''}"
        return {"type": "file", "file": {"file_data": url, "filename": name}}

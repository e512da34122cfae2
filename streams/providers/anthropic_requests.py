"""Writing requests as Anthropic's messages.

How a conversation in OpenAI's shape becomes one of blocks:

- Results of tools stand in one message of the user with whatever the user says behind them, the results first: the API
  wants each call answered in the very next message.
  https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls
- Thinking with its signature goes back as it came and where it stood; the API refuses it changed. Thinking without one,
  as other vendors give it, is left out. https://platform.claude.com/docs/en/build-with-claude/thinking
- The input of a call has to be an object. Arguments that are none, for a model can write anything, are given as
  `{"arguments": "..."}`, the text that the model wrote.
- Blank texts are left out, which the API refuses as blocks.
"""

import json
import math
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from streams.providers.base import ErrorKind, Prompt, ProviderError
from streams.providers.tool_names import CallIds, function_name
from topics.messages import (
    CacheControl,
    FilePart,
    FileSource,
    ImagePart,
    Message,
    NamedTool,
    Part,
    RedactedThinkingPart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCall,
    data_of,
    is_data_url,
)

Block = dict[str, Any]

_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_INSTRUCTING: Final = ("system", "developer")
_CHOICES: Final = {"auto": "auto", "required": "any", "none": "none"}


def write_system(prompt: Prompt, more: list[str]) -> str | list[Block] | None:
    """Write what the system says, wherever in the conversation it stands; None where it says nothing.

    Args:
        prompt: What is asked.
        more: Further instructions.
    """
    messages = [message for message in prompt.messages if message.role in _INSTRUCTING]
    if any(part.cache_control for message in messages for part in message.parts if isinstance(part, TextPart)):
        blocks = [block for message in messages for block in _texts(message)]
        return [*blocks, *({"type": "text", "text": text} for text in more)]
    return "\n\n".join([*(message.text for message in messages), *more]) or None


def write_turns(prompt: Prompt) -> list[dict[str, Any]]:
    """Write what users, tools and the model say.

    Raises:
        ProviderError: The API takes no file of that kind.
    """
    ids = CallIds(_CALL_ID)
    turns: list[dict[str, Any]] = []
    results: list[Block] = []
    for message in prompt.messages:
        match message.role:
            case "tool":
                results.append(_result(message, ids))
            case "user" if results:
                turns.append({"role": "user", "content": [*results, *_blocks(message, ids)]})
                results = []
            case "user" | "assistant" as role:
                turns += _user(results)
                results = []
                content = _content(message, ids)
                if content != []:
                    turns.append({"role": role, "content": content})
    return turns + _user(results)


def _user(results: list[Block]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": results}] if results else []


def write_tool(tool: Tool, strict_schema: dict[str, Any] | None) -> Block:
    """Write the definition of a tool.

    Args:
        tool: That is offered.
        strict_schema: What the API can hold the model to, where it has to; None: it is not held to anything.
    """
    function = tool.function
    written: Block = {"name": function.name}
    if function.description is not None:
        written["description"] = function.description
    written["input_schema"] = strict_schema or {"type": "object", **(function.parameters or {})}
    if strict_schema is not None:
        written["strict"] = True
    return written | _cached(tool.cache_control)


def write_tool_choice(prompt: Prompt) -> Block | None:
    """Write whether a tool has to be used, and whether several may be at a time; None where all is as usual."""
    choice, at_a_time = prompt.tool_choice, prompt.parallel_tool_calls
    if not prompt.tools or (choice is None and at_a_time is not False):
        return None
    if isinstance(choice, NamedTool):
        written: Block = {"type": "tool", "name": choice.function.name}
    else:
        written = {"type": _CHOICES[choice or "auto"]}
    if at_a_time is False and written["type"] != "none":
        written["disable_parallel_tool_use"] = True
    return written


def _content(message: Message, ids: CallIds) -> str | list[Block]:
    """Write a text as one, and anything else in blocks."""
    plain = all(isinstance(part, TextPart) and part.cache_control is None for part in message.parts)
    return message.text if plain and not message.calls else list(_blocks(message, ids))


def _blocks(message: Message, ids: CallIds) -> Iterator[Block]:
    for part in message.in_order():
        if isinstance(part, ToolCall):
            yield _call(part, ids)
        elif (block := _block(part)) is not None:
            yield block


def _texts(message: Message) -> Iterator[Block]:
    return (block for part in message.in_order() if isinstance(part, TextPart) and (block := _block(part)) is not None)


def _block(part: Part) -> Block | None:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text} | _cached(part.cache_control) if part.text.strip() else None
        case ImagePart():
            return {"type": "image", "source": _image_source(part.image_url.url)} | _cached(part.cache_control)
        case FilePart():
            return _document(part.file) | _cached(part.cache_control)
        case ThinkingPart(signature=signature) if signature:
            return {"type": "thinking", "thinking": part.thinking, "signature": signature}
        case RedactedThinkingPart():
            return {"type": "redacted_thinking", "data": part.data}
        case _:
            return None


def _call(call: ToolCall, ids: CallIds) -> Block:
    name, arguments = function_name(call.function.name), call.function.arguments
    return {"type": "tool_use", "id": ids.of_call(call.id), "name": name, "input": _input(arguments)}


def _result(message: Message, ids: CallIds) -> Block:
    written: Block = {"type": "tool_result", "tool_use_id": ids.of_result(message.tool_call_id or "")}
    if content := _content(message, ids):
        written["content"] = content
    if message.is_error:
        written["is_error"] = True
    return written


def _image_source(url: str) -> Block:
    if not is_data_url(url):
        return {"type": "url", "url": url}
    media_type, data = data_of(url)
    return {"type": "base64", "media_type": media_type, "data": data}


def _document(file: FileSource) -> Block:
    """Write a file: a PDF, a text, or an image that came as a file."""
    title = {"title": file.filename} if file.filename else {}
    if not is_data_url(file.url):
        return {"type": "document", "source": {"type": "url", "url": file.url}} | title
    media_type, data = data_of(file.url)
    if media_type.startswith("image/"):
        return {"type": "image", "source": _image_source(file.url)}
    if media_type.startswith("text/"):
        text = b64decode(data).decode(errors="replace")
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}} | title
    if media_type != "application/pdf":
        raise ProviderError(ErrorKind.BAD_REQUEST, "file_data: the API takes PDF, text and images only")
    return {"type": "document", "source": {"type": "base64", "media_type": media_type, "data": data}} | title


def _cached(cache_control: CacheControl | None) -> Block:
    return {} if cache_control is None else {"cache_control": cache_control.model_dump(exclude_none=True)}


def _input(arguments: str) -> dict[str, Any]:
    try:
        found = json.loads(arguments or "{}", parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"arguments": arguments}


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number too large")
    return value

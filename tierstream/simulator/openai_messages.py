"""Reads the messages and tools of a chat completion request, and refuses what the API refuses.

Sources: https://platform.openai.com/docs/api-reference/chat/create for the shapes,
https://platform.openai.com/docs/guides/function-calling for calls and their results,
https://platform.openai.com/docs/guides/images-vision and https://platform.openai.com/docs/guides/pdf-files for parts.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from tierstream.simulator.chat import ApiError, Conversation, Tool, Toolbox, ToolCall
from tierstream.simulator.conversation import (
    Segment,
    Turn,
    cache_points,
    content_parts,
    conversation_of,
    joined,
    listed_messages,
    string_at,
)
from tierstream.simulator.tokens import MESSAGE_OVERHEAD, count_tokens

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_ID: Final = 40
_MAX_TOOLS: Final = 128
_PLACES: Final = {
    "text": frozenset({"system", "developer", "user", "assistant", "tool"}),
    "refusal": frozenset({"assistant"}),
    "image_url": frozenset({"user"}),
    "file": frozenset({"user"}),
}
"""Which roles may have a part of a type."""
_IMAGE_URL: Final = re.compile(r"https?://|data:image/(?:png|jpeg|gif|webp);base64,")


def read_conversation(messages: object, missing: str, toolbox: Toolbox | None = None) -> Conversation:
    """The messages of a request body.

    Args:
        messages: What the body has under `messages`.
        missing: The vendor's message for an absent or empty list.
        toolbox: The tools on offer, if any.

    Raises:
        ApiError: The API refuses them.
    """
    listed = listed_messages(messages, missing)
    turns = [_turn(message, index) for index, message in enumerate(listed)]
    toolbox = toolbox or Toolbox()
    tools = toolbox.tools
    if not tools and not any(turn.calls or turn.results for turn in turns):
        return conversation_of(turns, toolbox=toolbox)
    _check_pairs(listed)
    definitions = Segment(json.dumps([(tool.name, tool.schema) for tool in tools]), sum(tool.tokens for tool in tools))
    segments = [Segment(json.dumps(m), turn.tokens + MESSAGE_OVERHEAD) for m, turn in zip(listed, turns, strict=True)]
    return conversation_of(turns, toolbox=toolbox, points=cache_points([definitions, *segments]))


def _turn(message: dict[str, Any], index: int) -> Turn:
    role, content = message["role"], message.get("content")
    if isinstance(content, str) and role != "tool" and "tool_calls" not in message:
        return Turn(role, content)
    calls = _calls(message, f"messages[{index}]")
    if role == "tool":
        parts = content_parts(content, f"messages.{index}.content")
        return Turn(role, results=("".join(_part(part, role, index).text for part in parts),))
    blocks = [_part(part, role, index) for part in content_parts(content, f"messages.{index}.content")]
    return joined(role, [*blocks, Turn(role, calls=calls)])


def _part(part: dict[str, Any], role: str, index: int) -> Turn:
    kind, where = str(part.get("type")), f"messages[{index}].content"
    if kind not in _PLACES:
        raise _invalid(f"Invalid value: '{kind}'. Supported values are: {', '.join(map(repr, _PLACES))}.", where)
    if role in _PLACES["text"] and role not in _PLACES[kind]:
        raise _invalid(
            f"Invalid '{where}'. A part of type '{kind}' is not allowed in a message of role '{role}'.", where
        )
    match kind:
        case "image_url":
            _check_image(part.get("image_url"), where)
            return Turn(role, images=1)
        case "file":
            _check_file(part.get("file"), where)
            return Turn(role, files=1)
        case "refusal":
            return Turn(role, str(part.get("refusal", "")))
        case _:
            return Turn(role, str(part.get("text", "")))


def _check_image(image: object, where: str) -> None:
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str) or not _IMAGE_URL.match(url):
        raise _invalid(
            "Invalid image: expected an object with a URL, or a data URL of a PNG, JPEG, GIF or WebP.", where
        )


def _check_file(file: object, where: str) -> None:
    data = file.get("file_data") if isinstance(file, dict) else None
    if isinstance(file, dict) and data is None and isinstance(file.get("file_id"), str):
        return
    if not isinstance(data, str) or not data.startswith("data:") or ";base64," not in data:
        raise _invalid("Invalid file: expected 'file_id', or 'file_data' with a data URL in base64.", where)


def _calls(message: dict[str, Any], where: str) -> tuple[ToolCall, ...]:
    calls = message.get("tool_calls")
    if calls is None:
        return ()
    if message["role"] != "assistant":
        raise _invalid(f"Invalid '{where}': 'tool_calls' is allowed in messages of role 'assistant' alone.", where)
    if not isinstance(calls, list) or not calls:
        raise _invalid(f"Invalid '{where}.tool_calls': expected an array with minimum length 1.", where)
    return tuple(_call(call, f"{where}.tool_calls[{number}]") for number, call in enumerate(calls))


def _call(call: object, where: str) -> ToolCall:
    if not isinstance(call, dict) or call.get("type") != "function" or not isinstance(call.get("function"), dict):
        raise _invalid(f"Invalid '{where}': expected an object of type 'function'.", where)
    call_id, function = string_at(call, "id", where), call["function"]
    if not 1 <= len(call_id) <= _MAX_ID:
        raise _invalid(f"Invalid '{where}.id': expected a string of 1 to {_MAX_ID} characters.", f"{where}.id")
    name = _checked_name(function.get("name"), f"{where}.function.name")
    return ToolCall(name, string_at(function, "arguments", f"{where}.function"), call_id)


def _check_pairs(messages: list[dict[str, Any]]) -> None:
    """Each call has its result right behind it, and each result its call."""
    waiting: set[str] = set()
    for index, message in enumerate([*messages, {"role": "end"}]):
        if message["role"] == "tool":
            call_id = str(message.get("tool_call_id"))
            if call_id not in waiting:
                raise _invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with"
                    " 'tool_calls' that has their 'tool_call_id'.",
                    f"messages.[{index}].role",
                )
            waiting.discard(call_id)
            continue
        if waiting:
            raise _invalid(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                " 'tool_call_id'. The following tool_call_ids did not have response messages:"
                f" {', '.join(sorted(waiting))}",
                f"messages.[{index}].role",
            )
        waiting = {call["id"] for call in message.get("tool_calls") or ()}


def read_toolbox(body: Mapping[str, Any]) -> Toolbox:
    """The tools of a request body and how they are to be used.

    Raises:
        ApiError: The API refuses them.
    """
    listed = body.get("tools")
    if listed is None:
        for key in ("tool_choice", "parallel_tool_calls"):
            if body.get(key) not in (None, "none", "auto"):
                raise _invalid(f"Invalid value for '{key}': '{key}' is only allowed when 'tools' are specified.", key)
        return Toolbox()
    if not isinstance(listed, list) or not 1 <= len(listed) <= _MAX_TOOLS:
        raise _invalid(f"Invalid 'tools': expected an array of 1 to {_MAX_TOOLS} tools.", "tools")
    tools = tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(listed))
    parallel = body.get("parallel_tool_calls") is not False
    choice: Any = body.get("tool_choice") or "auto"
    if choice in ("auto", "required", "none"):
        return Toolbox(tools, choice, parallel=parallel)
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    named = str(function.get("name")) if isinstance(function, dict) else None
    if named not in {tool.name for tool in tools}:
        raise _invalid("Invalid value for 'tool_choice': the function that it names is not in 'tools'.", "tool_choice")
    return Toolbox(tools, "required", named, parallel=parallel)


def _tool(tool: object, where: str) -> Tool:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict):
        raise _invalid(f"Invalid '{where}': expected an object of type 'function'.", where)
    name = _checked_name(function.get("name"), f"{where}.function.name")
    schema = function.get("parameters")
    if schema is None:
        schema = {"type": "object", "properties": {}}
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _invalid(f"Invalid schema for function '{name}': it must be a JSON Schema of type 'object'.", where)
    return Tool(name, schema, count_tokens(json.dumps(function)) + MESSAGE_OVERHEAD)


def _checked_name(name: object, where: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _invalid(f"Invalid '{where}': string does not match pattern '^[a-zA-Z0-9_-]{{1,64}}$'.", where)
    return name


def _invalid(message: str, param: str) -> ApiError:
    return ApiError(400, message, code="invalid_value", param=param)

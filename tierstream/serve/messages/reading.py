"""Bodies of Anthropic's messages, read as Requests.

Sources: https://platform.claude.com/docs/en/api/messages/create and https://platform.claude.com/docs/en/api/versioning.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from tierstream.serve.messages.body import (
    Choice,
    MessagesBody,
    OutputConfig,
    Thinking,
    ToolDefinition,
)
from tierstream.serve.messages.conversation import cached_to_here, messages_of, system_message
from tierstream.serve.reading import check_tools, located, model_named, of_caller, refuse, request_of, validated
from tierstream.serve.surface import Asked, Caller, DoorError, Targets
from topics.base import MAX_ID_LENGTH, Identifier
from topics.messages import FunctionTool, NamedFunction, NamedTool, Tool, ToolChoice

_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_OLDEST_VERSION: Final = "2023-06-01"
_REFUSED: Final = {
    "container": "nothing here runs code: give a tool that does",
    "mcp_servers": "the client asks its MCP servers: give their tools",
    "inference_geo": "where models run is not chosen by requests here",
}
_LOW_BUDGET: Final = 4_096
_MEDIUM_BUDGET: Final = 16_384
"""Tokens of thinking from which an effort is medium, and high."""
_CHOICES: Final[Mapping[str, ToolChoice]] = {"auto": "auto", "any": "required", "none": "none"}
_NAMES: Final = {"stop": "stop_sequences", "user_id": "metadata"}


def read(
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    request_id: Identifier,
    caller: Caller,
    targets: Targets,
    now_s: int,
) -> Asked:
    """Read a body; the arguments are those of `Surface.read`.

    Raises:
        DoorError: It is no such body, or asks for what is not served here.
    """
    _check_version(headers.get("anthropic-version"))
    refuse(body, _REFUSED)
    check_tools(body.get("tools"), (None, "custom"), "give a tool with an input_schema")
    target = targets.target(model_named(body))
    read = validated(MessagesBody, body)
    user = read.metadata.user_id if read.metadata else None
    params = {
        "max_tokens": read.max_tokens,
        "temperature": read.temperature,
        "top_p": read.top_p,
        "stop": read.stop_sequences or None,
        "reasoning_effort": _effort(read.thinking, read.output_config),
        "service_tier": None if read.service_tier == "auto" else read.service_tier,
    }
    system = (system_message(read.system),) if read.system else ()
    messages = system + messages_of(read.messages)
    output_format = (read.output_config and read.output_config.format) or read.output_format
    fields = {
        "request_id": request_id,
        "messages": messages if read.cache_control is None else cached_to_here(messages, read.cache_control),
        "params": params,
        "response_schema": output_format.schema_ if output_format else None,
        "tools": tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(read.tools or ())),
        "tool_choice": _tool_choice(read.tool_choice),
        "parallel_tool_calls": False if read.tool_choice and read.tool_choice.disable_parallel_tool_use else None,
        "stream": bool(read.stream),
        **of_caller(caller, target, None if user is None else _short(user)),
    }
    request = request_of(fields, _NAMES)
    return Asked(request=request, target=target, streams=request.stream, created_s=now_s)


def _check_version(version: str | None) -> None:
    if version is None:
        raise DoorError(400, "invalid_request", "header is required", param="anthropic-version")
    if not _VERSION.fullmatch(version) or version < _OLDEST_VERSION:
        raise DoorError(400, "invalid_request", f"must be {_OLDEST_VERSION} or later", param="anthropic-version")


def _tool(tool: ToolDefinition, path: str) -> Tool:
    with located(path):
        function = FunctionTool(
            name=tool.name, description=tool.description, parameters=tool.input_schema, strict=tool.strict
        )
        return Tool(type="function", function=function, cache_control=tool.cache_control)


def _tool_choice(choice: Choice | None) -> ToolChoice | None:
    if choice is None:
        return None
    if choice.type != "tool":
        return _CHOICES[choice.type]
    with located("tool_choice.name"):
        return NamedTool(type="function", function=NamedFunction.model_validate({"name": choice.name}))


def _effort(thinking: Thinking | None, config: OutputConfig | None) -> str | None:
    """Say how much to think: as named, else by the budget; None: as the model decides, which adaptive means too."""
    if thinking is not None and thinking.type == "disabled":
        return "none"
    if config is not None and config.effort is not None:
        return config.effort
    if thinking is None or thinking.budget_tokens is None:
        return None
    if thinking.budget_tokens < _LOW_BUDGET:
        return "low"
    return "medium" if thinking.budget_tokens < _MEDIUM_BUDGET else "high"


def _short(user: str) -> str:
    """Return an id of a user that a record takes: the API's may be twice as long, and some clients' are."""
    return user if len(user) <= MAX_ID_LENGTH else hashlib.sha256(user.encode()).hexdigest()

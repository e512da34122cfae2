"""Bodies of responses, read as Requests. Source: https://platform.openai.com/docs/api-reference/responses/create."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tierstream.serve.openai_shapes import REFUSED, service_tier_of
from tierstream.serve.reading import (
    check_tools,
    located,
    model_named,
    of_caller,
    refuse,
    request_of,
    unserved,
    validated,
)
from tierstream.serve.responses.body import FunctionDefinition, ResponsesBody, TextFormat
from tierstream.serve.responses.conversation import messages_of
from tierstream.serve.responses.echo import echo_of
from tierstream.serve.surface import Asked, Caller, DoorError, Target, Targets
from tierstream.serve.writing import said
from topics.base import Identifier
from topics.messages import FunctionTool, Message, NamedFunction, NamedTool, Tool, ToolChoice
from topics.requests import Request
from topics.results import Result

_REFUSED: Final = {
    **REFUSED,
    "conversation": "conversations are not kept here: send the items, or previous_response_id",
    "prompt": "prompts are not kept here: send their text",
}
_LOGPROBS: Final = "message.output_text.logprobs"
_NAMES: Final = {"messages": "input", "max_tokens": "max_output_tokens", "user_id": "user", "response_format": "text"}


def read(body: Mapping[str, Any], *, request_id: Identifier, caller: Caller, targets: Targets, now_s: int) -> Asked:
    """Read a body; the arguments are those of `Surface.read`.

    Raises:
        DoorError: It is no such body, or asks for what is not served here.
    """
    refuse(body, _REFUSED)
    check_tools(body.get("tools"), ("function",), "tools are functions")
    target = targets.target(model_named(body))
    read = validated(ResponsesBody, {name: value for name, value in body.items() if name != "input"})
    tools, tool_choice = _tools(read)
    instructions = () if read.instructions is None else (Message(role="system", content=read.instructions),)
    fields = {
        "request_id": request_id,
        "messages": instructions + messages_of(body.get("input")),
        "params": {
            "max_tokens": read.max_output_tokens,
            "temperature": read.temperature,
            "top_p": read.top_p,
            "reasoning_effort": read.reasoning.effort if read.reasoning else None,
            "service_tier": service_tier_of(read.service_tier),
            "logprobs": True if read.top_logprobs or _LOGPROBS in (read.include or ()) else None,
            "top_logprobs": read.top_logprobs or None,
        },
        "response_format": _response_format(read.text.format if read.text else None),
        "tools": tools,
        "tool_choice": tool_choice,
        "parallel_tool_calls": read.parallel_tool_calls,
        "stream": bool(read.stream),
        **of_caller(caller, target, read.user),
    }
    request = request_of(fields, _NAMES)
    return Asked(
        request=request,
        target=target,
        streams=request.stream,
        created_s=now_s,
        background=bool(read.background),
        echo=_echo(request, read),
    )


def continued(asked: Asked, earlier: Request, result: Result) -> Asked:
    """Put an earlier conversation, with its answer, before the messages of a request."""
    instructions, new = _split(asked.request)
    _, before = _split(earlier)
    messages = (*instructions, *before, said(result), *new)
    return replace(asked, request=asked.request.model_copy(update={"messages": messages}))


def asked_of(request: Request, *, created_s: int, token: str) -> Asked:
    """Say what was asked, from the record alone."""
    tiers = {request.min_tier, request.max_tier}
    tier = f"tier-{request.min_tier}" if len(tiers) == 1 and request.min_tier is not None else "auto"
    return Asked(
        request=request,
        target=Target(name=request.model or tier),
        streams=request.stream,
        created_s=created_s,
        echo=echo_of(request),
        token=token,
    )


def _split(request: Request) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Split messages into the instructions and what was said."""
    number = int(request.messages[0].role == "system")
    return request.messages[:number], request.messages[number:]


def _tools(body: ResponsesBody) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """Return the tools and what is said of their choice; of tools that are not allowed the model hears nothing."""
    tools = tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(body.tools or ()))
    match body.tool_choice:
        case {"type": "function", "name": name}:
            with located("tool_choice.name"):
                return tools, NamedTool(type="function", function=NamedFunction.model_validate({"name": name}))
        case {"type": "allowed_tools", "tools": [*allowed], **rest}:
            names = {str(tool.get("name")) for tool in allowed if isinstance(tool, Mapping)}
            required = rest.get("mode") == "required"
            return tuple(tool for tool in tools if tool.function.name in names), "required" if required else "auto"
        case dict() as other:
            raise unserved(other.get("type"), "tool_choice.type", "tools are functions")
        case choice:
            return tools, choice


def _tool(tool: FunctionDefinition, path: str) -> Tool:
    with located(path):
        function = FunctionTool(
            name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
        )
        return Tool(type="function", function=function)


def _response_format(given: TextFormat | None) -> dict[str, Any] | None:
    """Return what is asked of the answer's form: text is what it has without being asked."""
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        return {"type": "json_object"}
    if given.schema_ is None:
        raise DoorError(400, "invalid_request", "Field required", param="text.format.schema")
    named = {"name": given.name, "description": given.description, "schema": given.schema_, "strict": given.strict}
    return {
        "type": "json_schema",
        "json_schema": {name: value for name, value in named.items() if value is not None},
    }


def _echo(request: Request, body: ResponsesBody) -> dict[str, Any]:
    echo = {**echo_of(request), **body.told()}
    if body.reasoning is not None:
        echo["reasoning"] = body.reasoning.model_dump()
    if body.text is not None and body.text.verbosity is not None:
        echo["text"] = {**echo["text"], "verbosity": body.text.verbosity}
    return echo

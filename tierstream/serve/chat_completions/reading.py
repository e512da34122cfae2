"""Bodies of chat completions. Source: https://platform.openai.com/docs/api-reference/chat/create.

A Request has OpenAI's shapes, so most of a body is one as it is; its record says what is wrong with it.
"""

from collections.abc import Mapping
from typing import Any, Final

from tierstream.serve.openai_shapes import REFUSED, service_tier_of
from tierstream.serve.reading import BodyPart, check_tools, model_named, of_caller, refuse, unserved, validated
from tierstream.serve.surface import Asked, Caller, DoorError, Targets
from topics.base import Identifier
from topics.requests import Request

_REFUSED: Final = {
    **REFUSED,
    "functions": "functions are given as tools",
    "function_call": "which function to call is said with tool_choice",
    "audio": "answers are text and tool calls",
    "web_search_options": "nothing here searches the web: give a tool that does",
    "logit_bias": "models of several vendors have no tokens in common",
}
_REFUSED_OF_MESSAGE: Final = {
    "function_call": "calls are given as tool_calls",
    "audio": "messages are text, images, files and tool calls",
}
_OF_MESSAGE: Final = ("role", "content", "name", "tool_calls", "tool_call_id")
_PLAIN_PARAMS: Final = ("temperature", "top_p", "seed", "reasoning_effort", "logprobs", "top_logprobs")


class StreamOptions(BodyPart):
    """What a stream tells besides the answer."""

    include_usage: bool | None = None


def read(body: Mapping[str, Any], *, request_id: Identifier, caller: Caller, targets: Targets, now_s: int) -> Asked:
    """Read a body; the arguments are those of `Surface.read`.

    Raises:
        DoorError: It is no such body, or asks for what is not served here.
    """
    refuse(body, _REFUSED)
    if body.get("n") not in (None, 1):
        raise DoorError(400, "unsupported_value", "there is one answer to a request", param="n")
    if body.get("modalities") not in (None, [], ["text"]):
        raise DoorError(400, "unsupported_value", "answers are text and tool calls", param="modalities")
    target = targets.target(model_named(body))
    limit = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    tools, tool_choice = _tools(body)
    fields = {
        "request_id": request_id,
        **({"messages": _messages(body["messages"])} if "messages" in body else {}),
        "params": {
            **{name: body.get(name) for name in _PLAIN_PARAMS},
            "max_tokens": body.get(limit),
            "stop": _stop(body.get("stop")),
            "service_tier": service_tier_of(body.get("service_tier")),
        },
        "response_format": _response_format(body.get("response_format")),
        "tools": tools,
        "tool_choice": tool_choice,
        "parallel_tool_calls": body.get("parallel_tool_calls"),
        "stream": False if body.get("stream") is None else body["stream"],
        **of_caller(caller, target, body.get("user")),
    }
    request = validated(Request, fields, names={"max_tokens": limit, "user_id": "user"})
    given = body.get("stream_options")
    options = None if given is None else validated(StreamOptions, given, at="stream_options")
    return Asked(
        request=request,
        target=target,
        streams=request.stream,
        created_s=now_s,
        wants_usage=options is not None and bool(options.include_usage),
    )


def _messages(messages: object) -> object:
    if not isinstance(messages, list):
        return messages
    return [_message(message, f"messages[{number}].") for number, message in enumerate(messages)]


def _message(message: object, path: str) -> object:
    if not isinstance(message, Mapping):
        raise DoorError(400, "invalid_request", "needs an object", param=path.removesuffix("."))
    if "role" not in message:
        raise DoorError(400, "invalid_request", "Field required", param=f"{path}role")
    refuse(message, _REFUSED_OF_MESSAGE, path)
    if message.get("role") == "function":
        raise DoorError(400, "unsupported_value", "results are messages of the role tool", param=f"{path}role")
    read = {name: message[name] for name in _OF_MESSAGE if message.get(name) is not None}
    content = message.get("content")
    if content is None:
        content = message.get("refusal")
    if isinstance(content, list):
        content = [_part(part, f"{path}content[{number}]") for number, part in enumerate(content)]
    if read.get("tool_calls") == []:
        del read["tool_calls"]
    return read | {"content": content}


def _part(part: object, path: str) -> object:
    match part:
        case {"type": "refusal", "refusal": text}:
            return {"type": "text", "text": text}
        case {"type": "image_url", "image_url": {"detail": "original", **image}, **rest}:
            return {**rest, "type": "image_url", "image_url": {**image, "detail": "high"}}
        case {"type": "file", "file": {"file_id": str()}}:
            raise DoorError(400, "unsupported_value", "files are not kept here: send file_data", param=f"{path}.file")
        case {"type": "input_audio"}:
            raise unserved("input_audio", path, "messages are text, images, files and tool calls")
    return part


def _tools(body: Mapping[str, Any]) -> tuple[object, object]:
    """Return the tools and what is said of their choice; of tools that are not allowed the model hears nothing."""
    tools, choice = () if body.get("tools") is None else body["tools"], body.get("tool_choice")
    if not isinstance(tools, list):
        return tools, choice
    check_tools(tools, ("function",), "tools are functions")
    match choice:
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*allowed]}}:
            names = set(map(_function_name, allowed)) - {None}
            return [tool for tool in tools if _function_name(tool) in names], mode
        case {"type": kind} if kind != "function":
            raise unserved(kind, "tool_choice.type", "tools are functions")
    return tools, choice


def _function_name(tool: object) -> str | None:
    match tool:
        case {"function": {"name": str(name)}}:
            return name
    return None


def _stop(stop: object) -> object:
    if stop is None or stop == []:
        return None
    return [stop] if isinstance(stop, str) else stop


def _response_format(response_format: object) -> object:
    """Return what is asked of the answer's form: text is what it has without being asked."""
    match response_format:
        case {"type": "text"}:
            return None
    return response_format

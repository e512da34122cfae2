"""What a response repeats of its request."""

from typing import Any

from topics.messages import NamedTool, PlainFormat, Tool
from topics.requests import Request


def echo_of(request: Request) -> dict[str, Any]:
    """Return it as far as the record tells; the rest as if nothing had been said of it."""
    params, first = request.params, request.messages[0]
    return {
        "previous_response_id": None,
        "instructions": first.text if first.role == "system" else None,
        "tools": [_tool(tool) for tool in request.tools],
        "tool_choice": _tool_choice(request),
        "truncation": "disabled",
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "text": {"format": _format(request)},
        "top_p": 1.0 if params.top_p is None else params.top_p,
        "temperature": 1.0 if params.temperature is None else params.temperature,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": params.top_logprobs or 0,
        "reasoning": {"effort": params.reasoning_effort, "summary": None},
        "max_output_tokens": params.max_tokens,
        "max_tool_calls": None,
        "store": True,
        "background": False,
        "service_tier": params.service_tier or "default",
        "metadata": {},
        "safety_identifier": None,
        "prompt_cache_key": None,
    }


def _tool(tool: Tool) -> dict[str, Any]:
    function = tool.function
    return {
        "type": "function",
        "name": function.name,
        "description": function.description,
        "parameters": function.parameters,
        "strict": function.strict,
    }


def _tool_choice(request: Request) -> object:
    if isinstance(request.tool_choice, NamedTool):
        return {"type": "function", "name": request.tool_choice.function.name}
    return request.tool_choice or "auto"


def _format(request: Request) -> dict[str, Any]:
    if request.response_format is None:
        return {"type": "text"}
    if isinstance(request.response_format, PlainFormat):
        return {"type": request.response_format.type}
    named = request.response_format.json_schema
    return {
        "type": "json_schema",
        "name": named["name"],
        "description": named.get("description"),
        "schema": named.get("schema"),
        "strict": bool(named.get("strict")),
    }

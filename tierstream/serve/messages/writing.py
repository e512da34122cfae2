"""Answers as messages. Source: https://platform.claude.com/docs/en/api/messages/create."""

from typing import Any, Final

from pydantic_core import from_json

from tierstream.serve.surface import Asked
from tierstream.serve.writing import AnswerItem, answered_by, finish_reason, in_order, routing_of, usage_of
from topics.journal import Usage
from topics.messages import RedactedThinkingPart, TextPart, ThinkingPart, ToolCall
from topics.results import Result

_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}


def message(asked: Asked, result: Result) -> dict[str, Any]:
    """Write an answer."""
    return {
        **empty_message(asked),
        "model": answered_by(asked, result),
        "content": [_block(item) for item in in_order(result)],
        **ending(result),
        "usage": message_usage(usage_of(result)),
        "tierstream": routing_of(result),
    }


def empty_message(asked: Asked) -> dict[str, Any]:
    """Write a message of which nothing is known yet."""
    return {
        "id": f"msg_{asked.token}",
        "type": "message",
        "role": "assistant",
        "model": asked.target.name,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": message_usage(Usage(input=0, output=0)),
    }


def ending(result: Result) -> dict[str, Any]:
    """Write why an answer ended: results do not tell a stop sequence from an end, nor which one it was."""
    return {
        "stop_reason": _STOP_REASONS[finish_reason(result)],
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
    }


def message_usage(usage: Usage) -> dict[str, Any]:
    """Write the tokens of an answer: Anthropic counts what is read from the cache, or written to it, apart."""
    return {
        "input_tokens": max(0, usage.input - usage.cached - usage.cache_written),
        "cache_creation_input_tokens": usage.cache_written,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": None,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": None,
        "service_tier": None,
        "inference_geo": None,
    }


def text_block(text: str) -> dict[str, Any]:
    """Write a text."""
    return {"type": "text", "text": text, "citations": None}


def thinking_block(thinking: str, signature: str) -> dict[str, Any]:
    """Write a thought; without a signature it has an empty one, for the shape has it in any case."""
    return {"type": "thinking", "thinking": thinking, "signature": signature}


def redacted_block(data: str) -> dict[str, Any]:
    """Write a thought that only its provider can read."""
    return {"type": "redacted_thinking", "data": data}


def tool_block(call_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Write a call."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments, "caller": {"type": "direct"}}


def _block(item: AnswerItem) -> dict[str, Any]:
    match item:
        case TextPart():
            return text_block(item.text)
        case ThinkingPart():
            return thinking_block(item.thinking, item.signature or "")
        case RedactedThinkingPart():
            return redacted_block(item.data)
        case ToolCall():
            return tool_block(item.id, item.function.name, _input(item.function.arguments))


def _input(arguments: str) -> dict[str, Any]:
    """Read what a model wrote as arguments; where that is no object, it is the one field of one, unharmed."""
    if not arguments.strip():
        return {}
    try:
        read = from_json(arguments, allow_inf_nan=False)
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"arguments": arguments}

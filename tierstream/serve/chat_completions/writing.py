"""Answers as chat completions. Source: https://platform.openai.com/docs/api-reference/chat/object."""

from typing import Any

from tierstream.serve.surface import Asked
from tierstream.serve.writing import answered_by, finish_reason, in_order, routing_of, usage_of
from topics.messages import TextPart, ThinkingPart
from topics.results import Result


def completion_id(asked: Asked) -> str:
    """Return the id of an answer and of its chunks."""
    return f"chatcmpl-{asked.token}"


def completion(asked: Asked, result: Result) -> dict[str, Any]:
    """Write an answer.

    The shape has no place for the order of texts and calls, nor for a signature: thinking is `reasoning_content`, as
    vendors of open models have it.
    """
    items = in_order(result)
    text = "".join(item.text for item in items if isinstance(item, TextPart))
    thought = "".join(item.thinking for item in items if isinstance(item, ThinkingPart))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not result.tool_calls else None,
        "refusal": None,
        "annotations": [],
    }
    if thought:
        message["reasoning_content"] = thought
    if result.tool_calls:
        message["tool_calls"] = [call.model_dump(mode="json") for call in result.tool_calls]
    return {
        "id": completion_id(asked),
        "object": "chat.completion",
        "created": asked.created_s,
        "model": answered_by(asked, result),
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": logprobs_of(result),
                "finish_reason": finish_reason(result),
            }
        ],
        "usage": completion_usage(result),
        "tierstream": routing_of(result),
    }


def logprobs_of(result: Result) -> dict[str, Any] | None:
    """Return the log probabilities with both fields that the shape has."""
    return None if result.logprobs is None else {"content": None, "refusal": None, **result.logprobs}


def completion_usage(result: Result) -> dict[str, Any]:
    """Write the tokens of an answer."""
    usage = usage_of(result)
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }

"""Answers as responses.

Sources: https://platform.openai.com/docs/api-reference/responses/object and
https://www.openresponses.org/specification, which says what is always there.
"""

from typing import Any, Final, Literal

from tierstream.serve.responses.reasoning import Thought, sealed
from tierstream.serve.surface import Asked, DoorError
from tierstream.serve.writing import AnswerItem, answered_by, finish_reason, in_order, routing_of, usage_of
from topics.messages import RedactedThinkingPart, TextPart, ThinkingPart, ToolCall
from topics.results import Result

Waiting = Literal["queued", "in_progress", "cancelled"]

_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FAILURES: Final = {429: "rate_limit_exceeded"}
_PREFIXES: Final = {"message": "msg", "function_call": "fc", "reasoning": "rs"}


def answered(asked: Asked, result: Result) -> dict[str, Any]:
    """Write an answer."""
    reason = incomplete_reason(result)
    items = in_order(result)
    output = [_item(asked, index, item) for index, item in enumerate(items)]
    if reason is not None and not _is_sealed(items[-1]):
        output[-1] |= {"status": "incomplete"}
    if result.logprobs is not None:
        _add_logprobs(output, result.logprobs)
    return _response(
        asked,
        status="completed" if reason is None else "incomplete",
        completed_at=None if reason else int(result.settled_at.timestamp()),
        incomplete_details=None if reason is None else {"reason": reason},
        model=answered_by(asked, result),
        output=output,
        usage=_usage(result),
        tierstream=routing_of(result),
    )


def failed(asked: Asked, error: DoorError) -> dict[str, Any]:
    """Write that there is no answer, with a code of those that the API has."""
    kind = "server_error" if error.status >= 500 else "invalid_prompt"  # noqa: PLR2004 - HTTP's classes
    code = _FAILURES.get(error.status, kind)
    return _response(asked, status="failed", error={"code": code, "message": error.message})


def unfinished(asked: Asked, status: Waiting) -> dict[str, Any]:
    """Write that there is no answer yet, or none any more."""
    return _response(asked, status=status)


def incomplete_reason(result: Result) -> str | None:
    """Say why an answer is not all that the model would have said; None where it is."""
    return _INCOMPLETE.get(finish_reason(result))


def item_id(asked: Asked, kind: str, index: int) -> str:
    """Return the id of an item: the same whenever and by whomever it is written."""
    return f"{_PREFIXES[kind]}_{asked.token}_{index}"


def message_item(item_id: str, status: str, *texts: str) -> dict[str, Any]:
    """Write a message; it has no text at its start."""
    content = [text_content(text) for text in texts]
    return {"type": "message", "id": item_id, "status": status, "role": "assistant", "content": content}


def text_content(text: str) -> dict[str, Any]:
    """Write a text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(item_id: str, status: str, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """Write a call."""
    return {
        "type": "function_call",
        "id": item_id,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def reasoning_item(item_id: str, status: str, thought: Thought) -> dict[str, Any]:
    """Write a thought. Its text is the summary, which clients show; what has to come back unharmed is sealed."""
    text = thought.thinking if isinstance(thought, ThinkingPart) else ""
    item: dict[str, Any] = {
        "type": "reasoning",
        "id": item_id,
        "summary": [summary_text(text)] if text else [],
        "status": status,
    }
    encrypted = sealed(thought)
    return item if encrypted is None else {**item, "encrypted_content": encrypted}


def summary_text(text: str) -> dict[str, Any]:
    """Write the text of a thought."""
    return {"type": "summary_text", "text": text}


def _is_sealed(item: AnswerItem) -> bool:
    """Whether it is a thought that has its end: what an answer lacks is behind it."""
    return isinstance(item, ThinkingPart | RedactedThinkingPart) and sealed(item) is not None


def _item(asked: Asked, index: int, item: AnswerItem) -> dict[str, Any]:
    match item:
        case TextPart():
            return message_item(item_id(asked, "message", index), "completed", item.text)
        case ToolCall():
            function = item.function
            there = item_id(asked, "function_call", index)
            return call_item(there, "completed", item.id, function.name, function.arguments)
        case _:
            return reasoning_item(item_id(asked, "reasoning", index), "completed", item)


def _add_logprobs(output: list[dict[str, Any]], logprobs: dict[str, Any]) -> None:
    """Put the log probabilities, which are of the whole text, to its first part."""
    tokens = [
        {"top_logprobs": [], **token, "bytes": token.get("bytes") or []} for token in logprobs.get("content") or ()
    ]
    for item in output:
        if item["type"] == "message":
            item["content"][0]["logprobs"] = tokens
            return


def _usage(result: Result) -> dict[str, Any]:
    usage = usage_of(result)
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _response(asked: Asked, *, status: str, **known: object) -> dict[str, Any]:
    return {
        "id": f"resp_{asked.token}",
        "object": "response",
        "created_at": asked.created_s,
        "completed_at": None,
        "status": status,
        "incomplete_details": None,
        "model": asked.target.name,
        **asked.echo,
        "output": [],
        "error": None,
        "usage": None,
        **known,
    }

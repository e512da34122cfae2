"""What the surfaces write alike: the order of an answer, how it ended, what it took, and server-sent events."""

from typing import Any, Final

from pydantic_core import to_json

from tierstream.serve.surface import Asked
from topics.journal import Usage
from topics.messages import Message, RedactedThinkingPart, TextPart, ThinkingPart, ToolCall
from topics.results import Result

AnswerItem = TextPart | ThinkingPart | RedactedThinkingPart | ToolCall
"""One thing of an answer, where calls stand in their places."""

COMMENT: Final = b": alive\n\n"
"""A server-sent comment, which clients pass over."""


def in_order(result: Result) -> tuple[AnswerItem, ...]:
    """Return an answer's parts and calls in their order; an empty text where there is nothing."""
    # The result has been validated, and its content may be empty where the message of a requester may not.
    message = Message.model_construct(
        role="assistant", content=result.parts or result.content or "", tool_calls=result.tool_calls or None
    )
    items = tuple(item for item in message.in_order() if isinstance(item, AnswerItem))
    return tuple(item for item in items if not _says_nothing(item)) or (TextPart(type="text", text=""),)


def _says_nothing(item: AnswerItem) -> bool:
    return isinstance(item, TextPart) and not item.text


def finish_reason(result: Result) -> str:
    """Say why an answer ended: `stop`, `length`, `content_filter` or `tool_calls`."""
    if result.finish_reason in {"length", "content_filter"}:
        return result.finish_reason
    return "tool_calls" if result.tool_calls else "stop"


def answered_by(asked: Asked, result: Result) -> str:
    """Name who gave an answer, as `provider/model`: such a name can be asked for again."""
    return f"{result.provider}/{result.model}" if result.provider and result.model else asked.target.name


def usage_of(result: Result) -> Usage:
    """Return the tokens of an answer: nothing, where nobody counted."""
    return result.usage or Usage(input=0, output=0, source="estimated")


def routing_of(result: Result) -> dict[str, Any]:
    """Return what tierstream has to say of an answer: the object `tierstream` of each API's."""
    return {
        "request_id": result.request_id,
        "status": result.status.value,
        "reason": result.reason,
        "tier": result.tier,
        "provider": result.provider,
        "model": result.model,
        "cost_usd": str(result.cost_usd),
        "attempts": len(result.route),
    }


def server_sent(data: object, event: str | None = None) -> bytes:
    """Write a server-sent event, named where the API names its events."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + to_json(data) + b"\n\n"

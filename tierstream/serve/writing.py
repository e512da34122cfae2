"""What the surfaces write alike: the order of an answer, how it ended, what it took, and server-sent events."""

from typing import Any, Final

from pydantic_core import to_json

from tierstream.serve.surface import Asked
from topics.events import Delta
from topics.journal import Usage
from topics.messages import Message, RedactedThinkingPart, TextPart, ThinkingPart, ToolCall
from topics.results import Result

AnswerItem = TextPart | ThinkingPart | RedactedThinkingPart | ToolCall
"""One thing of an answer, where calls stand in their places."""

COMMENT: Final = b": alive\n\n"
"""A server-sent comment, which clients pass over."""


def said(result: Result) -> Message:
    """Return an answer as the message of the assistant that a later request has of it."""
    content = result.parts or result.content or (None if result.tool_calls else "")
    # A result has been validated as a whole; what is left of it here may be less than a requester has to give.
    return Message.model_construct(role="assistant", content=content, tool_calls=result.tool_calls or None)


def in_order(result: Result) -> tuple[AnswerItem, ...]:
    """Return an answer's parts and calls in their order; an empty text where there is nothing."""
    items = tuple(item for item in said(result).in_order() if isinstance(item, AnswerItem))
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


class CallIds:
    """Ids of the calls of a stream, as the whole answer has them: no two the same, and none without."""

    def __init__(self) -> None:
        self._ids: dict[int, str] = {}

    def begins(self, piece: Delta) -> bool:
        """Whether a piece is the first one of its call."""
        return index_of(piece) not in self._ids

    def of(self, piece: Delta) -> str:
        """Return the id of the call that a piece belongs to."""
        index = index_of(piece)
        if index not in self._ids:
            known = self._ids.values()
            self._ids[index] = piece.id if piece.id and piece.id not in known else f"call_{index}"
        return self._ids[index]


def index_of(piece: Delta) -> int:
    """Return which call a piece belongs to."""
    return piece.index or 0


def server_sent(data: object, event: str | None = None) -> bytes:
    """Write a server-sent event, named where the API names its events."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + to_json(data, inf_nan_mode="null") + b"\n\n"

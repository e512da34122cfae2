"""Answers as the events of a message. Source: https://platform.claude.com/docs/en/build-with-claude/streaming."""

from typing import Any

from tierstream.serve.messages.errors import anthropic_error
from tierstream.serve.messages.writing import (
    empty_message,
    ending,
    message_usage,
    redacted_block,
    text_block,
    thinking_block,
    tool_block,
)
from tierstream.serve.surface import Asked, DoorError
from tierstream.serve.writing import CallIds, index_of, routing_of, server_sent, usage_of
from topics.answer_assembly import Piece
from topics.events import Delta
from topics.results import Result


class MessageWriter:
    """Writes one answer: one block at a time is open. Who answers is known at the end only."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._blocks = 0
        self._open: str | None = None
        """Kind of the last block, until it is closed."""
        self._ids = CallIds()
        self._calls: dict[int, int] = {}
        """Block of each call."""

    def begin(self) -> bytes:
        """Write the empty message; its usage comes with the end."""
        return _event("message_start", message=empty_message(self._asked))

    def piece(self, piece: Piece) -> bytes:
        """Write a piece."""
        if isinstance(piece, str):
            return self._text(piece)
        match piece.kind:
            case "text":
                return self._text(piece.text)
            case "reasoning":
                return self._thought(piece.text)
            case "signature":
                return self._thinking() + self._delta(type="signature_delta", signature=piece.text) + self._close()
            case "redacted":
                return self._start("redacted", redacted_block(piece.text)) + self._close()
            case "tool_call":
                return self._call(piece)

    def finish(self, result: Result) -> bytes:
        """Write how it ended."""
        told = {"usage": message_usage(usage_of(result)), "tierstream": routing_of(result)}
        return self._close() + _event("message_delta", delta=ending(result), **told) + _event("message_stop")

    def fail(self, error: DoorError) -> bytes:
        """Write an error; with it the stream ends."""
        return server_sent(anthropic_error(error, None), "error")

    def keep_alive(self) -> bytes:
        """Write a ping."""
        return _event("ping")

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        start = b"" if self._open == "text" else self._start("text", text_block(""))
        return start + self._delta(type="text_delta", text=text)

    def _thought(self, text: str) -> bytes:
        return self._thinking() + self._delta(type="thinking_delta", thinking=text) if text else b""

    def _thinking(self) -> bytes:
        return b"" if self._open == "thinking" else self._start("thinking", thinking_block("", ""))

    def _call(self, piece: Delta) -> bytes:
        index, start = index_of(piece), b""
        if index not in self._calls:
            block = tool_block(self._ids.of(piece), piece.name or "", {})
            start = self._start("tool_use", block)
            self._calls[index] = self._blocks - 1
        if not piece.text:
            return start
        # Should calls ever come interleaved, clients still know by the index which one a piece belongs to.
        return start + self._delta(self._calls[index], type="input_json_delta", partial_json=piece.text)

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        closed = self._close()
        self._open = kind
        self._blocks += 1
        return closed + _event("content_block_start", index=self._blocks - 1, content_block=block)

    def _delta(self, index: int | None = None, **delta: str) -> bytes:
        return _event("content_block_delta", index=self._blocks - 1 if index is None else index, delta=delta)

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", index=self._blocks - 1)


def _event(kind: str, **data: object) -> bytes:
    return server_sent({"type": kind, **data}, kind)

"""Answers as `chat.completion.chunk` events. Source: https://platform.openai.com/docs/api-reference/chat-streaming."""

from typing import Any, Final

from tierstream.serve.chat_completions.writing import completion_id, completion_usage, logprobs_of
from tierstream.serve.openai_shapes import openai_error
from tierstream.serve.surface import Asked, DoorError
from tierstream.serve.writing import COMMENT, CallIds, finish_reason, index_of, routing_of, server_sent
from topics.answer_assembly import Piece
from topics.events import Delta
from topics.results import Result

_DONE: Final = b"data: [DONE]\n\n"


class ChunkWriter:
    """Writes one answer. All chunks name the model as it was asked for: who answers is known at the end only."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._head = {
            "id": completion_id(asked),
            "object": "chat.completion.chunk",
            "created": asked.created_s,
            "model": asked.target.name,
        }
        self._ids = CallIds()

    def begin(self) -> bytes:
        """Write who speaks."""
        return self._choice({"role": "assistant", "content": "", "refusal": None})

    def piece(self, piece: Piece) -> bytes:
        """Write a piece; signatures have no place in this shape."""
        if isinstance(piece, str):
            return self._choice({"content": piece}) if piece else b""
        match piece.kind:
            case "text" if piece.text:
                return self._choice({"content": piece.text})
            case "reasoning" if piece.text:
                return self._choice({"reasoning_content": piece.text})
            case "tool_call":
                return self._choice({"tool_calls": [self._call(piece)]})
        return b""

    def finish(self, result: Result) -> bytes:
        """Write how it ended, what it took where that was asked for, and the end of the stream."""
        end = self._choice(
            {}, finish=finish_reason(result), logprobs=logprobs_of(result), tierstream=routing_of(result)
        )
        if self._asked.wants_usage:
            end += server_sent({**self._head, "choices": [], "usage": completion_usage(result)})
        return end + _DONE

    def fail(self, error: DoorError) -> bytes:
        """Write an error; with it the stream ends."""
        return server_sent(openai_error(error))

    def keep_alive(self) -> bytes:
        """Write a comment."""
        return COMMENT

    def _call(self, piece: Delta) -> dict[str, Any]:
        index = index_of(piece)
        if not self._ids.begins(piece):
            return {"index": index, "function": {"arguments": piece.text}}
        function = {"name": piece.name or "", "arguments": piece.text}
        return {"index": index, "id": self._ids.of(piece), "type": "function", "function": function}

    def _choice(
        self,
        delta: dict[str, Any],
        *,
        finish: str | None = None,
        logprobs: dict[str, Any] | None = None,
        **more: object,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        usage = {"usage": None} if self._asked.wants_usage else {}
        return server_sent({**self._head, "choices": [choice], **usage, **more})

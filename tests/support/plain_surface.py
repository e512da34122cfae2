"""An API of the tests' own, as plain as can be: what the door does is seen without a vendor's words in between."""

import json
from collections.abc import Mapping
from typing import Any

from tierstream.serve.surface import Asked, Caller, DoorError, Targets
from topics.answer_assembly import Piece
from topics.messages import Message
from topics.requests import Request
from topics.results import Result


class PlainSurface:
    """`{"model", "text", "stream"}` in, `{"text"}` out."""

    def __init__(self, name: str = "chat_completions") -> None:
        self.name = name

    def read(
        self,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        *,
        request_id: str,
        caller: Caller,
        targets: Targets,
        now_s: int,
    ) -> Asked:
        if "text" not in body:
            raise DoorError(400, "invalid_request", "the text is missing", param="text")
        target = targets.target(body.get("model", "auto"))
        request = Request(
            request_id=request_id,
            messages=(Message(role="user", content=body["text"]),),
            user_id=caller.user_id,
            feature=caller.feature,
            tags=caller.tags,
            min_tier=target.min_tier,
            max_tier=target.max_tier,
            model=target.model,
        )
        return Asked(request, target, bool(body.get("stream")), now_s)

    def answer(self, asked: Asked, result: Result) -> dict[str, Any]:
        return {"text": result.content, "id": asked.token}

    def events(self, asked: Asked) -> "PlainWriter":
        return PlainWriter(asked)

    def error(self, error: DoorError, http_request_id: str) -> dict[str, Any]:
        return {"error": {"code": error.code, "message": error.message, "param": error.param, "id": http_request_id}}


class PlainWriter:
    """`{"begin"}`, then `{"piece"}` for each, then `{"end"}` or `{"error"}`."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def begin(self) -> bytes:
        return _event({"begin": self._asked.token})

    def piece(self, piece: Piece) -> bytes:
        return _event({"piece": piece if isinstance(piece, str) else piece.model_dump(exclude_none=True)})

    def finish(self, result: Result) -> bytes:
        return _event({"end": result.status})

    def fail(self, error: DoorError) -> bytes:
        return _event({"error": error.code})

    def keep_alive(self) -> bytes:
        return b": alive\n\n"


def _event(data: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def events_in(body: str) -> list[dict[str, Any]]:
    """Return the events of a stream."""
    return [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: ")]

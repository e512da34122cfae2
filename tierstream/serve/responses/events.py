"""Answers as the events of a response.

Source: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from tierstream.serve.responses.open_items import Events, OpenCall, OpenItem, OpenMessage, OpenReasoning
from tierstream.serve.responses.writing import answered, failed, incomplete_reason, item_id, unfinished
from tierstream.serve.surface import Asked, DoorError
from tierstream.serve.writing import COMMENT, CallIds, index_of, server_sent
from topics.answer_assembly import Piece
from topics.events import Delta
from topics.results import Result


class ResponseWriter:
    """Writes one answer: one item at a time is open.

    The number of an event follows from the pieces before it, so whoever is given the same pieces again can go on behind
    any of them.
    """

    def __init__(self, asked: Asked, *, after: int | None = None) -> None:
        self._asked = asked
        self._after = -1 if after is None else after
        self._number = 0
        self._items = 0
        self._open: OpenItem | None = None
        self._ids = CallIds()
        self._calls: dict[int, OpenCall] = {}

    def begin(self) -> bytes:
        """Write the response as it begins."""
        begun = unfinished(self._asked, "in_progress")
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def piece(self, piece: Piece) -> bytes:
        """Write a piece."""
        if isinstance(piece, str):
            return self._text(piece)
        match piece.kind:
            case "text":
                return self._text(piece.text)
            case "reasoning":
                start, item = self._reasoning()
                return start + self._events(item.add(piece.text))
            case "signature":
                start, item = self._reasoning()
                self._open = None
                return start + self._events(item.end("completed", signature=piece.text))
            case "redacted":
                item = OpenReasoning(self._id("reasoning"), self._items)
                start = self._start(item)
                self._open = None
                return start + self._events(item.end_redacted(piece.text))
            case "tool_call":
                return self._call(piece)

    def finish(self, result: Result) -> bytes:
        """Write the whole response."""
        status = "completed" if incomplete_reason(result) is None else "incomplete"
        closed = self._close(status)
        return closed + self._event(f"response.{status}", response=answered(self._asked, result))

    def fail(self, error: DoorError) -> bytes:
        """Write a response that has failed; with it the stream ends."""
        return self._event("response.failed", response=failed(self._asked, error))

    def keep_alive(self) -> bytes:
        """Write a comment, which has no number."""
        return COMMENT

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        if isinstance(self._open, OpenMessage):
            return self._events(self._open.add(text))
        item = OpenMessage(self._id("message"), self._items)
        return self._start(item) + self._events(item.add(text))

    def _reasoning(self) -> tuple[bytes, OpenReasoning]:
        """Return the open thought, and the bytes that open it where there is none."""
        if isinstance(self._open, OpenReasoning):
            return b"", self._open
        item = OpenReasoning(self._id("reasoning"), self._items)
        return self._start(item), item

    def _call(self, piece: Delta) -> bytes:
        index, start = index_of(piece), b""
        if index not in self._calls:
            call = OpenCall(self._id("function_call"), self._items, self._ids.of(piece), piece.name or "")
            self._calls[index] = call
            start = self._start(call)
        # Should calls ever come interleaved, clients still know by the index which one a piece belongs to.
        return start + self._events(self._calls[index].add(piece.text))

    def _id(self, kind: str) -> str:
        return item_id(self._asked, kind, self._items)

    def _start(self, item: OpenItem) -> bytes:
        closed = self._close()
        self._open = item
        self._items += 1
        return closed + self._events(item.start())

    def _close(self, status: str = "completed") -> bytes:
        if self._open is None:
            return b""
        item, self._open = self._open, None
        return self._events(item.end(status))

    def _events(self, events: Events) -> bytes:
        return b"".join(self._event(kind, **data) for kind, data in events)

    def _event(self, kind: str, **data: object) -> bytes:
        number = self._number
        self._number += 1
        if number <= self._after:
            return b""
        return server_sent({"type": kind, "sequence_number": number, **data}, kind)

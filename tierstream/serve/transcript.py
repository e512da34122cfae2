"""Answers as pieces, and what of an answer is left to show once part of it has been shown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from tierstream.serve.writing import in_order
from topics.answer_assembly import Piece
from topics.events import Delta
from topics.messages import RedactedThinkingPart, TextPart, ThinkingPart, ToolCall
from topics.results import Result

_THOUGHT = frozenset({"reasoning", "redacted"})


@dataclass(slots=True, eq=False)
class _Segment:
    """A part of an answer, as far as it is told."""

    kind: str
    index: int = 0
    id: str = ""
    name: str = ""
    signature: str | None = None
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Transcript:
    """Pieces of an answer in their order; segments as `AnswerAssembly` makes parts of them."""

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        self._segments: list[_Segment] = []
        self._calls: dict[int, _Segment] = {}
        self.extend(pieces)

    def __bool__(self) -> bool:
        return bool(self._segments)

    def extend(self, pieces: Iterable[Piece]) -> None:
        """Take pieces in."""
        for piece in pieces:
            self._add(Delta(kind="text", text=piece) if isinstance(piece, str) else piece)

    def _add(self, piece: Delta) -> None:
        if piece.kind == "tool_call":
            index = piece.index or 0
            call = self._calls.get(index)
            if call is None:
                call = self._calls[index] = self._new(_Segment("tool_call", index=index))
            call.id, call.name = call.id or piece.id or "", call.name or piece.name or ""
            call.texts.append(piece.text)
        elif piece.kind == "signature":
            self._open("reasoning").signature = piece.text
        elif piece.kind == "redacted":
            self._new(_Segment(piece.kind, texts=[piece.text]))
        else:
            self._open(piece.kind).texts.append(piece.text)

    def _open(self, kind: str) -> _Segment:
        last = self._segments[-1] if self._segments else None
        if last is None or last.kind != kind or last.signature is not None:
            last = self._new(_Segment(kind))
        return last

    def _new(self, segment: _Segment) -> _Segment:
        self._segments.append(segment)
        return segment

    def rest_of(self, whole: "Transcript") -> list[Piece] | None:
        """Return what of `whole` is left to show when this has been shown; None where this is no beginning of it.

        Thinking that was shown is no contradiction where the whole answer has none: not every provider repeats it.
        """
        shown = self._segments
        if not any(segment.kind in _THOUGHT for segment in whole._segments):  # noqa: SLF001 - of this class
            shown = [segment for segment in shown if segment.kind not in _THOUGHT]
        rest: list[Piece] = []
        last = len(shown) - 1
        for number, (before, after) in enumerate(zip_longest(shown, whole._segments)):  # noqa: SLF001
            if before is None:
                rest.extend(_pieces(after))
            elif after is None or (left := _left(before, after, may_go_on=number == last)) is None:
                return None
            else:
                rest.extend(left)
        return rest


def _left(before: _Segment, after: _Segment, *, may_go_on: bool) -> list[Piece] | None:
    """Return what a segment has beyond what was shown of it; None where that is something else."""
    text, whole = before.text, after.text
    is_same = before.kind == after.kind and before.id in {"", after.id} and before.name in {"", after.name}
    if not is_same or before.signature not in {None, after.signature} or not whole.startswith(text):
        return None
    if text == whole and before.signature == after.signature:
        return []
    if not may_go_on and before.kind != "tool_call":
        # Something else has been shown behind it.
        return None
    left = _Segment(after.kind, before.index, texts=[whole[len(text) :]] if len(whole) > len(text) else [])
    left.signature = after.signature if before.signature is None else None
    return list(_pieces(left))


def _pieces(segment: _Segment) -> Iterator[Piece]:
    text = segment.text
    if segment.kind == "text":
        yield text
    elif segment.kind == "tool_call":
        yield Delta(kind="tool_call", text=text, index=segment.index, id=segment.id or None, name=segment.name or None)
    elif text or segment.signature is None:
        yield Delta(kind="redacted" if segment.kind == "redacted" else "reasoning", text=text)
    if segment.signature is not None:
        yield Delta(kind="signature", text=segment.signature)


def pieces_of_result(result: Result) -> list[Piece]:
    """Return a whole answer as pieces, in the order of its parts."""
    index = {call.id: number for number, call in enumerate(result.tool_calls)}
    pieces: list[Piece] = []
    for item in in_order(result):
        match item:
            case TextPart() if item.text:
                pieces.append(item.text)
            case ThinkingPart():
                pieces.append(Delta(kind="reasoning", text=item.thinking))
                if item.signature is not None:
                    pieces.append(Delta(kind="signature", text=item.signature))
            case RedactedThinkingPart():
                pieces.append(Delta(kind="redacted", text=item.data))
            case ToolCall():
                name, arguments = item.function.name, item.function.arguments
                pieces.append(Delta(kind="tool_call", text=arguments, index=index[item.id], id=item.id, name=name))
    return pieces

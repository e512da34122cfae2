"""Answers as pieces, and what of an answer is left to show once part of it has been shown."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from tierstream.serve.writing import in_order
from topics.answer_assembly import AnswerAssembly, Piece, Segment
from topics.events import Delta
from topics.messages import RedactedThinkingPart, TextPart, ThinkingPart, ToolCall
from topics.results import Result

_THOUGHT = frozenset({"reasoning", "redacted"})


class Transcript:
    """Pieces of an answer in their order, put together as far as they are told."""

    def __init__(self, pieces: Iterable[Piece] = ()) -> None:
        self._answer = AnswerAssembly()
        self.extend(pieces)

    def __bool__(self) -> bool:
        return bool(self.segments)

    @property
    def segments(self) -> list[Segment]:
        """The parts of the answer."""
        return self._answer.segments

    def extend(self, pieces: Iterable[Piece]) -> None:
        """Take pieces in."""
        for piece in pieces:
            self._answer.add(piece)

    def rest_of(self, whole: "Transcript") -> list[Piece] | None:
        """Return what of `whole` is left to show when this has been shown; None where this is no beginning of it.

        Thinking that was shown is no contradiction where the whole answer has none: not every provider repeats it.
        """
        shown = self.segments
        if not any(segment.kind in _THOUGHT for segment in whole.segments):
            shown = [segment for segment in shown if segment.kind not in _THOUGHT]
        rest: list[Piece] = []
        last = len(shown) - 1
        for number, (before, after) in enumerate(zip_longest(shown, whole.segments)):
            if before is None:
                rest.extend(_pieces(after))
            elif after is None or (left := _left(before, after, may_go_on=number == last)) is None:
                return None
            else:
                rest.extend(left)
        return rest


def _left(before: Segment, after: Segment, *, may_go_on: bool) -> list[Piece] | None:
    """Return what a segment has beyond what was shown of it; None where that is something else."""
    text, whole = before.text, after.text
    is_same = before.kind == after.kind and before.call_id in {"", after.call_id} and before.name in {"", after.name}
    if not is_same or before.signature not in {None, after.signature} or not whole.startswith(text):
        return None
    if text == whole and before.signature == after.signature:
        return []
    if not may_go_on and before.kind != "tool_call":
        # Something else has been shown behind it.
        return None
    left = Segment(after.kind, index=before.index, texts=[whole[len(text) :]] if len(whole) > len(text) else [])
    left.signature = after.signature if before.signature is None else None
    return list(_pieces(left))


def _pieces(segment: Segment) -> Iterator[Piece]:
    text = segment.text
    if segment.kind == "text":
        yield text
    elif segment.kind == "tool_call":
        yield Delta(
            kind="tool_call", text=text, index=segment.index, id=segment.call_id or None, name=segment.name or None
        )
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

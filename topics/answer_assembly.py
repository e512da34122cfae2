"""An answer put together from its pieces, as providers stream them and `llm.chunks` has them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from topics.events import Chunk, Delta
from topics.messages import (
    AnswerPart,
    FunctionCall,
    RedactedThinkingPart,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolCallPlace,
)

Piece = str | Delta
"""Text, which most of an answer is, or something else."""


@dataclass(slots=True, eq=False)
class Segment:
    """A part of an answer as far as it is told; it may go on.

    Attributes:
        kind: As a Delta has it: text, reasoning, redacted or tool_call.
        texts: What was added to it, in order.
        signature: Of a reasoning; it ends it.
        index: Of a call: which one, from 0.
        call_id: Of a call; empty where it was not named.
        name: Of a call: the function.
    """

    kind: str
    texts: list[str] = field(default_factory=list)
    signature: str | None = None
    index: int = 0
    call_id: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """All that was added."""
        return "".join(self.texts)


class AnswerAssembly:
    """What an answer comes to, piece by piece.

    A text that follows something else begins a new part, and so does a reasoning; of a call each piece names its index.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        """Its parts, in the order in which they began."""
        self._calls: dict[int, Segment] = {}

    def add(self, piece: Piece) -> None:
        """Take a piece in."""
        if isinstance(piece, str):
            self._open("text").texts.append(piece)
            return
        match piece.kind:
            case "text" | "reasoning":
                self._open(piece.kind).texts.append(piece.text)
            case "signature":
                self._open("reasoning").signature = piece.text
            case "redacted":
                self.segments.append(Segment("redacted", [piece.text]))
            case "tool_call":
                self._add_to_call(piece)

    def _open(self, kind: str) -> Segment:
        last = self.segments[-1] if self.segments else None
        if last is None or last.kind != kind or last.signature is not None:
            last = Segment(kind)
            self.segments.append(last)
        return last

    def _add_to_call(self, piece: Delta) -> None:
        index = piece.index or 0
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = Segment("tool_call", index=index)
            self.segments.append(call)
        call.call_id = call.call_id or piece.id or ""
        call.name = call.name or piece.name or ""
        call.texts.append(piece.text)

    @property
    def text(self) -> str:
        """All text: neither reasoning nor calls."""
        return "".join(part.text for part in self.segments if part.kind == "text")

    @property
    def written(self) -> str:
        """Everything that the model wrote and somebody has to pay for, as far as it is told."""
        return "".join(part.name + part.text for part in self.segments)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls in their order."""
        return tuple(
            ToolCall(id=call_id, function=FunctionCall(name=call.name, arguments=call.text))
            for call_id, call in self._named_calls()
        )

    @property
    def parts(self) -> tuple[AnswerPart, ...] | None:
        """The answer as parts, where text with the calls behind it would not say all of it; else None."""
        in_order = [self._calls[index] for index in sorted(self._calls)]
        before = self.segments[: len(self.segments) - len(in_order)]
        if self.segments == [*before, *in_order] and [part.kind for part in before] in ([], ["text"]):
            return None
        places = {id(call): call_id for call_id, call in self._named_calls()}
        return tuple(_part(part, places) for part in self.segments)

    def _named_calls(self) -> Iterator[tuple[str, Segment]]:
        """Yield the calls in their order, each with its id.

        One whose id the provider never named, or had given to another call of the answer, is known by its index.
        """
        taken: set[str] = set()
        for index, call in sorted(self._calls.items()):
            call_id = call.call_id if call.call_id and call.call_id not in taken else f"call_{index}"
            taken.add(call_id)
            yield call_id, call


def pieces_of(chunk: Chunk) -> tuple[Piece, ...]:
    """Return what a chunk holds, in order."""
    return chunk.deltas or ((chunk.text,) if chunk.text else ())


def _part(part: Segment, places: dict[int, str]) -> AnswerPart:
    text = part.text
    match part.kind:
        case "text":
            return TextPart(type="text", text=text)
        case "reasoning":
            return ThinkingPart(type="thinking", thinking=text, signature=part.signature)
        case "redacted":
            return RedactedThinkingPart(type="redacted_thinking", data=text)
        case _:
            return ToolCallPlace(type="tool_call", id=places[id(part)])

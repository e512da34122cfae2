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
class _Open:
    """A part that may go on."""

    kind: str
    texts: list[str] = field(default_factory=list)
    signature: str | None = None
    call_id: str = ""
    name: str = ""


class AnswerAssembly:
    """What an answer comes to, piece by piece.

    A text that follows something else begins a new part, and so does a reasoning; of a call each piece names its index.
    """

    def __init__(self) -> None:
        self._parts: list[_Open] = []
        self._calls: dict[int, _Open] = {}

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
                self._parts.append(_Open("redacted", [piece.text]))
            case "tool_call":
                self._add_to_call(piece)

    def _open(self, kind: str) -> _Open:
        last = self._parts[-1] if self._parts else None
        if last is None or last.kind != kind or last.signature is not None:
            last = _Open(kind)
            self._parts.append(last)
        return last

    def _add_to_call(self, piece: Delta) -> None:
        index = piece.index or 0
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = _Open("tool_call")
            self._parts.append(call)
        call.call_id = call.call_id or piece.id or ""
        call.name = call.name or piece.name or ""
        call.texts.append(piece.text)

    @property
    def text(self) -> str:
        """All text: neither reasoning nor calls."""
        return "".join(text for part in self._parts if part.kind == "text" for text in part.texts)

    @property
    def written(self) -> str:
        """Everything that the model wrote and somebody has to pay for, as far as it is told."""
        return "".join(part.name + "".join(part.texts) for part in self._parts)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls in their order."""
        return tuple(
            ToolCall(id=call_id, function=FunctionCall(name=call.name, arguments="".join(call.texts)))
            for call_id, call in self._named_calls()
        )

    @property
    def parts(self) -> tuple[AnswerPart, ...] | None:
        """The answer as parts, where text with the calls behind it would not say all of it; else None."""
        in_order = [self._calls[index] for index in sorted(self._calls)]
        before = self._parts[: len(self._parts) - len(in_order)]
        if self._parts == [*before, *in_order] and [part.kind for part in before] in ([], ["text"]):
            return None
        places = {id(call): call_id for call_id, call in self._named_calls()}
        return tuple(_part(part, places) for part in self._parts)

    def _named_calls(self) -> Iterator[tuple[str, _Open]]:
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


def _part(part: _Open, places: dict[int, str]) -> AnswerPart:
    text = "".join(part.texts)
    match part.kind:
        case "text":
            return TextPart(type="text", text=text)
        case "reasoning":
            return ThinkingPart(type="thinking", thinking=text, signature=part.signature)
        case "redacted":
            return RedactedThinkingPart(type="redacted_thinking", data=text)
        case _:
            return ToolCallPlace(type="tool_call", id=places[id(part)])

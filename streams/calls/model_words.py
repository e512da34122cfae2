"""What a model says, as records can hold it."""

from dataclasses import replace
from typing import Any

from streams.providers.base import ChatReply
from topics.answer_assembly import Piece
from topics.base import Record


def encodable_piece(piece: Piece) -> Piece:
    """Replace what can't be written as UTF-8: a lone surrogate, half of a character that a model never finished."""
    # Nearly every piece is a text, and there are many.
    if isinstance(piece, str):
        return piece if piece.isascii() else _replaced(piece)
    encodable: Piece = _encodable(piece)
    return encodable


def encodable_reply(reply: ChatReply) -> ChatReply:
    """The same of a whole answer: its text, calls, thinking and log probabilities."""
    fields = ("content", "tool_calls", "parts", "logprobs")
    return replace(reply, **{name: _encodable(getattr(reply, name)) for name in fields})


def _replaced(text: str) -> str:
    return text.encode(errors="replace").decode()


def _encodable(value: Any) -> Any:  # noqa: ANN401 - anything that a record holds
    match value:
        case str():
            return _replaced(value)
        case Record():
            return value.model_copy(update={name: _encodable(getattr(value, name)) for name in value.model_fields_set})
        case tuple() | list():
            return type(value)(map(_encodable, value))
        case dict():
            return {_encodable(key): _encodable(inner) for key, inner in value.items()}
        case _:
            return value

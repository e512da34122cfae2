"""Conversations with tools, images, files and thinking, as requests have them."""

from base64 import b64encode
from typing import Any

from topics.answer_assembly import Piece
from topics.events import Delta
from topics.messages import Message, Tool

PIXEL = "data:image/png;base64,aGk="
PDF = f"data:application/pdf;base64,{b64encode(b'%PDF-1.7').decode()}"


def said(role: str, content: Any, **fields: Any) -> Message:
    return Message.model_validate({"role": role, "content": content, **fields})


def call(call_id: str, name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name: str = "look", **function: Any) -> Tool:
    return Tool.model_validate({"type": "function", "function": {"name": name, **function}})


def text(said: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **fields}


def thinking(thought: str, signature: str | None = None) -> dict[str, Any]:
    return {"type": "thinking", "thinking": thought, "signature": signature}


def image(url: str = PIXEL, **fields: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def file(**source: Any) -> dict[str, Any]:
    return {"type": "file", "file": source}


LOOP = (
    said("user", "What is behind the door?"),
    said(
        "assistant",
        [
            thinking("Look first.", "sig=="),
            text("I look."),
            {"type": "tool_call", "id": "c1"},
            {"type": "redacted_thinking", "data": "xyz"},
        ],
        tool_calls=[call("c1", arguments='{"at":"door"}'), call("c2", "listen")],
    ),
    said("tool", "a cat", tool_call_id="c1"),
    said("tool", "too loud", tool_call_id="c2", is_error=True),
)
"""An open tool loop: the model thought, spoke, called two tools, and has their results."""


PIECES: tuple[Piece, ...] = (
    Delta(kind="reasoning", text="Look "),
    Delta(kind="reasoning", text="first."),
    Delta(kind="signature", text="sig=="),
    Delta(kind="redacted", text="xyz"),
    "I ",
    "look.",
    Delta(kind="tool_call", index=0, id="c1", name="look"),
    Delta(kind="tool_call", index=0, text='{"at":'),
    Delta(kind="tool_call", index=0, text='"door"}'),
    Delta(kind="tool_call", index=1, id="c2", name="listen", text="{}"),
)
"""An answer as it streams: thoughts, a text and two calls."""

"""What was asked and answered as text, calls and their results included, for another model to read."""

import json
from collections.abc import Iterable
from typing import Final

from pydantic_core import from_json

from streams.validation.fenced import fenced
from streams.validation.json_schema import schema_of
from topics.messages import FilePart, ImagePart, Message, Part, TextPart, Tool, ToolCall
from topics.requests import Request

_DESCRIPTION: Final = 500
"""Characters of what a tool says of itself that are shown."""


def asked_sections(request: Request) -> list[str]:
    """Put what was asked between tags: the tools that were offered, what was said, and the form of the answer.

    The question is the last message of the user, or the last one of all where no user speaks; what stands behind it are
    the steps since.
    """
    messages = request.messages
    at = next((n for n in reversed(range(len(messages))) if messages[n].role == "user"), len(messages) - 1)
    schema = schema_of(request)
    sections = (
        ("tools", "\n".join(map(_tool_line, request.tools))),
        ("given", _conversation(messages[:at])),
        ("question", _message_text(messages[at])),
        ("steps", _conversation(messages[at + 1 :])),
        ("schema", json.dumps(schema, ensure_ascii=False) if schema is not None else ""),
    )
    return [fenced(tag, text) for tag, text in sections if text or tag == "question"]


def answer_text(content: str, tool_calls: Iterable[ToolCall]) -> str:
    """Show an answer: its text, and behind it a line of JSON for each call."""
    calls = [_call_line(call) for call in tool_calls]
    return "\n".join([content, *calls] if content or not calls else calls)


def _conversation(messages: Iterable[Message]) -> str:
    return "\n".join(f"{message.role}: {_message_text(message)}" for message in messages)


def _message_text(message: Message) -> str:
    """Show a message: its text, its calls, and by a word each the images and files that it has; not its thinking."""
    shown = (_shown(part) for part in message.in_order())
    return "\n".join(text for text in shown if text is not None)


def _shown(part: Part | ToolCall) -> str | None:
    match part:
        case TextPart():
            return part.text
        case ImagePart():
            return "[image]"
        case FilePart():
            return "[file]"
        case ToolCall():
            return _call_line(part)
        case _:
            return None


def _call_line(call: ToolCall) -> str:
    arguments = call.function.arguments
    try:
        shown = from_json(arguments.encode("utf-8", "surrogatepass"), allow_inf_nan=False)
    except ValueError:
        # What is broken is shown as it is: that may be what is wrong with it.
        shown = arguments
    return json.dumps({"call": call.function.name, "arguments": shown}, ensure_ascii=False)


def _tool_line(tool: Tool) -> str:
    description = " ".join((tool.function.description or "").split())[:_DESCRIPTION]
    return f"{tool.function.name}: {description}" if description else tool.function.name

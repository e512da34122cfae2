"""Items of responses as messages of a Request.

What the assistant says, thinks and calls is an item each there, and one message here until somebody else speaks.
Source: https://platform.openai.com/docs/guides/conversation-state.
"""

from collections.abc import Mapping
from typing import Any, Final

from tierstream.serve.assistant_turn import AssistantTurn
from tierstream.serve.reading import located, unserved, validated
from tierstream.serve.responses.body import (
    CallItem,
    CallOutputItem,
    FileContent,
    GivenContent,
    GivenItem,
    ImageContent,
    Item,
    ReasoningItem,
    RefusalContent,
    SpokenItem,
    TextContent,
)
from tierstream.serve.responses.reasoning import unsealed
from tierstream.serve.surface import DoorError
from topics.messages import (
    AnswerPart,
    FilePart,
    FileSource,
    FunctionCall,
    ImagePart,
    ImageUrl,
    Message,
    TextPart,
    ThinkingPart,
    ToolCall,
)

_ITEMS: Final[Mapping[str, type[Item]]] = {
    "function_call": CallItem,
    "function_call_output": CallOutputItem,
    "reasoning": ReasoningItem,
}
_SERVED: Final = "items are messages, function calls, their outputs and reasoning"


def messages_of(given: object) -> tuple[Message, ...]:
    """Translate the `input` of a body.

    Raises:
        DoorError: It is none, or has items that are not served here.
    """
    if isinstance(given, str):
        return (Message(role="user", content=given),)
    if not isinstance(given, list):
        raise DoorError(400, "invalid_request", "needs a text or a list of items", param="input")
    messages: list[Message] = []
    turn = AssistantTurn()
    for number, raw in enumerate(given):
        path = f"input[{number}]"
        item = _item(raw, path)
        if isinstance(item, SpokenItem | CallItem | ReasoningItem):
            _say(turn, item, path)
            continue
        if turn:
            messages.append(turn.message())
            turn = AssistantTurn()
        with located(path):
            messages.append(_given(item))
    return (*messages, turn.message()) if turn else tuple(messages)


def _item(raw: object, path: str) -> Item:
    if not isinstance(raw, Mapping):
        raise DoorError(400, "invalid_request", _SERVED, param=path)
    kind = raw.get("type", "message")
    if kind == "item_reference":
        reason = "items are not kept here: send the item, or name the answer by previous_response_id"
        raise DoorError(400, "unsupported_value", reason, param=path)
    if not isinstance(kind, str) or (kind != "message" and kind not in _ITEMS):
        raise unserved(kind, f"{path}.type", _SERVED)
    if any(isinstance(part, Mapping) and part.get("file_id") for part in _parts(raw)):
        raise DoorError(400, "unsupported_value", "files are not kept here: send their data", param=path)
    spoken = kind == "message" and raw.get("role") == "assistant"
    model = _ITEMS.get(kind) or (SpokenItem if spoken else GivenItem)
    return validated(model, raw, at=path)


def _parts(raw: Mapping[str, Any]) -> list[object]:
    content = raw.get("content") or raw.get("output")
    return content if isinstance(content, list) else []


def _say(turn: AssistantTurn, item: SpokenItem | CallItem | ReasoningItem, path: str) -> None:
    with located(path):
        for said in _spoken(item):
            turn.add(said, path)


def _spoken(item: SpokenItem | CallItem | ReasoningItem) -> list[AnswerPart | ToolCall]:
    match item:
        case SpokenItem(content=str(text)):
            return [TextPart(type="text", text=text)]
        case SpokenItem(content=parts):
            return [
                TextPart(type="text", text=part.refusal if isinstance(part, RefusalContent) else part.text)
                for part in parts
                if isinstance(part, TextContent | RefusalContent)
            ]
        case CallItem():
            function = FunctionCall(name=item.name, arguments=item.arguments)
            return [ToolCall(id=item.call_id, function=function)]
        case ReasoningItem():
            return _thought(item)


def _thought(item: ReasoningItem) -> list[AnswerPart | ToolCall]:
    """Read what was thought; what another vendor has encrypted tells nobody here anything."""
    if (thought := unsealed(item.encrypted_content)) is not None:
        return [thought]
    text = "\n\n".join(part.text for part in item.content or item.summary)
    return [ThinkingPart(type="thinking", thinking=text)] if text else []


def _given(item: GivenItem | CallOutputItem) -> Message:
    if isinstance(item, CallOutputItem):
        return Message(role="tool", content=_content(item.output), tool_call_id=item.call_id)
    # The system speaks in `instructions` alone, so that the next request can leave them out of what it goes on with.
    role = "developer" if item.role == "system" else item.role
    return Message(role=role, content=_content(item.content))


def _content(content: str | tuple[GivenContent, ...]) -> str | tuple[TextPart | ImagePart | FilePart, ...]:
    return content if isinstance(content, str) else tuple(map(_part, content))


def _part(part: GivenContent) -> TextPart | ImagePart | FilePart:
    match part:
        case TextContent():
            return TextPart(type="text", text=part.text)
        case ImageContent():
            detail = "high" if part.detail == "original" else part.detail
            return ImagePart(type="image_url", image_url=ImageUrl(url=part.image_url, detail=detail))
        case FileContent():
            source = FileSource(file_data=part.file_data, file_url=part.file_url, filename=part.filename)
            return FilePart(type="file", file=source)

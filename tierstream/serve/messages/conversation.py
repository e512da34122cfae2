"""Turns of Anthropic's messages as messages of a Request.

The results of calls are blocks of the user's turn there, and messages of their own here: they come first, then what
else the user says. Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls.
"""

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

from tierstream.serve.assistant_turn import AssistantTurn
from tierstream.serve.messages.body import (
    Base64Source,
    ContentSource,
    DocumentBlock,
    ImageBlock,
    RedactedThinkingBlock,
    SeenBlock,
    SpokenBlock,
    SpokenTurn,
    SystemTurn,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
    UserTurn,
)
from tierstream.serve.reading import located
from topics.base import MAX_ID_LENGTH
from topics.messages import (
    AnswerPart,
    CacheControl,
    FilePart,
    FileSource,
    FunctionCall,
    ImagePart,
    ImageUrl,
    Message,
    RedactedThinkingPart,
    TextPart,
    ThinkingPart,
    ToolCall,
)

SeenPart = TextPart | ImagePart | FilePart


def messages_of(turns: Sequence[UserTurn | SpokenTurn | SystemTurn]) -> tuple[Message, ...]:
    """Translate turns.

    Raises:
        DoorError: There is something in one that records don't take.
    """
    messages: list[Message] = []
    for number, turn in enumerate(turns):
        path = f"messages[{number}].content"
        match turn:
            case UserTurn():
                messages += _of_user(turn, path)
            case SpokenTurn():
                messages.append(_of_assistant(turn, path))
            case SystemTurn():
                messages.append(system_message(turn.content))
    return tuple(messages)


def system_message(content: str | tuple[TextBlock, ...]) -> Message:
    """Translate what the system says."""
    return Message(role="system", content=content if isinstance(content, str) else tuple(map(_text, content)))


def cached_to_here(messages: tuple[Message, ...], cache_control: CacheControl) -> tuple[Message, ...]:
    """Ask for the prompt to be cached up to its end, as a cache control of the whole body does."""
    last = messages[-1] if messages else None
    if last is None or last.role == "assistant" or last.content is None:
        return messages
    parts: tuple[Any, ...] = last.parts or (TextPart(type="text", text=last.text),)
    return (*messages[:-1], last.model_copy(update={"content": _with_cache(parts, cache_control)}))


def _with_cache(parts: tuple[SeenPart, ...], cache_control: CacheControl | None) -> tuple[SeenPart, ...]:
    if cache_control is None or not parts:
        return parts
    return (*parts[:-1], parts[-1].model_copy(update={"cache_control": cache_control}))


def _of_user(turn: UserTurn, path: str) -> list[Message]:
    if isinstance(turn.content, str):
        return [Message(role="user", content=turn.content)]
    results: list[Message] = []
    said: list[SeenPart] = []
    for number, block in enumerate(turn.content):
        here = f"{path}[{number}]"
        if isinstance(block, ToolResultBlock):
            results.append(_result(block, here))
        else:
            said += _seen(block, here)
    if said or not results:
        results.append(Message(role="user", content=tuple(said)))
    return results


def _result(block: ToolResultBlock, path: str) -> Message:
    content: str | tuple[SeenPart, ...]
    if isinstance(block.content, str):
        text = TextPart(type="text", text=block.content)
        content = block.content if block.cache_control is None else _with_cache((text,), block.cache_control)
    else:
        given = [_seen(inner, f"{path}.content[{number}]") for number, inner in enumerate(block.content)]
        content = _with_cache(tuple(chain.from_iterable(given)), block.cache_control)
    with located(path):
        return Message(role="tool", content=content, tool_call_id=block.tool_use_id, is_error=block.is_error or None)


def _of_assistant(turn: SpokenTurn, path: str) -> Message:
    if isinstance(turn.content, str):
        return Message(role="assistant", content=turn.content)
    said = AssistantTurn()
    for number, block in enumerate(turn.content):
        here = f"{path}[{number}]"
        with located(here):
            item = _spoken(block)
        said.add(item, here)
    return said.message() if said else Message(role="assistant", content="")


def _spoken(block: SpokenBlock) -> AnswerPart | ToolCall:
    match block:
        case TextBlock():
            return _text(block)
        case ThinkingBlock():
            return ThinkingPart(type="thinking", thinking=block.thinking, signature=block.signature or None)
        case RedactedThinkingBlock():
            return RedactedThinkingPart(type="redacted_thinking", data=block.data)
        case ToolUseBlock():
            arguments = json.dumps(block.input, ensure_ascii=False, separators=(",", ":"))
            return ToolCall(id=block.id, function=FunctionCall(name=block.name, arguments=arguments))


def _text(block: TextBlock) -> TextPart:
    return TextPart(type="text", text=block.text, cache_control=block.cache_control)


def _seen(block: SeenBlock, path: str) -> list[SeenPart]:
    with located(path):
        match block:
            case TextBlock():
                return [_text(block)]
            case ImageBlock():
                return [_image(block)]
            case DocumentBlock():
                return _document(block)


def _image(block: ImageBlock) -> ImagePart:
    url = _data_url(block.source) if isinstance(block.source, Base64Source) else block.source.url
    return ImagePart(type="image_url", image_url=ImageUrl(url=url), cache_control=block.cache_control)


def _document(block: DocumentBlock) -> list[SeenPart]:
    """Translate a document: one that is text or blocks is those, which every model can read; else it is a file."""
    source = block.source
    about = (block.context,) if isinstance(source, Base64Source | UrlSource) else (block.title, block.context)
    parts: list[SeenPart] = [TextPart(type="text", text=text) for text in about if text]
    match source:
        case TextSource():
            parts.append(TextPart(type="text", text=source.data))
        case ContentSource():
            parts += [_text(inner) if isinstance(inner, TextBlock) else _image(inner) for inner in source.blocks]
        case _:
            parts.append(_file(source, block.title))
    return list(_with_cache(tuple(parts), block.cache_control))


def _file(source: Base64Source | UrlSource, title: str | None) -> FilePart:
    given = {"file_data": _data_url(source)} if isinstance(source, Base64Source) else {"file_url": source.url}
    return FilePart(type="file", file=FileSource(**given, filename=title[:MAX_ID_LENGTH] if title else None))


def _data_url(source: Base64Source) -> str:
    return f"data:{source.media_type};base64,{source.data}"

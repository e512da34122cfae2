"""The messages of a request, whichever vendor's they are: what is asked, what came back from tools, and its tokens."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from tierstream.simulator.chat import ApiError, CachePoint, Conversation, Input, Toolbox, ToolCall
from tierstream.simulator.tokens import MESSAGE_OVERHEAD, REPLY_PRIMING, count_tokens

IMAGE_TOKENS: Final = 800
"""Of any image. Vendors count its pixels, and nothing here decodes it."""
FILE_TOKENS: Final = 1500
"""Of any file that is not text: a page or so."""
_NOTE: Final = "<finding>"
"""In what the router adds behind a conversation, which is not what is asked."""
_SYSTEM: Final = frozenset({"system", "developer"})


@dataclass(slots=True)
class Turn:
    """One message, or one block of it.

    Attributes:
        text: What its role says.
        unsaid: Text that a model reads besides: its own thinking, and documents.
        results: The texts of the results of tools.
    """

    role: str
    text: str = ""
    unsaid: str = ""
    calls: tuple[ToolCall, ...] = ()
    results: tuple[str, ...] = ()
    images: int = 0
    files: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but what its role says, as most are."""
        return not (self.calls or self.results or self.unsaid or self.images or self.files)

    @property
    def tokens(self) -> int:
        """The tokens in it, without what the chat format adds."""
        if self.is_plain:
            return count_tokens(self.text)
        media = self.images * IMAGE_TOKENS + self.files * FILE_TOKENS
        called = (text for call in self.calls for text in (call.name, call.arguments))
        return sum(map(count_tokens, (self.text, self.unsaid, *self.results, *called))) + media

    @property
    def asks(self) -> bool:
        """Whether it is a user's question, and not only results of tools or a note of the router."""
        return self.role == "user" and (bool(self.text) or not self.results) and _NOTE not in self.text


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a prompt that is cached as a whole; `ttl_s` as in `CachePoint`."""

    content: str
    tokens: int
    ttl_s: float | None = None


def joined(role: str, blocks: Sequence[Turn]) -> Turn:
    """The blocks of a message as one turn."""
    if len(blocks) == 1:
        return blocks[0]
    return Turn(
        role,
        text="".join(block.text for block in blocks),
        unsaid="".join(block.unsaid for block in blocks),
        calls=tuple(call for block in blocks for call in block.calls),
        results=tuple(result for block in blocks for result in block.results),
        images=sum(block.images for block in blocks),
        files=sum(block.files for block in blocks),
    )


def conversation_of(
    turns: Sequence[Turn],
    *,
    toolbox: Toolbox,
    system: str = "",
    points: tuple[CachePoint, ...] = (),
) -> Conversation:
    """What the turns come to.

    Args:
        turns: At least one.
        toolbox: The tools on offer.
        system: A system prompt that came outside the messages.
        points: Where the prompt may be cached.
    """
    systems = [system] if system else []
    asked: str | None = None
    results: list[str] = []
    last_call: ToolCall | None = None
    others = sum(tool.tokens for tool in toolbox.tools)
    for turn in turns:
        if turn.role in _SYSTEM:
            systems.append(turn.text)
            continue
        others += turn.tokens + MESSAGE_OVERHEAD
        if turn.asks or (turn.role == "user" and asked is None):
            asked, last_call = turn.text, None
            results.clear()
        else:
            results += turn.results
            last_call = turn.calls[-1] if turn.calls else last_call
    system_tokens = sum(count_tokens(text) + MESSAGE_OVERHEAD for text in systems)
    return Conversation(
        system="\n".join(systems),
        prompt=turns[-1].text if asked is None else asked,
        input_tokens=system_tokens + others + REPLY_PRIMING,
        system_tokens=system_tokens,
        results=tuple(results),
        last_call=last_call,
        needs=_needs([turn for turn in turns if not turn.is_plain], toolbox),
        cache_points=points,
    )


def _needs(turns: Iterable[Turn], toolbox: Toolbox) -> frozenset[Input]:
    needs: set[Input] = {"tools"} if toolbox.tools else set()
    for turn in turns:
        if turn.calls or turn.results:
            needs.add("tools")
        if turn.images:
            needs.add("images")
        if turn.files:
            needs.add("files")
    return frozenset(needs)


def cache_points(segments: Sequence[Segment]) -> tuple[CachePoint, ...]:
    """The points behind each segment of a prompt; a point's key follows from all segments up to it."""
    tokens = accumulate(segment.tokens for segment in segments)
    key = b""
    points: list[CachePoint] = []
    for segment, total in zip(segments, tokens, strict=True):
        key = hashlib.blake2b(key + segment.content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        points.append(CachePoint(key, total, segment.ttl_s))
    return tuple(points)


def listed_messages(messages: object, missing: str) -> list[dict[str, Any]]:
    """What a body has under `messages`.

    Args:
        messages: It.
        missing: The vendor's message for an absent or empty list.

    Raises:
        ApiError: The list is absent or empty, or holds something else than messages.
    """
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, missing, param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            where = f"messages.{index}"
            raise ApiError(400, f"{where}: expected an object with a role and content", param=where)
    return messages


def content_parts(content: object, where: str) -> list[dict[str, Any]]:
    """The parts of a message's content; a string is one part of text, and nothing is none.

    Raises:
        ApiError: It is neither.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        return []
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise ApiError(400, f"{where}: expected a string or a list of content parts", param=where)
    return content


def string_at(part: dict[str, Any], key: str, where: str) -> str:
    """A string that has to be there, or ApiError."""
    value = part.get(key)
    if not isinstance(value, str):
        raise ApiError(400, f"{where}.{key}: expected a string", param=f"{where}.{key}")
    return value

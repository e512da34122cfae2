"""Reading Anthropic's messages, whole and in events.

Sources: https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/build-with-claude/streaming
and, for what ends an answer, https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from streams.providers.arriving_answer import ArrivingAnswer, EventError, call_id_named, model_named
from streams.providers.base import ChatCall
from topics.answer_assembly import Piece
from topics.events import Delta
from topics.journal import Tokens, Usage

_FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    # The API stopped in the middle of its own tools: there was more to come.
    "pause_turn": "length",
    "refusal": "content_filter",
    "tool_use": "tool_calls",
}


class _OutputDetails(BaseModel):
    thinking_tokens: Tokens | None = None


class _Usage(BaseModel):
    input_tokens: Tokens
    output_tokens: Tokens
    cache_creation_input_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None
    output_tokens_details: _OutputDetails | None = None


class _Block(BaseModel):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class _Message(BaseModel):
    model: Any = None
    content: list[_Block]
    stop_reason: str | None = None
    usage: _Usage | None = None


class _PartialUsage(_Usage):
    """Cumulative: what a later event does not name keeps its value."""

    input_tokens: Tokens | None = None  # type: ignore[assignment]
    output_tokens: Tokens | None = None  # type: ignore[assignment]


class _MessageStart(BaseModel):
    model: Any = None
    usage: _PartialUsage | None = None


class _Delta(BaseModel):
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(BaseModel):
    type: str
    message: _MessageStart | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _PartialUsage | None = None
    error: Any = None


@dataclass(slots=True)
class _OpenBlock:
    """A block whose end has not come."""

    started_as: _Block
    call: int
    """Of a tool use: which one of the answer, from 0."""
    signature: list[str] = field(default_factory=list)
    has_arguments: bool = False


class AnthropicMessage(ArrivingAnswer):
    """A message, or its events; blocks and events of unknown types are passed over, as versioning asks for."""

    def __init__(self, call: ChatCall) -> None:
        super().__init__(call)
        self._counted: dict[str, Any] = {}
        self._calls = 0
        self._open: _OpenBlock | None = None

    def read_whole(self, content: bytes) -> Iterator[Piece]:
        """Take a message in."""
        message = _Message.model_validate_json(content)
        self.model = model_named(message.model)
        self.finish_reason = _FINISH_REASONS.get(message.stop_reason or "", "other")
        if message.usage is not None:
            self.usage = _read_usage(message.usage)
        for block in message.content:
            yield from self._begin(block)
            yield from self._end()

    def read(self, data: str) -> Iterator[Piece]:
        """Take an event in."""
        event = _Event.model_validate_json(data)
        match event.type:
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
                self.model = model_named(event.message.model)
            case "content_block_start" if event.content_block is not None:
                yield from self._begin(event.content_block)
            case "content_block_delta" if event.delta is not None:
                yield from self._go_on(event.delta)
            case "content_block_stop":
                yield from self._end()
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason is not None:
                    self.finish_reason = _FINISH_REASONS.get(event.delta.stop_reason, "other")
            case "message_stop":
                self.ended = True
            case "error":
                raise EventError(event.error)

    def _begin(self, block: _Block) -> Iterator[Piece]:
        self._open = _OpenBlock(block, self._calls)
        match block.type:
            case "text" if block.text:
                yield block.text
            case "thinking":
                yield from self._think(block.thinking, block.signature)
            case "redacted_thinking":
                yield Delta(kind="redacted", text=block.data or "")
            case "tool_use":
                yield Delta(kind="tool_call", index=self._calls, id=call_id_named(block.id), name=block.name)
                self._calls += 1

    def _go_on(self, delta: _Delta) -> Iterator[Piece]:
        block = self._open
        if delta.text:
            yield delta.text
        yield from self._think(delta.thinking, delta.signature)
        if delta.partial_json and block is not None and block.started_as.type == "tool_use":
            block.has_arguments = True
            yield Delta(kind="tool_call", index=block.call, text=delta.partial_json)

    def _think(self, thinking: str | None, signature: str | None) -> Iterator[Piece]:
        if thinking:
            yield Delta(kind="reasoning", text=thinking)
        if signature and self._open is not None:
            self._open.signature.append(signature)

    def _end(self) -> Iterator[Piece]:
        """A signature is told whole, and arguments that came with the start, as those of a tool without any do."""
        block, self._open = self._open, None
        if block is None:
            return
        if block.signature:
            yield Delta(kind="signature", text="".join(block.signature))
        if block.started_as.type == "tool_use" and not block.has_arguments:
            arguments = json.dumps(block.started_as.input or {}, ensure_ascii=False, separators=(",", ":"))
            yield Delta(kind="tool_call", index=block.call, text=arguments)

    def _count(self, usage: _PartialUsage | None) -> None:
        if usage is not None:
            self._counted.update(usage.model_dump(exclude_none=True))
        if {"input_tokens", "output_tokens"} <= self._counted.keys():
            self.usage = _read_usage(_Usage.model_validate(self._counted))


def _read_usage(usage: _Usage) -> Usage:
    """Anthropic counts cached input apart from `input_tokens`; ours includes it."""
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    thinking = (usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else None) or 0
    return Usage(
        input=usage.input_tokens + cached + written,
        output=usage.output_tokens,
        cached=cached,
        cache_written=written,
        reasoning=min(thinking, usage.output_tokens),
    )

"""Anthropic's messages, through its SDK.

Sources: https://platform.claude.com/docs/en/api/messages and, for schemas,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs.
"""

import json
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from streams.providers.base import ChatCall, ChatReply
from streams.providers.sdk_provider import SdkProvider
from streams.providers.streamed import EventError, StreamedAnswer, estimate_usage, model_named
from streams.providers.vendor_sdk import Sdk
from topics.journal import Tokens, Usage

# The answer is checked against the schema in any case; asking is better than giving up the provider.
_SCHEMA_INSTRUCTION: Final = "Reply with one JSON value that satisfies this JSON Schema, and with nothing else: "
_FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
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
    stop_reason: str | None = None


class _Event(BaseModel):
    type: str
    message: _MessageStart | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _PartialUsage | None = None
    error: Any = None


class StreamedMessage(StreamedAnswer):
    """A message in events. Source: https://platform.claude.com/docs/en/build-with-claude/streaming."""

    def __init__(self, call: ChatCall) -> None:
        super().__init__(call)
        self._counted: dict[str, Any] = {}

    def read(self, data: str) -> str:
        """Take an event in; types that are not known are passed over, as the API's versioning asks for."""
        event = _Event.model_validate_json(data)
        match event.type:
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
                self.model = model_named(event.message.model)
            case "content_block_start" if event.content_block is not None:
                return event.content_block.text or ""
            case "content_block_delta" if event.delta is not None:
                return event.delta.text or ""
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason is not None:
                    self.finish_reason = _FINISH_REASONS.get(event.delta.stop_reason, "other")
            case "message_stop":
                self.ended = True
            case "error":
                raise EventError(event.error)
        return ""

    def _count(self, usage: _PartialUsage | None) -> None:
        if usage is not None:
            self._counted.update(usage.model_dump(exclude_none=True))
        if {"input_tokens", "output_tokens"} <= self._counted.keys():
            self.usage = _read_usage(_Usage.model_validate(self._counted))


class AnthropicProvider(SdkProvider):
    """Anthropic's API; its base URL is the host, without the path `/v1`."""

    vendor_url: ClassVar = "https://api.anthropic.com"
    path: ClassVar = "/v1/messages"
    streamed_answer: ClassVar = StreamedMessage

    def load_sdk(self) -> Sdk:
        """Import the SDK."""
        import httpx2  # noqa: PLC0415
        from anthropic import AsyncAnthropic, DefaultAioHttpClient  # noqa: PLC0415

        return Sdk(AsyncAnthropic, DefaultAioHttpClient, httpx2)

    def request_body(self, call: ChatCall) -> dict[str, Any]:
        """Write a message request.

        The API version that the SDK speaks, 2026-10-21, refuses temperature and top_p; it has no seed either.
        Those are left out: an answer without them is better than none.
        """
        systems = [message.text for message in call.prompt.messages if message.role in {"system", "developer"}]
        turns = [
            {"role": message.role, "content": message.text}
            for message in call.prompt.messages
            if message.role in {"user", "assistant"}
        ]
        if not turns:
            # The API wants at least one turn; instructions alone are then what the user says.
            turns, systems = [{"role": "user", "content": "\n\n".join(systems)}], []
        body: dict[str, Any] = {"model": call.model.model, "messages": turns, "max_tokens": call.max_tokens}
        if call.prompt.response_schema is not None:
            supported = _supported(call.prompt.response_schema)
            if supported is not None:
                body["output_config"] = {"format": {"type": "json_schema", "schema": supported}}
            else:
                systems.append(_SCHEMA_INSTRUCTION + json.dumps(call.prompt.response_schema, ensure_ascii=False))
        if systems:
            body["system"] = "\n\n".join(systems)
        if call.prompt.params.stop is not None:
            body["stop_sequences"] = list(call.prompt.params.stop)
        return body

    def read_reply(self, content: bytes, call: ChatCall) -> ChatReply:
        """Read a message; its text blocks together are the answer."""
        message = _Message.model_validate_json(content)
        text = "".join(block.text or "" for block in message.content if block.type == "text")
        return ChatReply(
            content=text,
            finish_reason=_FINISH_REASONS.get(message.stop_reason or "", "other"),
            usage=estimate_usage(call, text) if message.usage is None else _read_usage(message.usage),
            model=model_named(message.model),
        )


def _supported(schema: dict[str, Any]) -> dict[str, Any] | None:
    """Turn keywords that the API refuses into descriptions; None for a schema that it can't be held to at all."""
    from anthropic import transform_schema  # noqa: PLC0415 - imported with the SDK before any call

    try:
        return transform_schema(schema)
    except (ValueError, TypeError, AttributeError, AssertionError):
        return None


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

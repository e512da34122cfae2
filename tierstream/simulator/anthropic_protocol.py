"""The messages wire format of Anthropic.

Sources: https://platform.claude.com/docs/en/api/messages and https://platform.claude.com/docs/en/api/errors.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tierstream.simulator.anthropic_messages import read_conversation, read_thinking, read_toolbox
from tierstream.simulator.chat import (
    ApiError,
    ChatRequest,
    Conversation,
    EventStream,
    Reasoning,
    Reply,
    ThinkingType,
    Thought,
    ToolCall,
    Usage,
    dumps,
    pieces_of,
    read_model,
    read_token_limit,
)
from tierstream.simulator.rate_limit import LimitState

_ERROR_TYPES: Final = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}
_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_LEAST_ARGUMENTS: Final = 4
"""Characters of arguments in an event: most have few."""
_MODELS_CREATED: Final = "2025-01-01T00:00:00Z"


def _event(kind: str, **fields: object) -> str:
    return f"event: {kind}\ndata: {dumps({'type': kind, **fields})}\n\n"


def _usage(usage: Usage) -> dict[str, object]:
    """Anthropic counts cached input apart from `input_tokens`, where OpenAI counts it within."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_written_tokens,
        "cache_creation_input_tokens": usage.cache_written_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def _final_usage(reply: Reply) -> dict[str, object]:
    thinking = {"output_tokens_details": {"thinking_tokens": reply.usage.reasoning_tokens}} if reply.thought else {}
    return {**_usage(reply.usage), **thinking}


def _json_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    config = body.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else body.get("output_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    schema = wanted.get("schema")
    return schema if isinstance(schema, dict) else {}


class AnthropicProtocol:
    """The messages API."""

    base_path = ""
    chat_paths: tuple[str, ...] = ("/v1/messages",)
    model_paths: tuple[str, ...] = ("/v1/models",)
    call_id_prefix = "toolu_"

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Any key is good, as `x-api-key` or as a bearer token; the version header has to be there too."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if not headers.get("x-api-key", "").strip() and not (scheme.lower() == "bearer" and token.strip()):
            raise ApiError(401, "x-api-key header is required")
        if not headers.get("anthropic-version"):
            raise ApiError(400, "anthropic-version: header is required")

    def parse(self, body: Mapping[str, Any]) -> ChatRequest:
        """Read a message request; `max_tokens` is required by this API."""
        model = read_model(body, "model: Field required")
        limit = read_token_limit(body.get("max_tokens"), "max_tokens")
        if limit is None:
            raise ApiError(400, "max_tokens: Field required")
        toolbox = read_toolbox(body)
        thinking = read_thinking(body, toolbox)
        conversation = read_conversation(body, model, toolbox)
        return ChatRequest(
            model=model,
            conversation=conversation,
            max_tokens=limit,
            stream=bool(body.get("stream")),
            include_usage=True,
            json_schema=_json_schema(body),
            toolbox=toolbox,
            reasoning=_reasoning(body, thinking, conversation),
            thinking=thinking,
        )

    def completion(self, reply: Reply) -> bytes:
        """A `message` object; an empty answer has no content block."""
        message = self._message(reply, _final_usage(reply))
        message["content"] = [
            *([_thinking_block(reply.thought)] if reply.thought else []),
            *([{"type": "text", "text": reply.text}] if reply.text else []),
            *({**_tool_use_block(call), "input": _input_of(call)} for call in reply.calls),
        ]
        message["stop_reason"] = _STOP_REASONS[reply.finish]
        return dumps(message).encode()

    def events(self, reply: Reply, *, include_usage: bool) -> EventStream:
        """The message's events; its usage is always in `message_start` and `message_delta`."""
        del include_usage
        # The opening event is sent before any output is known, with the first token already counted.
        head = _event("message_start", message=self._message(reply, {**_usage(reply.usage), "output_tokens": 1}))
        pieces: list[bytes] = []
        between = ""
        for index, (block, deltas) in enumerate(_streamed_blocks(reply)):
            opening = _event("content_block_start", index=index, content_block=block)
            if index == 0:
                head += opening
            else:
                between += opening
            for kind, key, texts in deltas:
                for event in _deltas(index, kind, key, texts):
                    pieces.append((between + event).encode())
                    between = ""
            between += _event("content_block_stop", index=index)
        closing = _event(
            "message_delta",
            delta={"stop_reason": _STOP_REASONS[reply.finish], "stop_sequence": None},
            usage=_final_usage(reply),
        )
        tail = between + closing + _event("message_stop")
        return EventStream(head=(head + _event("ping")).encode(), pieces=pieces, tail=tail.encode())

    def error_event(self) -> bytes:
        """An `error` event."""
        return _event("error", error={"type": "overloaded_error", "message": "Overloaded"}).encode()

    def returns_usage(self, request: ChatRequest) -> bool:
        """Every complete message names its usage."""
        del request
        return True

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        """An `error` envelope."""
        kind = _ERROR_TYPES.get(error.status, "invalid_request_error")
        detail = {"type": kind, "message": error.message}
        return dumps({"type": "error", "error": detail, "request_id": request_id}).encode()

    def model_list(self, model_ids: list[str]) -> bytes:
        """One page of `model` objects."""
        models = [
            {
                "type": "model",
                "id": model,
                "display_name": model,
                "created_at": _MODELS_CREATED,
                "lifecycle": "active",
            }
            for model in model_ids
        ]
        page = {"data": models, "has_more": False, "first_id": model_ids[0], "last_id": model_ids[-1]}
        return dumps(page).encode()

    def headers(self, request_id: str, limits: LimitState | None) -> dict[str, str]:
        """`request-id` and, for a limited model, `anthropic-ratelimit-*` with the reset as a time."""
        headers = {"request-id": request_id}
        for name, bucket in (("requests", limits.requests), ("tokens", limits.tokens)) if limits else ():
            if bucket:
                reset = datetime.now(UTC) + timedelta(seconds=bucket.reset_s)
                headers[f"anthropic-ratelimit-{name}-limit"] = str(bucket.limit)
                headers[f"anthropic-ratelimit-{name}-remaining"] = str(bucket.remaining)
                headers[f"anthropic-ratelimit-{name}-reset"] = reset.strftime("%Y-%m-%dT%H:%M:%SZ")
        return headers

    def _message(self, reply: Reply, usage: dict[str, object]) -> dict[str, object]:
        return {
            "id": reply.reply_id,
            "type": "message",
            "role": "assistant",
            "model": reply.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }


def _reasoning(body: Mapping[str, Any], thinking: ThinkingType | None, conversation: Conversation) -> Reasoning:
    if thinking in {None, "disabled"} or (thinking == "between_tools" and not conversation.results):
        return "none"
    return "omitted" if body["thinking"].get("display") == "omitted" else "signed"


def _thinking_block(thought: Thought) -> dict[str, object]:
    if thought.redacted:
        return {"type": "redacted_thinking", "data": thought.signature}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _tool_use_block(call: ToolCall) -> dict[str, object]:
    return {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}


def _input_of(call: ToolCall) -> object:
    """The arguments as an object, which broken ones are not: the API's own advice is to wrap these.

    Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming.
    """
    try:
        return json.loads(call.arguments)
    except ValueError:
        return {"INVALID_JSON": call.arguments}


_Deltas = tuple[tuple[str, str, list[str]], ...]
"""The events of a block: their type, the key of the text in each, and the texts."""


def _streamed_blocks(reply: Reply) -> Iterator[tuple[dict[str, object], _Deltas]]:
    """Each block as it is opened, with its events."""
    thought = reply.thought
    if thought and thought.redacted:
        yield _thinking_block(thought), ()
    elif thought:
        signed = ("signature_delta", "signature", [thought.signature or ""])
        deltas = (("thinking_delta", "thinking", pieces_of(thought.text)), signed)
        yield {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if reply.text:
        yield {"type": "text", "text": ""}, (("text_delta", "text", pieces_of(reply.text)),)
    for call in reply.calls:
        texts = ["", *pieces_of(call.arguments, least=_LEAST_ARGUMENTS)]
        yield _tool_use_block(call), (("input_json_delta", "partial_json", texts),)


def _deltas(index: int, kind: str, key: str, texts: list[str]) -> list[str]:
    # All share one envelope, so it is serialised once and only the text is filled in.
    mark = "\x00"
    event = _event("content_block_delta", index=index, delta={"type": kind, key: mark})
    before, after = event.split(dumps(mark))
    return [f"{before}{dumps(text)}{after}" for text in texts]

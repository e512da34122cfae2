"""The messages wire format of Anthropic.

Sources: https://platform.claude.com/docs/en/api/messages and https://platform.claude.com/docs/en/api/errors.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tierstream.simulator.chat import (
    ApiError,
    ChatRequest,
    EventStream,
    Reply,
    Usage,
    read_conversation,
    read_model,
    read_token_limit,
    text_of,
)
from tierstream.simulator.rate_limit import LimitState

_ERROR_TYPES: Final = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}
_STOP_REASONS: Final = {"stop": "end_turn", "length": "max_tokens"}
_MODELS_CREATED: Final = "2025-01-01T00:00:00Z"


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _event(kind: str, **fields: object) -> str:
    return f"event: {kind}\ndata: {_dumps({'type': kind, **fields})}\n\n"


def _usage(usage: Usage) -> dict[str, object]:
    """Anthropic counts cached input apart from `input_tokens`, where OpenAI counts it within."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


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
    reasons = False

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
        system = text_of(body.get("system"), "system")
        return ChatRequest(
            model=model,
            conversation=read_conversation(body.get("messages"), "messages: at least one message is required", system),
            max_tokens=limit,
            stream=bool(body.get("stream")),
            include_usage=True,
            json_schema=_json_schema(body),
        )

    def completion(self, reply: Reply) -> bytes:
        """A `message` object; an empty answer has no content block."""
        message = self._message(reply, _usage(reply.usage))
        message["content"] = [{"type": "text", "text": reply.text}] if reply.text else []
        message["stop_reason"] = _STOP_REASONS[reply.finish]
        return _dumps(message).encode()

    def events(self, reply: Reply, *, include_usage: bool) -> EventStream:
        """The message's events; its usage is always in `message_start` and `message_delta`."""
        del include_usage
        # The opening event is sent before any output is known, with the first token already counted.
        start = _event("message_start", message=self._message(reply, {**_usage(reply.usage), "output_tokens": 1}))
        opening = _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        mark = "\x00"
        delta = _event("content_block_delta", index=0, delta={"type": "text_delta", "text": mark})
        before, after = delta.split(_dumps(mark))
        closing = _event(
            "message_delta",
            delta={"stop_reason": _STOP_REASONS[reply.finish], "stop_sequence": None},
            usage=_usage(reply.usage),
        )
        tail = closing + _event("message_stop")
        if reply.text:
            start += opening
            tail = _event("content_block_stop", index=0) + tail
        return EventStream(
            head=(start + _event("ping")).encode(),
            pieces=[f"{before}{_dumps(piece)}{after}".encode() for piece in reply.pieces()],
            tail=tail.encode(),
        )

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
        return _dumps({"type": "error", "error": detail, "request_id": request_id}).encode()

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
        return _dumps(page).encode()

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

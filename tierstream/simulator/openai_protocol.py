"""The chat completions wire format of OpenAI, with Groq's additions.

Sources: https://platform.openai.com/docs/api-reference/chat and https://console.groq.com/docs/api-reference.
"""

import json
from collections.abc import Mapping
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
)
from tierstream.simulator.rate_limit import LimitState

_KINDS: Final = {500: "server_error", 503: "server_error"}
_FINGERPRINT: Final = "fp_simulator"
_MODELS_CREATED: Final = 1_735_689_600
_SECOND: Final = 1.0
_MINUTE: Final = 60.0


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _event(value: object) -> str:
    return f"data: {_dumps(value)}\n\n"


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _duration(seconds: float) -> str:
    """A duration as in `x-ratelimit-reset-requests`: 120ms, 7.66s, 2m59.56s."""
    if seconds < _SECOND:
        return f"{round(seconds * 1000)}ms"
    if seconds < _MINUTE:
        return f"{seconds:.2f}s"
    return f"{int(seconds // _MINUTE)}m{seconds % _MINUTE:.2f}s"


def _json_schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") not in {"json_schema", "json_object"}:
        return None
    declared = wanted.get("json_schema")
    schema = declared.get("schema") if isinstance(declared, dict) else None
    return schema if isinstance(schema, dict) else {}


class OpenAIProtocol:
    """Chat completions; `groq` adds the `x_groq` object to streams."""

    chat_paths: tuple[str, ...] = ("/v1/chat/completions", "/openai/v1/chat/completions")
    model_paths: tuple[str, ...] = ("/v1/models", "/openai/v1/models")
    reasons = True

    def __init__(self, *, groq: bool = False) -> None:
        self._groq = groq
        self.base_path = "" if groq else "/v1"

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Any key is good, but there has to be one as a bearer token."""
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise ApiError(
                401,
                "You didn't provide an API key. Provide it in an Authorization header with Bearer auth.",
                code="invalid_api_key",
            )

    def parse(self, body: Mapping[str, Any]) -> ChatRequest:
        """Read a chat completion request; `max_completion_tokens` wins over `max_tokens`."""
        options = body.get("stream_options")
        limit = read_token_limit(body.get("max_completion_tokens"), "max_completion_tokens")
        return ChatRequest(
            model=read_model(body, "you must provide a model parameter"),
            conversation=read_conversation(body.get("messages"), "'messages' has to hold at least one message"),
            max_tokens=limit or read_token_limit(body.get("max_tokens"), "max_tokens"),
            stream=bool(body.get("stream")),
            include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
            json_schema=_json_schema(body),
        )

    def completion(self, reply: Reply) -> bytes:
        """A `chat.completion` object."""
        body: dict[str, object] = {
            **self._common(reply, "chat.completion"),
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": reply.text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": reply.finish,
                }
            ],
            "usage": _usage(reply.usage),
        }
        if self._groq:
            body["x_groq"] = {"id": reply.reply_id}
        return _dumps(body).encode()

    def events(self, reply: Reply, *, include_usage: bool) -> EventStream:
        """`chat.completion.chunk` events, the usage as asked for, and `[DONE]`."""
        common = self._common(reply, "chat.completion.chunk")
        usage_null: dict[str, object] = {"usage": None} if include_usage else {}
        head = {**common, "choices": [_delta({"role": "assistant", "content": ""})], **usage_null}
        end = {**common, "choices": [_delta({}, reply.finish)], **usage_null}
        if self._groq:
            head["x_groq"] = {"id": reply.reply_id}
            end["x_groq"] = {"id": reply.reply_id, "usage": _usage(reply.usage)}
        # All pieces share one envelope, so it is serialised once and only the text is filled in.
        mark = "\x00"
        before, after = _event({**common, "choices": [_delta({"content": mark})], **usage_null}).split(_dumps(mark))
        tail = _event(end)
        if include_usage:
            tail += _event({**common, "choices": [], "usage": _usage(reply.usage)})
        return EventStream(
            head=_event(head).encode(),
            pieces=[f"{before}{_dumps(piece)}{after}".encode() for piece in reply.pieces()],
            tail=f"{tail}data: [DONE]\n\n".encode(),
        )

    def error_event(self) -> bytes:
        """An `error` object as the data of an event."""
        message = "The server had an error while processing your request."
        return _event({"error": {"message": message, "type": "server_error", "param": None, "code": None}}).encode()

    def returns_usage(self, request: ChatRequest) -> bool:
        """A stream names its usage only if asked, but Groq's always does."""
        return not request.stream or request.include_usage or self._groq

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        """An `error` object; the request id travels in the headers alone."""
        del request_id
        kind = error.kind or _KINDS.get(error.status, "invalid_request_error")
        detail = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
        return _dumps({"error": detail}).encode()

    def model_list(self, model_ids: list[str]) -> bytes:
        """A `list` object of `model` objects."""
        models = [
            {"id": model, "object": "model", "created": _MODELS_CREATED, "owned_by": "simulator"} for model in model_ids
        ]
        return _dumps({"object": "list", "data": models}).encode()

    def headers(self, request_id: str, limits: LimitState | None) -> dict[str, str]:
        """`x-request-id` and, for a limited model, `x-ratelimit-*`."""
        headers = {"x-request-id": request_id}
        for name, bucket in (("requests", limits.requests), ("tokens", limits.tokens)) if limits else ():
            if bucket:
                headers[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining)
                headers[f"x-ratelimit-reset-{name}"] = _duration(bucket.reset_s)
        return headers

    def _common(self, reply: Reply, kind: str) -> dict[str, object]:
        return {
            "id": reply.reply_id,
            "object": kind,
            "created": reply.created,
            "model": reply.model,
            "system_fingerprint": _FINGERPRINT,
        }


def _delta(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}

"""The chat completions wire format of OpenAI, with Groq's additions.

Sources: https://platform.openai.com/docs/api-reference/chat and https://console.groq.com/docs/api-reference.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tierstream.simulator.chat import (
    ApiError,
    ChatRequest,
    EventStream,
    Reasoning,
    Reply,
    Toolbox,
    ToolCall,
    Usage,
    dumps,
    pieces_of,
    read_model,
    read_token_limit,
)
from tierstream.simulator.logprobs import in_pieces, token_logprobs
from tierstream.simulator.openai_messages import read_conversation, read_toolbox
from tierstream.simulator.rate_limit import LimitState

_KINDS: Final = {500: "server_error", 503: "server_error"}
_FINGERPRINT: Final = "fp_simulator"
_MODELS_CREATED: Final = 1_735_689_600
_MOST_LOGPROBS: Final = 20
_LEAST_ARGUMENTS: Final = 4
"""Characters of arguments in an event: most have few."""
_MARK: Final = "\x00"
"""Events are alike but for their texts: they are serialised once, with this where the text goes."""
_SECOND: Final = 1.0
_MINUTE: Final = 60.0


def _event(value: object) -> str:
    return f"data: {dumps(value)}\n\n"


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
    call_id_prefix = "call_"

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
        model = read_model(body, "you must provide a model parameter")
        toolbox = read_toolbox(body)
        missing = "'messages' has to hold at least one message"
        return ChatRequest(
            model=model,
            conversation=read_conversation(body.get("messages"), missing, toolbox),
            max_tokens=limit or read_token_limit(body.get("max_tokens"), "max_tokens"),
            stream=bool(body.get("stream")),
            include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
            json_schema=_json_schema(body),
            toolbox=toolbox,
            reasoning=_reasoning(body, toolbox, groq=self._groq),
            top_logprobs=self._top_logprobs(body),
        )

    def completion(self, reply: Reply) -> bytes:
        """A `chat.completion` object."""
        message: dict[str, object] = {"role": "assistant", "content": reply.text, "refusal": None}
        if reply.thought:
            message["reasoning"] = reply.thought.text
        if reply.calls:
            message["content"] = reply.text or None
            message["tool_calls"] = [_tool_call(call, call.arguments) for call in reply.calls]
        logprobs = None if reply.top_logprobs is None else _logprobs(token_logprobs(reply.text, reply.top_logprobs))
        choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": reply.finish}
        body: dict[str, object] = {
            **self._common(reply, "chat.completion"),
            "choices": [choice],
            "usage": _usage(reply.usage),
        }
        if self._groq:
            body["x_groq"] = {"id": reply.reply_id}
        return dumps(body).encode()

    def events(self, reply: Reply, *, include_usage: bool) -> EventStream:
        """`chat.completion.chunk` events, the usage as asked for, and `[DONE]`."""
        common = self._common(reply, "chat.completion.chunk")
        usage_null: dict[str, object] = {"usage": None} if include_usage else {}
        opening = {"role": "assistant", "content": None if reply.calls and not reply.text else ""}
        head = {**common, "choices": [_choice(opening)], **usage_null}
        end = {**common, "choices": [_choice({}, reply.finish)], **usage_null}
        if self._groq:
            head["x_groq"] = {"id": reply.reply_id}
            end["x_groq"] = {"id": reply.reply_id, "usage": _usage(reply.usage)}
        before, after = _event({**common, "choices": [_MARK], **usage_null}).split(dumps(_MARK))
        tail = _event(end)
        if include_usage:
            tail += _event({**common, "choices": [], "usage": _usage(reply.usage)})
        return EventStream(
            head=_event(head).encode(),
            pieces=[f"{before}{choice}{after}".encode() for choice in _streamed_choices(reply)],
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
        return dumps({"error": detail}).encode()

    def model_list(self, model_ids: list[str]) -> bytes:
        """A `list` object of `model` objects."""
        models = [
            {"id": model, "object": "model", "created": _MODELS_CREATED, "owned_by": "simulator"} for model in model_ids
        ]
        return dumps({"object": "list", "data": models}).encode()

    def headers(self, request_id: str, limits: LimitState | None) -> dict[str, str]:
        """`x-request-id` and, for a limited model, `x-ratelimit-*`."""
        headers = {"x-request-id": request_id}
        for name, bucket in (("requests", limits.requests), ("tokens", limits.tokens)) if limits else ():
            if bucket:
                headers[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining)
                headers[f"x-ratelimit-reset-{name}"] = _duration(bucket.reset_s)
        return headers

    def _top_logprobs(self, body: Mapping[str, Any]) -> int | None:
        """How many likely tokens are asked for; Groq has none of them.

        Source: https://console.groq.com/docs/openai#currently-unsupported-openai-features.
        """
        asked, top = body.get("logprobs"), body.get("top_logprobs")
        if self._groq and (asked or top):
            raise ApiError(400, "`logprobs` is not supported with this model", param="logprobs")
        if top is not None and not asked:
            raise ApiError(400, "'top_logprobs' is only allowed when 'logprobs' is enabled.", param="top_logprobs")
        if top is not None and (not isinstance(top, int) or not 0 <= top <= _MOST_LOGPROBS):
            raise ApiError(400, f"top_logprobs: expected a number from 0 to {_MOST_LOGPROBS}", param="top_logprobs")
        return (top or 0) if asked else None

    def _common(self, reply: Reply, kind: str) -> dict[str, object]:
        return {
            "id": reply.reply_id,
            "object": kind,
            "created": reply.created,
            "model": reply.model,
            "system_fingerprint": _FINGERPRINT,
        }


def _reasoning(body: Mapping[str, Any], toolbox: Toolbox, *, groq: bool) -> Reasoning:
    """OpenAI counts reasoning and hides it; Groq shows it too.

    A text without tools has it where it is asked for alone: runs are recorded without, and the API itself has it
    always. Source: https://console.groq.com/docs/reasoning.
    """
    if body.get("reasoning_effort") == "none":
        return "none"
    include, style = body.get("include_reasoning"), body.get("reasoning_format")
    if include is not None and style is not None:
        raise ApiError(400, "include_reasoning and reasoning_format are mutually exclusive", param="reasoning_format")
    asked = include is True or style == "parsed"
    hidden = include is False or style == "hidden"
    return "shown" if groq and (asked or (toolbox.tools and not hidden)) else "hidden"


def _logprobs(entries: list[dict[str, object]]) -> dict[str, object]:
    return {"content": entries, "refusal": None}


def _tool_call(call: ToolCall, arguments: str) -> dict[str, object]:
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _streamed_choices(reply: Reply) -> Iterator[str]:
    """What each event between the first and the last one adds: reasoning, text, and calls one after the other."""
    if reply.thought:
        yield from _filled({"reasoning": _MARK}, pieces_of(reply.thought.text))
    if reply.top_logprobs is None:
        yield from _filled({"content": _MARK}, pieces_of(reply.text))
    else:
        for entries in in_pieces(token_logprobs(reply.text, reply.top_logprobs)):
            text = "".join(str(entry["token"]) for entry in entries)
            yield dumps({**_choice({"content": text}), "logprobs": _logprobs(entries)})
    for index, call in enumerate(reply.calls):
        yield dumps(_choice({"tool_calls": [{"index": index, **_tool_call(call, "")}]}))
        delta = {"tool_calls": [{"index": index, "function": {"arguments": _MARK}}]}
        yield from _filled(delta, pieces_of(call.arguments, least=_LEAST_ARGUMENTS))


def _filled(delta: dict[str, Any], texts: list[str]) -> Iterator[str]:
    before, after = dumps(_choice(delta)).split(dumps(_MARK))
    return (f"{before}{dumps(text)}{after}" for text in texts)

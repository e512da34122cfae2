"""The chat completions wire format, spoken by OpenAI, Groq and many others.

Source: https://platform.openai.com/docs/api-reference/chat.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from streams.providers.base import ChatCall, ChatReply
from streams.providers.streamed import EventError, StreamedAnswer, estimate_usage, model_named
from topics.journal import Tokens, Usage
from topics.messages import Message

_FINISH_REASONS: Final = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
# The API refuses requests with other names; a name is not worth that.
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


_DONE: Final = "[DONE]"


class _PromptDetails(BaseModel):
    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None


class _CompletionDetails(BaseModel):
    reasoning_tokens: Tokens | None = None


class _Usage(BaseModel):
    prompt_tokens: Tokens
    completion_tokens: Tokens
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Answer(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Answer
    finish_reason: str | None = None


class _Completion(BaseModel):
    model: Any = None
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class _ChunkChoice(BaseModel):
    index: int = 0
    delta: _Answer | None = None
    finish_reason: str | None = None


class _XGroq(BaseModel):
    usage: _Usage | None = None
    error: str | None = None


class _Chunk(BaseModel):
    model: Any = None
    choices: list[_ChunkChoice] = []
    usage: _Usage | None = None
    x_groq: _XGroq | None = None
    error: Any = None


def write_request(
    call: ChatCall, *, token_limit: str, developer_role: str = "developer", sampling: bool = True
) -> dict[str, Any]:
    """Write a request body.

    Args:
        call: What is asked.
        token_limit: The field that limits output tokens.
        developer_role: The role that stands for `developer`.
        sampling: Whether the model takes temperature and top_p.
    """
    body: dict[str, Any] = {
        "model": call.model.model,
        "messages": [_write_message(message, developer_role) for message in call.prompt.messages],
        token_limit: call.max_tokens,
    }
    params = call.prompt.params
    optional = {
        "temperature": params.temperature if sampling else None,
        "top_p": params.top_p if sampling else None,
        "stop": None if params.stop is None else list(params.stop),
        "seed": params.seed,
    }
    body.update((name, value) for name, value in optional.items() if value is not None)
    if call.prompt.response_schema is not None:
        # Strict mode takes a subset of JSON Schema only; the answer is checked against the whole schema anyway.
        schema = {"name": "response", "schema": call.prompt.response_schema, "strict": False}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def read_completion(content: bytes, call: ChatCall) -> ChatReply:
    """Read a response body; its first choice is the answer.

    Raises:
        pydantic.ValidationError: It is not a chat completion.
    """
    completion = _Completion.model_validate_json(content)
    choice = completion.choices[0]
    text = choice.message.content or choice.message.refusal or ""
    reason = "content_filter" if choice.message.refusal else choice.finish_reason
    finish = _FINISH_REASONS.get(reason or "", "other")
    usage = estimate_usage(call, text) if completion.usage is None else _read_usage(completion.usage)
    return ChatReply(content=text, finish_reason=finish, usage=usage, model=model_named(completion.model))


class StreamedCompletion(StreamedAnswer):
    """An answer in `chat.completion.chunk` events.

    Sources: https://platform.openai.com/docs/api-reference/chat-streaming and, for `x_groq`,
    https://console.groq.com/docs/api-reference#chat-create.
    """

    _refused = False

    def read(self, data: str) -> str:
        """Take a chunk in; its first choice is the answer's."""
        if data == _DONE:
            self.ended = True
            return ""
        chunk = _Chunk.model_validate_json(data)
        groq = chunk.x_groq or _XGroq()
        if chunk.error is not None or groq.error is not None:
            raise EventError({"code": groq.error} if chunk.error is None else chunk.error)
        self.model = self.model or model_named(chunk.model)
        usage = chunk.usage or groq.usage
        if usage is not None:
            self.usage = _read_usage(usage)
        return "".join(self._read_choice(choice) for choice in chunk.choices if choice.index == 0)

    def _read_choice(self, choice: _ChunkChoice) -> str:
        delta = choice.delta or _Answer()
        self._refused = self._refused or bool(delta.refusal)
        if choice.finish_reason is not None:
            reason = "content_filter" if self._refused else choice.finish_reason
            self.finish_reason = _FINISH_REASONS.get(reason, "other")
        return delta.content or delta.refusal or ""


def _write_message(message: Message, developer_role: str) -> dict[str, str]:
    role = developer_role if message.role == "developer" else message.role
    written = {"role": role, "content": message.text}
    if message.name and _NAME.fullmatch(message.name):
        written["name"] = message.name
    return written


def _read_usage(usage: _Usage) -> Usage:
    prompt = usage.prompt_tokens_details or _PromptDetails()
    completion = usage.completion_tokens_details or _CompletionDetails()
    # More than the whole would make the cost negative.
    cached = min(prompt.cached_tokens or 0, usage.prompt_tokens)
    return Usage(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        cached=cached,
        cache_written=min(prompt.cache_write_tokens or 0, usage.prompt_tokens - cached),
        reasoning=min(completion.reasoning_tokens or 0, usage.completion_tokens),
    )

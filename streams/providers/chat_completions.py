"""The chat completions wire format, spoken by OpenAI, Groq and many others.

Source: https://platform.openai.com/docs/api-reference/chat.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from streams.providers.base import ChatCall, ChatReply
from streams.providers.sdk_provider import estimate_usage
from topics.journal import Tokens, Usage
from topics.requests import Message

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


class _PromptDetails(BaseModel):
    cached_tokens: Tokens | None = None


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
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


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
        "model": call.model,
        "messages": [_write_message(message, developer_role) for message in call.messages],
        token_limit: call.max_tokens,
    }
    params = call.params
    optional = {
        "temperature": params.temperature if sampling else None,
        "top_p": params.top_p if sampling else None,
        "stop": None if params.stop is None else list(params.stop),
        "seed": params.seed,
    }
    body.update((name, value) for name, value in optional.items() if value is not None)
    if call.response_schema is not None:
        # Strict mode takes a subset of JSON Schema only; the answer is checked against the whole schema anyway.
        schema = {"name": "response", "schema": call.response_schema, "strict": False}
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
    return ChatReply(content=text, finish_reason=finish, usage=usage)


def _write_message(message: Message, developer_role: str) -> dict[str, str]:
    role = developer_role if message.role == "developer" else message.role
    written = {"role": role, "content": message.text}
    if message.name and _NAME.fullmatch(message.name):
        written["name"] = message.name
    return written


def _read_usage(usage: _Usage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = (prompt.cached_tokens if prompt else None) or 0
    reasoning = (completion.reasoning_tokens if completion else None) or 0
    return Usage(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        # More than the whole would make the cost negative.
        cached=min(cached, usage.prompt_tokens),
        reasoning=min(reasoning, usage.completion_tokens),
    )

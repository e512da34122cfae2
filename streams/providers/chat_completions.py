"""Reading answers in the chat completions wire format, spoken by OpenAI, Groq and many others.

Sources: https://platform.openai.com/docs/api-reference/chat, .../chat-streaming and, for `x_groq` and `reasoning`,
https://console.groq.com/docs/api-reference#chat-create. Others say `reasoning_content` for what the model thought, as
https://api-docs.deepseek.com/guides/reasoning_model does.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from streams.providers.arriving_answer import ArrivingAnswer, EventError, call_id_named, model_named
from streams.providers.base import ChatCall
from topics.answer_assembly import Piece
from topics.events import Delta
from topics.journal import Tokens, Usage

_FINISH_REASONS: Final = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
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


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(BaseModel):
    index: int | None = None
    id: str | None = None
    function: _Function = _Function()


class _Answer(BaseModel):
    content: str | None = None
    refusal: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(BaseModel):
    message: _Answer
    finish_reason: str | None = None
    logprobs: Any = None


class _Completion(BaseModel):
    model: Any = None
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class _ChunkChoice(BaseModel):
    index: int = 0
    delta: _Answer | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _XGroq(BaseModel):
    usage: _Usage | None = None
    error: str | None = None


class _Chunk(BaseModel):
    model: Any = None
    choices: list[_ChunkChoice] = []
    usage: _Usage | None = None
    x_groq: _XGroq | None = None
    error: Any = None


class ChatCompletion(ArrivingAnswer):
    """A chat completion, or its chunks; the first choice is the answer."""

    def __init__(self, call: ChatCall) -> None:
        super().__init__(call)
        self._refused = False
        self._calls: list[str | None] = []
        """Their ids, in the order in which they began."""
        self._latest: dict[int, int] = {}
        """By the index that the provider gives: which call that is."""

    def read(self, data: str) -> Iterator[Piece]:
        """Take a chunk in."""
        if data == _DONE:
            self.ended = True
            return
        chunk = _Chunk.model_validate_json(data)
        groq = chunk.x_groq or _XGroq()
        if chunk.error is not None or groq.error is not None:
            raise EventError({"code": groq.error} if chunk.error is None else chunk.error)
        self._note(chunk.model, chunk.usage or groq.usage)
        for choice in chunk.choices:
            if choice.index == 0:
                yield from self._read_choice(choice.delta or _Answer(), choice.finish_reason, choice.logprobs)

    def read_whole(self, content: bytes) -> Iterator[Piece]:
        """Take a completion in."""
        completion = _Completion.model_validate_json(content)
        choice = completion.choices[0]
        self._note(completion.model, completion.usage)
        yield from self._read_choice(choice.message, choice.finish_reason or "", choice.logprobs)

    def _note(self, model: Any, usage: _Usage | None) -> None:  # noqa: ANN401 - whatever the response has there
        self.model = self.model or model_named(model)
        if usage is not None:
            self.usage = _read_usage(usage)

    def _read_choice(self, answer: _Answer, finish_reason: str | None, logprobs: object) -> Iterator[Piece]:
        self._refused = self._refused or bool(answer.refusal)
        if finish_reason is not None:
            reason = "content_filter" if self._refused else finish_reason
            self.finish_reason = _FINISH_REASONS.get(reason, "other")
        if isinstance(logprobs, dict):
            self._add_logprobs(logprobs)
        # Neither is of the API's specification: what is no text there does not make the answer unreadable.
        thought = answer.reasoning or answer.reasoning_content
        if thought and isinstance(thought, str):
            yield Delta(kind="reasoning", text=thought)
        if text := answer.content or answer.refusal:
            yield text
        for place, call in enumerate(answer.tool_calls or ()):
            yield Delta(
                kind="tool_call",
                index=self._number_of(call, place),
                id=call_id_named(call.id),
                name=call.function.name,
                text=call.function.arguments or "",
            )

    def _number_of(self, call: _ToolCall, place: int) -> int:
        """Tell which call of the answer a piece belongs to, from 0: some servers give all of them the same index."""
        index = place if call.index is None else call.index
        number = self._latest.get(index)
        if number is None or (call.function.name and call.id not in {None, self._calls[number]}):
            number = self._latest[index] = len(self._calls)
            self._calls.append(call.id)
        return number

    def _add_logprobs(self, more: dict[str, Any]) -> None:
        """Append the lists of a chunk (`content`, `refusal`) to those of the chunks before it."""
        kept = self.logprobs = self.logprobs or {}
        for name, value in more.items():
            before = kept.get(name)
            if isinstance(before, list) and isinstance(value, list):
                before.extend(value)
            elif before is None:
                kept[name] = value


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

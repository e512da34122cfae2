"""What a chat model is asked, what it replies, and how it fails: the one seam between routing and the SDKs.

Errors are one class with a kind, because what happens next depends on the kind alone:

    ProviderError
    |-- the call did not get through
    |     timeout            no complete answer within the call's time
    |     connection         no connection was made; nothing was sent
    |     cut                the connection broke, or the stream ended, before the answer was whole; it may be billed
    |     batch_ended        the provider's batch was over, or refused, before the call's turn; it is not billed
    |-- the provider is not able to serve
    |     rate_limited       a limit of requests or tokens; often says when to come back
    |     overloaded         no capacity, at the provider or in our own limit of concurrent calls
    |     server_error       the provider failed
    |-- the request or the account is refused
    |     bad_key            key or account is not accepted, or can't pay
    |     model_not_found    no such model, or no longer
    |     bad_request        the provider does not accept the request's form
    |     too_large          the request is more than the account may send at a time
    |     context_too_long   the request does not fit the model
    |     content_policy     the provider does not want to answer
    `-- the reply is of no use
          malformed          not in the protocol's form
          empty              well-formed, with neither text nor calls
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

from streams.config.prompt_size import PromptSize, size_of
from streams.config.settings_sections import ModelSettings
from topics.answer_assembly import Piece
from topics.journal import Usage
from topics.messages import AnswerPart, Message, ResponseFormat, Tool, ToolCall, ToolChoice
from topics.requests import Params, Request

if TYPE_CHECKING:
    from streams.providers.batches import ProviderBatches


class ErrorKind(StrEnum):
    """Why a call failed; the module's docstring describes each."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    CONTENT_POLICY = "content_policy"
    CONTEXT_TOO_LONG = "context_too_long"
    TOO_LARGE = "too_large"
    BAD_KEY = "bad_key"
    MODEL_NOT_FOUND = "model_not_found"
    BAD_REQUEST = "bad_request"
    MALFORMED = "malformed"
    EMPTY = "empty"
    CUT = "cut"
    BATCH_ENDED = "batch_ended"


class Remedy(StrEnum):
    """What is worth trying after an error."""

    RETRY = "retry"
    """The same model once more, at once."""
    NEXT_PROVIDER = "next_provider"
    NEXT_TIER = "next_tier"
    GIVE_UP = "give_up"


_REMEDIES: Final = {
    # Nothing was sent, so nothing is paid twice, and a new connection may reach another machine.
    ErrorKind.CONNECTION: Remedy.RETRY,
    ErrorKind.BATCH_ENDED: Remedy.RETRY,
    # The time is spent; the same model would be as slow again.
    ErrorKind.TIMEOUT: Remedy.NEXT_PROVIDER,
    # What breaks one long answer tends to break the next, and each may be billed.
    ErrorKind.CUT: Remedy.NEXT_PROVIDER,
    # Limits and capacity are each provider's own.
    ErrorKind.RATE_LIMITED: Remedy.NEXT_PROVIDER,
    ErrorKind.OVERLOADED: Remedy.NEXT_PROVIDER,
    ErrorKind.SERVER_ERROR: Remedy.NEXT_PROVIDER,
    # So are keys, budgets and the list of models.
    ErrorKind.BAD_KEY: Remedy.NEXT_PROVIDER,
    ErrorKind.MODEL_NOT_FOUND: Remedy.NEXT_PROVIDER,
    ErrorKind.TOO_LARGE: Remedy.NEXT_PROVIDER,
    # Providers differ in which parameters and schemas they take.
    ErrorKind.BAD_REQUEST: Remedy.NEXT_PROVIDER,
    # Providers differ in what they refuse to talk about.
    ErrorKind.CONTENT_POLICY: Remedy.NEXT_PROVIDER,
    # The models of a tier have similar windows.
    ErrorKind.CONTEXT_TOO_LONG: Remedy.NEXT_TIER,
    # Another model of the same rank may do better; whether the rank is too low, the checks of good answers tell.
    ErrorKind.MALFORMED: Remedy.NEXT_PROVIDER,
    ErrorKind.EMPTY: Remedy.NEXT_PROVIDER,
}

# The next call of the same model may well be served; of a timeout that is not known before its time is spent again.
_TRANSIENT: Final = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.SERVER_ERROR, ErrorKind.CUT})
# These say something about the request; the provider served it well when it said no.
_OF_THE_REQUEST: Final = frozenset(
    {ErrorKind.BAD_REQUEST, ErrorKind.TOO_LARGE, ErrorKind.CONTEXT_TOO_LONG, ErrorKind.CONTENT_POLICY}
)
_SAYS_NOTHING: Final = frozenset({ErrorKind.BATCH_ENDED})
"""Of the provider's health, for calls that are made one by one."""


def remedy_of(kind: ErrorKind) -> Remedy:
    """Tell what is worth trying after an error of this kind."""
    return _REMEDIES[kind]


def is_transient(kind: ErrorKind) -> bool:
    """Tell whether an error of this kind tends to pass by itself within a moment."""
    return kind in _TRANSIENT


def is_provider_failure(kind: ErrorKind) -> bool:
    """Tell whether an error of this kind counts against the provider, as circuit breakers do."""
    return kind not in _OF_THE_REQUEST | _SAYS_NOTHING


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What is left of the account's limits, as a response said when it came; None where it did not say.

    Attributes:
        remaining_requests: Requests that may still be sent.
        remaining_tokens: Tokens that may still be used.
        requests_reset_s: Seconds until the limit of requests is full again.
        tokens_reset_s: Seconds until the limit of tokens is full again.
    """

    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    requests_reset_s: float | None = None
    tokens_reset_s: float | None = None


class ProviderError(Exception):
    """A call without a usable answer.

    The message holds no key, prompt or answer, so it may be logged and published.

    Attributes:
        kind: What went wrong.
        status: HTTP status, None where no response came or its status was good.
        retry_after_ms: How long the provider asks to be left alone, in milliseconds.
        usage: Tokens that the provider bills, or may bill (then estimated), although the reply is of no use.
        limits: What is left of the account's limits, where the response said so.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        retry_after_ms: int | None = None,
        usage: Usage | None = None,
        limits: ProviderLimits | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after_ms = retry_after_ms
        self.usage = usage
        self.limits = limits


async def _at_once() -> None:
    """Let a call leave without a further look."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked, whichever model answers.

    Attributes:
        messages: In order.
        params: Of the answer.
        response_schema: JSON Schema that the answer is asked to follow; the answer is not checked here.
        response_format: OpenAI's way to ask for JSON, where it was used: it names the schema, or asks for any object.
        tools: That the model may use.
        tool_choice: Whether it has to; None: as it likes.
        parallel_tool_calls: Whether it may make several calls at a time; None: as the provider likes.
    """

    messages: tuple[Message, ...]
    params: Params
    response_schema: dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None

    @classmethod
    def of(cls, request: Request) -> "Prompt":
        """Ask what a request asks."""
        return cls(
            request.messages,
            request.params,
            request.answer_schema,
            request.response_format,
            request.tools,
            request.tool_choice,
            request.parallel_tool_calls,
        )

    @property
    def size(self) -> PromptSize:
        """What a model reads of it."""
        return size_of(self.messages, self.tools, self.response_schema)

    def most_output(self, default: int) -> int:
        """Return the most tokens that the answer may have; `default` where nobody named a number."""
        return self.params.max_tokens or default


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One call of one model.

    Attributes:
        call_id: Sent as the header `X-Client-Request-Id`, so that the provider's log can be matched with ours.
        model: The fields of its `extra` win over all others of the request body.
        prompt: What it is asked.
        timeout_s: Seconds for everything: connecting and the whole answer, `on_piece` included.
        may_leave: Awaited right before anything is sent; what it raises ends the call.
        on_piece: Where it is given, the answer is streamed, and this is awaited with each piece of it, in order; what
            it raises ends the call and closes its connection.
    """

    call_id: UUID
    model: ModelSettings
    prompt: Prompt
    timeout_s: float
    may_leave: Callable[[], Awaitable[None]] = _at_once
    on_piece: Callable[[Piece], Awaitable[None]] | None = None

    @property
    def max_tokens(self) -> int:
        """Most output tokens."""
        return self.prompt.most_output(self.model.max_tokens)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A model's answer.

    Attributes:
        content: The whole text, streamed or not.
        tool_calls: Calls that it wants made.
        parts: As in `topics.messages.Spoken`.
        logprobs: As there.
        finish_reason: One of stop, length, content_filter, tool_calls and other.
        usage: What the call is billed by.
        first_token_ms: Milliseconds from the sending of a streamed call to its first piece; None if not streamed.
        limits: What is left of the account's limits, where the response said so.
        model: Which one answered, in the provider's words, where the response said so.
    """

    content: str
    finish_reason: str
    usage: Usage
    first_token_ms: float | None = None
    limits: ProviderLimits | None = None
    model: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    parts: tuple[AnswerPart, ...] | None = None
    logprobs: dict[str, Any] | None = None


class Provider(Protocol):
    """A provider of chat models. It never retries: the router is the only retry loop."""

    name: str

    async def prepare(self) -> None:
        """Do what takes long the first time, so that no call has to wait for it; others may go on meanwhile."""

    async def complete(self, call: ChatCall) -> ChatReply:
        """Make the call.

        Raises:
            ProviderError: There is no usable answer.
        """

    @property
    def batches(self) -> "ProviderBatches | None":
        """Its batches, where they are spoken here; opens nothing."""

    async def close(self) -> None:
        """Close the connections."""

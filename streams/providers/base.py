"""What a chat model is asked, what it replies, and how it fails: the one seam between routing and the SDKs.

Errors are one class with a kind, because what happens next depends on the kind alone:

    ProviderError
    |-- the call did not get through
    |     timeout            no complete answer within the call's time
    |     connection         no connection was made; nothing was sent
    |     cut                the connection broke after the request had left; the provider may bill it
    |-- the provider is not able to serve
    |     rate_limited       a limit of requests or tokens; often says when to come back
    |     overloaded         no capacity, at the provider or in our own limit of concurrent calls
    |     server_error       the provider failed
    |-- the request or the account is refused
    |     bad_key            key or account is not accepted, or can't pay
    |     model_not_found    no such model, or no longer
    |     bad_request        the provider does not accept the request's form
    |     context_too_long   the request does not fit the model
    |     content_policy     the provider does not want to answer
    `-- the reply is of no use
          malformed          not in the protocol's form
          empty              well-formed, without any text
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from topics.journal import Usage
from topics.requests import Message, Params


class ErrorKind(StrEnum):
    """Why a call failed; the module's docstring describes each."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    CONTENT_POLICY = "content_policy"
    CONTEXT_TOO_LONG = "context_too_long"
    BAD_KEY = "bad_key"
    MODEL_NOT_FOUND = "model_not_found"
    BAD_REQUEST = "bad_request"
    MALFORMED = "malformed"
    EMPTY = "empty"
    CUT = "cut"


class Remedy(StrEnum):
    """What is worth trying after an error."""

    NEXT_PROVIDER = "next_provider"
    NEXT_TIER = "next_tier"
    GIVE_UP = "give_up"


def remedy_of(kind: ErrorKind) -> Remedy:
    """Tell what is worth trying after an error of this kind.

    Another provider may do better at everything but length: the models of a tier have similar windows.
    """
    return Remedy.NEXT_TIER if kind is ErrorKind.CONTEXT_TOO_LONG else Remedy.NEXT_PROVIDER


class ProviderError(Exception):
    """A call without a usable answer.

    The message holds no key, prompt or answer, so it may be logged and published.

    Attributes:
        kind: What went wrong.
        status: HTTP status, None where no response came or its status was good.
        retry_after_ms: How long the provider asks to be left alone, in milliseconds.
        usage: Tokens that the provider bills although the reply is of no use.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        retry_after_ms: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after_ms = retry_after_ms
        self.usage = usage


async def _at_once() -> None:
    """Let a call leave without a further look."""


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One call of one model.

    Attributes:
        call_id: Sent as the header `X-Client-Request-Id`, so that the provider's log can be matched with ours.
        max_tokens: Most output tokens; stands in for `params.max_tokens`.
        response_schema: JSON Schema that the answer is asked to follow; the answer is not checked here.
        extra: Fields of the request body that win over all others.
        timeout_s: Seconds for everything: waiting for a free slot, connecting and the whole answer.
        may_leave: Awaited when the call has its slot and before anything is sent; what it raises ends the call.
    """

    call_id: UUID
    model: str
    messages: tuple[Message, ...]
    params: Params
    max_tokens: int
    response_schema: dict[str, Any] | None
    extra: dict[str, Any]
    timeout_s: float
    may_leave: Callable[[], Awaitable[None]] = _at_once


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A model's answer. `finish_reason` is one of stop, length, content_filter, tool_calls and other."""

    content: str
    finish_reason: str
    usage: Usage


class Provider(Protocol):
    """A provider of chat models. It never retries: the router is the only retry loop."""

    name: str

    async def complete(self, call: ChatCall) -> ChatReply:
        """Make the call.

        Raises:
            ProviderError: There is no usable answer.
        """

    async def close(self) -> None:
        """Close the connections."""

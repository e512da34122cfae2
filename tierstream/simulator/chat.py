"""What the wire protocols have in common: a chat request, its reply, its usage and its errors."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from tierstream.simulator.rate_limit import LimitState
from tierstream.simulator.tokens import MESSAGE_OVERHEAD, REPLY_PRIMING, count_tokens

MAX_PIECES: Final = 12
_NOTE: Final = "<finding>"
"""In what the router adds behind a conversation, which is not what is asked."""
_MIN_PIECE_CHARS: Final = 8

Finish = Literal["stop", "length"]


class ApiError(Exception):
    """A refusal that the protocol turns into the vendor's error body.

    `code` and `kind` are what OpenAI calls `code` and `type`; Anthropic's error type follows from the status.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        kind: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.kind = kind
        self.param = param
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a request as text: system prompt, last user message, and tokens of all messages."""

    system: str
    prompt: str
    input_tokens: int
    system_tokens: int


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request. `json_schema` is None where no JSON is asked for, and {} where any JSON will do."""

    model: str
    conversation: Conversation
    max_tokens: int | None
    stream: bool
    include_usage: bool
    json_schema: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call. Input includes the cached tokens, output includes the reasoning tokens."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer ready for the wire. `created` is in seconds since the epoch."""

    reply_id: str
    created: int
    model: str
    text: str
    finish: Finish
    usage: Usage

    def pieces(self) -> list[str]:
        """The text in at most `MAX_PIECES` parts: an event per token would cost more CPU than the call."""
        size = max(_MIN_PIECE_CHARS, -(-len(self.text) // MAX_PIECES))
        return [self.text[start : start + size] for start in range(0, len(self.text), size)]


@dataclass(frozen=True, slots=True)
class EventStream:
    """A streamed reply as server-sent events: the opening, an event for each piece, and the end."""

    head: bytes
    pieces: list[bytes]
    tail: bytes


class WireProtocol(Protocol):
    """A vendor's wire format."""

    base_path: str
    """What the SDK appends its paths to."""
    chat_paths: tuple[str, ...]
    model_paths: tuple[str, ...]
    reasons: bool

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Raise ApiError unless the vendor's headers for keys and versions are there."""

    def parse(self, body: Mapping[str, Any]) -> ChatRequest:
        """Read a request body, or raise ApiError."""

    def completion(self, reply: Reply) -> bytes:
        """The body of a reply that is not streamed."""

    def events(self, reply: Reply, *, include_usage: bool) -> EventStream:
        """The events of a streamed reply."""

    def error_event(self) -> bytes:
        """The event that ends a stream when the provider fails after its beginning."""

    def returns_usage(self, request: ChatRequest) -> bool:
        """Whether a complete reply to this request names its usage."""

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        """The body of a refusal."""

    def model_list(self, model_ids: list[str]) -> bytes:
        """The body of the list of models."""

    def headers(self, request_id: str, limits: LimitState | None) -> dict[str, str]:
        """The headers that come with every response."""


def stable_hash(*parts: str) -> int:
    """A 64-bit hash that is the same in every process, unlike `hash`."""
    digest = hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def stable_share(*parts: str) -> float:
    """A hash of the parts as a number from 0 up to 1."""
    return stable_hash(*parts) / 2**64


def text_of(content: object, where: str) -> str:
    """The text of a message's content: a string, or a list of parts whose text is joined.

    Raises:
        ApiError: It is neither.
    """
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise ApiError(400, f"{where}: expected a string or a list of content parts", param=where)
    return "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")


def read_model(body: Mapping[str, Any], missing: str) -> str:
    """The model of a request body, or ApiError with the vendor's message."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, missing, param="model")
    return model


def read_token_limit(value: object, where: str) -> int | None:
    """A limit of output tokens, or ApiError."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ApiError(400, f"{where}: expected a whole number of at least 1", param=where)
    return value


def read_conversation(messages: object, missing: str, system: str = "") -> Conversation:
    """The messages of a request body.

    Args:
        messages: What the body has under `messages`.
        missing: The vendor's message for an absent or empty list.
        system: A system prompt that came outside the messages.

    Raises:
        ApiError: The list is absent, empty or wrongly shaped.
    """
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, missing, param="messages")
    systems = [system] if system else []
    prompt: str | None = None
    last = ""
    others = 0
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ApiError(400, f"{where}: expected an object with a role and content", param=where)
        last = text_of(message.get("content"), f"{where}.content")
        if message["role"] in {"system", "developer"}:
            systems.append(last)
            continue
        others += count_tokens(last) + MESSAGE_OVERHEAD
        if message["role"] == "user" and (prompt is None or _NOTE not in last):
            prompt = last
    system_tokens = sum(count_tokens(text) + MESSAGE_OVERHEAD for text in systems)
    return Conversation(
        system="\n".join(systems),
        prompt=last if prompt is None else prompt,
        input_tokens=system_tokens + others + REPLY_PRIMING,
        system_tokens=system_tokens,
    )

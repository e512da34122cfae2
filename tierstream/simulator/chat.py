"""What the wire protocols have in common: a chat request, its reply, its usage and its errors."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from tierstream.simulator.rate_limit import LimitState

MAX_PIECES: Final = 12
_MIN_PIECE_CHARS: Final = 8

Finish = Literal["stop", "length"]
Input = Literal["tools", "forced_tools", "reasoned_tools", "images", "files"]
"""What a model may take besides text; tools that have to be called, and such that it reasons about, are extra."""
ThinkingType = Literal["adaptive", "between_tools", "disabled", "enabled"]
Reasoning = Literal["none", "hidden", "shown", "signed", "omitted"]
"""Whether a model reasons, and what it tells of that: its tokens alone, its text, its text with a signature, or the
signature without the text."""


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
class Tool:
    """A tool on offer: its name, the JSON Schema of its arguments, and the input tokens of its definition."""

    name: str
    schema: Mapping[str, Any]
    tokens: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. `arguments` is the JSON that the model wrote; it may be broken."""

    name: str
    arguments: str
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools of a request, and whether and how they are to be called.

    Attributes:
        choice: Whether a call is up to the model, required or forbidden.
        named: The one tool that has to be called.
        parallel: Whether one reply may have several calls.
    """

    tools: tuple[Tool, ...] = ()
    choice: Literal["auto", "required", "none"] = "auto"
    named: str | None = None
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class CachePoint:
    """A place in a prompt up to which it may be cached.

    Attributes:
        key: A hash of all that comes before it.
        tokens: How many there are before it.
        ttl_s: Seconds for which what is before it is cached; None where the client does not ask for that.
    """

    key: bytes
    tokens: int
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a request: system prompt, last user message, and tokens of all messages and tools.

    Attributes:
        results: The texts of the tool results since the last user message, in order.
        last_call: The last call of a tool since then.
        needs: What a model has to take to read it, besides text.
        cache_points: Where its prompt may be cached, in order; none where only a system prompt may be.
        key: A hash of all of it, where a model signs what it thinks behind it.
        misplaced: Where thinking stands that its model did not think behind what is before it; None: nowhere.
    """

    system: str
    prompt: str
    input_tokens: int
    system_tokens: int
    results: tuple[str, ...] = ()
    last_call: ToolCall | None = None
    needs: frozenset[Input] = frozenset()
    cache_points: tuple[CachePoint, ...] = ()
    key: str = ""
    misplaced: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request.

    Attributes:
        json_schema: None where no JSON is asked for, and {} where any JSON will do.
        thinking: How the client configures it; None: not at all.
        top_logprobs: How many likely tokens are asked for at each place; None where no log probabilities are.
    """

    model: str
    conversation: Conversation
    max_tokens: int | None
    stream: bool
    include_usage: bool
    json_schema: Mapping[str, Any] | None
    toolbox: Toolbox = field(default_factory=Toolbox)
    reasoning: Reasoning = "none"
    thinking: ThinkingType | None = None
    top_logprobs: int | None = None

    @property
    def needs(self) -> frozenset[Input]:
        """What a model has to take to answer it, besides text."""
        if not self.toolbox.tools:
            return self.conversation.needs
        forced: set[Input] = {"forced_tools"} if self.toolbox.choice == "required" else set()
        reasoned: set[Input] = {"reasoned_tools"} if self.reasoning != "none" else set()
        return self.conversation.needs | forced | reasoned


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answers, and why its text ends."""

    text: str
    finish: Finish = "stop"
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Thought:
    """What a model tells of its reasoning.

    Attributes:
        text: Empty where it is redacted, or the client wants it left out.
        tokens: Of the reasoning, told or not.
        signature: By which the model knows it again; None where it has none.
        redacted: Whether the signature is all there is.
    """

    text: str
    tokens: int
    signature: str | None = None
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call. Input includes the tokens read from and written to a cache, output the reasoning tokens."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cache_written_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer ready for the wire. `created` is in seconds since the epoch."""

    reply_id: str
    created: int
    model: str
    text: str
    finish: Finish | Literal["tool_calls"]
    usage: Usage
    calls: tuple[ToolCall, ...] = ()
    thought: Thought | None = None
    top_logprobs: int | None = None


def pieces_of(text: str, *, least: int = _MIN_PIECE_CHARS) -> list[str]:
    """A text in at most `MAX_PIECES` parts: an event per token would cost more CPU than the call."""
    size = max(least, -(-len(text) // MAX_PIECES))
    return [text[start : start + size] for start in range(0, len(text), size)]


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
    call_id_prefix: str
    """Of the ids of tool calls."""

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


def dumps(value: object) -> str:
    """JSON without spaces, as the vendors write it."""
    return json.dumps(value, separators=(",", ":"))


def stable_hash(*parts: str) -> int:
    """A 64-bit hash that is the same in every process, unlike `hash`."""
    digest = hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def stable_share(*parts: str) -> float:
    """A hash of the parts as a number from 0 up to 1."""
    return stable_hash(*parts) / 2**64


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

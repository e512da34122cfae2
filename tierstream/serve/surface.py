"""What an HTTP API looks like to the door: how its bodies are read, and how answers, streams and errors are written.

A surface is pure: it knows neither Kafka nor HTTP connections. One room is one surface.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from topics.answer_assembly import Piece
from topics.base import Identifier, Label, Tier
from topics.requests import Request
from topics.results import Result, ResultStatus


class DoorError(Exception):
    """Why a request is not served; each surface has its own words for it.

    The message may be shown to whoever asked: it holds no text of theirs.

    Attributes:
        status: HTTP status.
        code: One word, as OpenAI has codes: such as `invalid_request`, `rate_limit_exceeded`.
        message: What to do about it.
        param: The field that is wrong, where it is one.
        retry_after_s: When to come back, in seconds; None where that is not known.
        may_retry: What the header `x-should-retry` says; None: it is left out, and the client decides by the status.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        may_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.may_retry = may_retry


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: what their key says of them. It binds, whatever the body says."""

    name: str = ""
    user_id: Label | None = None
    feature: Label | None = None
    tags: tuple[Label, ...] = ()
    min_tier: Tier | None = None
    max_tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What the `model` of a body stands for.

    Attributes:
        name: As it was asked for; it is what answers name.
        min_tier: As in a Request.
        max_tier: As in a Request.
        model: As in a Request.
        feature: Of the Request, where the name is one that rules know.
    """

    name: str
    min_tier: Tier | None = None
    max_tier: Tier | None = None
    model: Label | None = None
    feature: Label | None = None


class Targets(Protocol):
    """What names of models stand for in this deployment."""

    def target(self, name: str) -> Target:
        """Look a name up: `auto`, `tier-1`, `groq/openai/gpt-oss-20b`.

        Raises:
            DoorError: 404, nothing here has the name.
        """


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a surface has read it.

    Attributes:
        request: For `llm.requests`.
        target: Whom it asks for.
        streams: Whether the answer goes out as it arrives.
        created_s: When it was asked, seconds since the epoch.
        wants_usage: Whether the stream ends with the usage, where that is asked for.
        background: Whether nobody waits for the answer.
        echo: What of the body the answer repeats.
        token: What the id of the answer is made of, behind the surface's prefix: where the request stands, so that any
            process finds it. The door sets it once Kafka has taken the request.
    """

    request: Request
    target: Target
    streams: bool
    created_s: int
    wants_usage: bool = True
    background: bool = False
    echo: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""


class EventWriter(Protocol):
    """Writes one answer as server-sent events; each method returns bytes for the wire, empty for nothing."""

    def begin(self) -> bytes:
        """Write what comes before anything is known of the answer."""

    def piece(self, piece: Piece) -> bytes:
        """Write a piece of the answer."""

    def finish(self, result: Result) -> bytes:
        """Write the end of an answer, all of which has been given as pieces."""

    def fail(self, error: DoorError) -> bytes:
        """Write that there won't be an answer, or no more of it."""

    def keep_alive(self) -> bytes:
        """Write something that only says that the connection lives."""


class Surface(Protocol):
    """An HTTP API that answers one request at a time."""

    name: str
    """One word for logs and metrics."""

    def read(
        self,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        *,
        request_id: Identifier,
        caller: Caller,
        targets: Targets,
        now_s: int,
    ) -> Asked:
        """Read a body.

        Args:
            body: The JSON object.
            headers: In lower case.
            request_id: For the Request.
            caller: Who asks.
            targets: Looks models up.
            now_s: Seconds since the epoch.

        Raises:
            DoorError: It is not of the API's form, or asks for what is not served here; the field is named.
        """

    def answer(self, asked: Asked, result: Result) -> dict[str, Any]:
        """Write an answer (`ok` or `degraded`) as one JSON object."""

    def events(self, asked: Asked) -> EventWriter:
        """Return a writer for the answer to a request that streams."""

    def error(self, error: DoorError, http_request_id: str) -> dict[str, Any]:
        """Write the body of an error response."""


_REFUSED: Final = {
    "budget": (429, "insufficient_quota"),
    "cancelled": (409, "cancelled"),
    "too_large": (413, "request_too_large"),
}
"""Status and code by why a request was rejected."""


def error_of(result: Result) -> DoorError | None:
    """Say in HTTP's terms why a request has no answer; None where it has one.

    None of them is worth the same POST again: its idempotency key has its result. Another key may be.
    """
    if result.error is None:
        return None
    refused = _REFUSED.get(result.error.code, (400, "invalid_request"))
    others = {"expired": (504, "timeout")}
    status, code = refused if result.status is ResultStatus.REJECTED else others.get(result.status, (502, "no_answer"))
    return DoorError(status, code, result.error.message, may_retry=False)

"""What comes out: the outcome a stage decides, the one result made of it, and the marker that it exists."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, Self
from uuid import UUID

from topics.base import Digits, Identifier, Millis, Money, Record, Tier, Timestamp
from topics.events import Hop
from topics.journal import Usage
from topics.messages import Spoken
from topics.requests import Dimensions
from topics.tasks import Attempt, Source

CANCELLED: Final = "cancelled"
"""Code of the error of a request that nobody waited for any more."""


class ResultStatus(StrEnum):
    """How a request ended."""

    OK = "ok"
    DEGRADED = "degraded"
    """An answer exists but failed a check, and no higher tier gave a better one."""
    REJECTED = "rejected"
    FAILED = "failed"
    EXPIRED = "expired"


class ResultError(Record):
    """Why there is no answer."""

    code: str
    message: str


class _End(Record):
    request_id: Identifier
    revision: int = 0
    status: ResultStatus
    attempt_id: UUID | None = None
    content: str | None = None
    error: ResultError | None = None
    reason: str | None = None
    """Why an answer that is `degraded` was not good enough, and why there is no better one."""
    said: str | None = None
    """What a judge said is wrong with it, in its own words: a text like the answer, which it may quote."""
    tier: Tier | None = None
    provider: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    cost_usd: Money
    provider_ms: float = 0.0
    """Time spent waiting for providers, over all attempts, in milliseconds."""
    route: tuple[Attempt, ...] = ()
    source: Source
    signature: Digits | None = None
    """Near-duplicate signature of the question, as the decision has it; None where nothing was decided."""
    prefix: Digits | None = None
    """Hash of what the system says before anybody else speaks; None where it says nothing."""
    prefix_tokens: int = 0
    """How long that is, in tokens, by estimate."""

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id


# The other way round, the dimensions would be written first.
class _Ending(Spoken, Dimensions, _End):
    pass


class Outcome(_Ending):
    """A decided ending, possibly one of several for the same request; settle publishes the first."""

    SCHEMA: ClassVar[str] = "outcome/1"

    digest: str
    stage: str
    hops: tuple[Hop, ...] = ()
    """The steps that led here and are not published yet."""


class Result(_Ending):
    """The one answer to (`request_id`, `revision`)."""

    SCHEMA: ClassVar[str] = "result/1"

    latency_ms: float
    """From the broker's append of the request to the settlement."""
    settled_at: Timestamp

    @classmethod
    def of(cls, outcome: Outcome, settled_at: datetime) -> Self:
        """Make the result that an outcome comes to when it is settled."""
        fields = {name: getattr(outcome, name) for name in _KEPT}
        latency_ms = max(settled_at.timestamp() * 1000 - outcome.source.timestamp_ms, 0.0)
        return cls(**fields, latency_ms=round(latency_ms, 3), settled_at=settled_at)


_KEPT: Final = tuple(name for name in Outcome.model_fields if name in Result.model_fields)
"""What the result has from the outcome."""


class Settled(Record):
    """Marker, in the result's transaction, by which later copies are recognised."""

    SCHEMA: ClassVar[str] = "settled/1"

    request_id: Identifier
    revision: int
    digest: str
    asked_ms: Millis | None = None
    """Append time of the copy of the request that was answered, ms since the epoch: the marker speaks of the copies
    within the window of it. None in markers that are older than the field."""
    outcome_offset: int | None = None
    """Where the outcome stood, in the same partition of its topic; all before it are settled too."""

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id


class Cancelled(Record):
    """Marker behind which no further call is made for a request that has no result yet."""

    SCHEMA: ClassVar[str] = "cancelled/1"

    request_id: Identifier
    revision: int

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id

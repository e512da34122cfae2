"""What is told about the work: status for requesters, hops for the ledger, dead letters for operators."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

from pydantic import Base64Bytes, Field

from topics.base import Identifier, Label, Money, Record, Tier, Timestamp
from topics.messages import WHERE_ANY, WHERE_GIVEN, CallId

DROPPED: Final = "dropped"
"""Outcome of a hop: a copy that had made this attempt came to nothing, for its request has its result."""


class StatusKind(StrEnum):
    """What happened to a request."""

    ACCEPTED = "accepted"
    ROUTED = "routed"
    ATTEMPT_STARTED = "attempt_started"
    ESCALATED = "escalated"
    PARKED = "parked"
    BATCHED = "batched"
    SETTLED = "settled"
    ID_REUSED = "id_reused"


class StatusEvent(Record):
    """One thing that happened."""

    kind: StatusKind
    at: Timestamp
    tier: Tier | None = None
    provider: str | None = None
    model: str | None = None
    detail: str | None = None
    unknown_fields: tuple[str, ...] = ()
    """Fields of the request that nobody reads, so that a typing error is seen."""


class Status(Record):
    """Events of one request that left a stage together."""

    SCHEMA: ClassVar[str] = "status/1"

    request_id: Identifier
    revision: int = 0
    events: tuple[StatusEvent, ...]

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id


class Delta(Record):
    """A piece of an answer that is not text alone.

    A text behind another kind begins a new part of the answer, and so does a reasoning; a signature ends one.
    """

    kind: Literal["text", "reasoning", "signature", "redacted", "tool_call"]
    text: str = ""
    """What is added: to the text, to the reasoning, as its signature, or to the arguments of the call."""
    index: Annotated[int | None, WHERE_GIVEN] = None
    """Of a call: which one, from 0."""
    id: Annotated[CallId | None, WHERE_GIVEN] = None
    """Of a call, in its first piece."""
    name: Annotated[str | None, WHERE_GIVEN] = None
    """Of a call, in its first piece: the function."""


class Chunk(Record):
    """A piece of a streamed answer, in order. The attempt that the result names has won; all others are void.

    A new `call_id` under the same attempt means that the stream began anew after a crash: what came before is void.
    """

    SCHEMA: ClassVar[str] = "chunk/1"

    request_id: Identifier
    revision: int = 0
    attempt_id: UUID
    call_id: UUID
    seq: Annotated[int, Field(ge=0)]
    """Counts from 0 within a call."""
    kind: Literal["text", "done", "broken"]
    """`done`: the stream is complete. `broken`: it won't be; another attempt may follow."""
    text: str = ""
    """All text in it."""
    deltas: Annotated[tuple[Delta, ...], WHERE_ANY] = ()
    """Where there is something else than text in it: all that is, the text too, in order."""
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id


class Hop(Record):
    """One step of one request through one stage."""

    stage: str
    started_at: Timestamp
    ended_at: Timestamp
    queue_ms: float
    """From the broker's append of the record that caused the step to its start."""
    outcome: str
    tier: Tier | None = None
    attempt_id: UUID | None = None
    provider: str | None = None
    model: str | None = None
    provider_ms: float = 0.0
    cost_usd: Money | None = None
    batch_size: int | None = None
    """Calls that left together with this one; None where no call left."""
    batch_wait_ms: float | None = None
    shares: int | None = None
    """Requests that this call's cost is split among."""
    rule: str | None = None
    classifier: str | None = None
    scores: tuple[float, ...] = ()
    detail: str | None = None


class Hops(Record):
    """Hops that were published together, in their order; a row each in ClickHouse."""

    SCHEMA: ClassVar[str] = "hops/1"

    request_id: Identifier
    revision: int = 0
    hops: Annotated[tuple[Hop, ...], Field(min_length=1)]

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id


class DeadLetter(Record):
    """A record that could not be served, with all that is needed to look at it and to send it again."""

    SCHEMA: ClassVar[str] = "dead-letter/1"

    stage: str
    reason: str
    message: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    request_id: Identifier | None = None
    key: Base64Bytes | None = None
    headers: tuple[tuple[str, Base64Bytes | None], ...] = ()
    value: Base64Bytes | None = None
    """The original bytes, or the first MiB of them."""
    size: int
    sha256: str
    truncated: bool = False
    traceback: str | None = None
    retries: int = 0
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """The request id where one was read, else where the record came from."""
        return self.request_id or f"{self.topic}:{self.partition}:{self.offset}"


class DeadLetterNote(Record):
    """What an operator did with a dead letter; it lies in the letter's partition, behind it."""

    SCHEMA: ClassVar[str] = "dead-letter-note/1"

    letter_partition: int
    letter_offset: int
    letter_key: str
    """The letter's partition key."""
    action: Literal["retried", "purged"]
    at: Timestamp
    by: Label
    request_id: Identifier | None = None
    revision: int | None = None
    """Which revision of the request a retry asks for; None where no request could be read."""

    @property
    def partition_key(self) -> str:
        """The letter's."""
        return self.letter_key

"""The journal of paid calls: written before and after each, so that none is lost or silently repeated."""

from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import Field

from topics.base import Identifier, Label, Millis, Money, Record, Tier, Timestamp
from topics.messages import WHERE_GIVEN, Spoken

_ATTEMPTS = uuid5(NAMESPACE_URL, "tierstream:attempt")

ATTEMPT_HEADER = "attempt-id"
STAGE_HEADER = "stage"
ASKED_HEADER = "asked-ms"
"""Append time of the request as eight bytes, most significant first: it tells two uses of one id apart."""

_REMEMBERED = 10_000
"""Attempts: of those under way, each is named several times."""

ABANDONED: Final = "abandoned"
"""Kind of error of an attempt that another process may still have on the wire, and that is given up for its sake."""
UNAVAILABLE: Final = "unavailable"
"""Kind of error of an attempt whose model could not be called."""

Tokens = Annotated[int, Field(ge=0)]
Rate = Annotated[Decimal, Field(ge=0, decimal_places=6)]
"""US dollars a million tokens."""


@lru_cache(_REMEMBERED)
def attempt_id(request_id: str, revision: int, stage: str, n: int) -> UUID:
    """Name the n-th try of a stage, the same in every process and after every restart."""
    return uuid5(_ATTEMPTS, "\x1f".join((request_id, str(revision), stage, str(n))))


class Purpose(StrEnum):
    """Why a call was paid for."""

    INFER = "infer"
    JUDGE = "judge"
    CLASSIFY = "classify"
    SHADOW = "shadow"


class Usage(Record):
    """Tokens of one call. `input` includes `cached` and `cache_written`, `output` includes `reasoning`."""

    input: Tokens
    output: Tokens
    cached: Tokens = 0
    """Read from the provider's prompt cache."""
    cache_written: Tokens = 0
    """Written to it, which some providers charge more for than for other input."""
    reasoning: Tokens = 0
    source: Literal["provider", "estimated"] = "provider"


class Rates(Record):
    """The prices that a call was billed at, in US dollars a million tokens."""

    input: Rate
    output: Rate
    cached: Rate
    cache_write: Rate | None = None
    """None: as other input."""
    source: str
    """Where the prices come from: `config`, or the price list and its version."""

    def cost(self, usage: Usage) -> Decimal:
        """Price a call in US dollars, exactly.

        The cost is linear in the tokens, so that those of shares add up to that of the whole.
        """
        fresh = usage.input - usage.cached - usage.cache_written
        written_at = self.input if self.cache_write is None else self.cache_write
        given = fresh * self.input + usage.cached * self.cached + usage.cache_written * written_at
        return (given + usage.output * self.output) / Decimal(1_000_000)


class CallError(Record):
    """Why a call failed, in terms that decide what happens next."""

    kind: str
    message: str
    status: int | None = None
    retry_after_ms: int | None = None


class _Call(Record):
    call_id: UUID
    """One trip over the wire; the attempt keeps its id when a crash makes it travel twice."""
    attempt_id: UUID
    request_id: Identifier
    revision: int
    stage: str
    n: int
    purpose: Purpose
    tier: Tier
    provider: str
    model: str
    started_at: Timestamp
    asked_ms: Millis | None = None
    """Append time of the request that the call was made for, ms since the epoch."""

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id

    def request_ms(self, appended_ms: int) -> int:
        """Return when its request came in, ms since the epoch.

        Args:
            appended_ms: When this record was appended: it counts where the record is older than the field.
        """
        return appended_ms if self.asked_ms is None else self.asked_ms

    def own_headers(self) -> list[tuple[str, bytes]]:
        """Name attempt, stage and age outside the value, so that the journal can be indexed without parsing answers."""
        asked = [] if self.asked_ms is None else [(ASKED_HEADER, self.asked_ms.to_bytes(8, signed=True))]
        return [(ATTEMPT_HEADER, self.attempt_id.bytes), (STAGE_HEADER, self.stage.encode()), *asked]


class CallStarted(_Call):
    """Acknowledged by the broker before the request leaves for the provider."""

    SCHEMA: ClassVar[str] = "call-started/1"

    deadline: Timestamp

    def end(self, **outcome: Any) -> "CallEnded":  # noqa: ANN401 - CallEnded's fields
        """Make the record of the call's end; `outcome` are the fields that only an end has, and `started_at`."""
        identity = {name: getattr(self, name) for name in _Call.model_fields}
        return CallEnded(**identity | outcome)


# The other way round, what was said would be written before whose call it was.
class CallEnded(Spoken, _Call):
    """How a call came out: the answer or the error, and the money."""

    SCHEMA: ClassVar[str] = "call-ended/1"

    ended_at: Timestamp
    content: str | None = None
    finish_reason: str | None = None
    error: CallError | None = None
    usage: Usage | None = None
    rates: Rates | None = None
    cost_usd: Money = Decimal(0)
    shares: Annotated[int, Field(ge=1)] = 1
    """Requests that share the call. Each has a record of its own under the same `call_id`, with its part of the
    usage and of the cost; the parts add up exactly."""
    first_token_ms: float | None = None
    """From the start of a streamed call to its first text."""
    batch_size: Annotated[int, Field(ge=1)] = 1
    """Calls that left together."""
    batch_wait_ms: float = 0.0
    """How long the call waited for its batch."""
    provider_batch: Annotated[Label | None, WHERE_GIVEN] = None
    """The provider's id of the batch that answered it, at the price and in the time of batches."""

    @property
    def has_left(self) -> bool:
        """Whether anything may have been sent; a classification is also journalled where nothing was."""
        return self.error is None or self.error.kind not in {ABANDONED, UNAVAILABLE}

    @property
    def provider_ms(self) -> float:
        """Time on the wire and at the provider, in milliseconds."""
        return (self.ended_at - self.started_at).total_seconds() * 1000

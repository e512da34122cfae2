"""Work in progress: what the stages hand to each other about one request."""

from decimal import Decimal
from typing import Annotated, ClassVar, Final, Self
from uuid import UUID

from pydantic import Field

from topics.base import Digits, Label, Millis, Money, Record, Tier, Timestamp
from topics.events import Hop
from topics.journal import Usage
from topics.messages import WHERE_GIVEN, Spoken
from topics.requests import Request

CRITICAL_PATH: Final = "critical path"
"""Why a judge looks where a rule says so."""

JUDGES: Final = "judge"
"""Why a judge was asked, in a route: a rule says so."""
SAMPLES: Final = "judge, sample"
"""The same, for an answer of a sample."""

CLASSIFY: Final = "classify"
"""The stage whose calls ask for the tier and not for an answer."""


class Source(Record):
    """Where the request came in; `timestamp_ms` is the broker's append time, ms since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: Millis


class Decision(Record):
    """Which tier a request starts on, and everything that led there."""

    tier: Tier
    rule: str | None
    """Name of the policy rule or limit that decided the tier; None: the scores did."""
    scores: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    """Probability for each tier, cheapest first, that it is the lowest one that will do."""
    boundary: tuple[float, float]
    """The band of probability that counted as unsure, as rules had shifted it."""
    classifier: str
    """Name and version of the classifier that scored."""
    query_type: Label
    validate_answer: bool
    """Whether a rule says that a judge must see the answer before it is published."""
    floor: Tier
    ceiling: Tier
    reasons: tuple[str, ...] = ()
    """Every rule and limit that applied, in order, and whatever else moved the tier."""
    classified_tier: Tier | None = None
    """What the scores alone came to within the boundary; None in records that are older than the field."""
    signature: Digits | None = None
    """Near-duplicate signature of the question: 64 bits of which similar texts differ in few."""
    stays_with: Annotated[str | None, WHERE_GIVEN] = None
    """`provider/model` that the conversation is with, to be asked first on this tier; None: nobody in particular."""


class Attempt(Record):
    """A finished try to answer: a line of the result's route."""

    attempt_id: UUID
    stage: str
    tier: Tier
    provider: str
    model: str
    why: str
    outcome: str
    cost_usd: Money
    provider_ms: float


class Completion(Spoken):
    """An answer that a model gave."""

    attempt_id: UUID
    tier: Tier
    provider: str
    model: str
    content: str
    finish_reason: str
    usage: Usage
    failed: Label | None = None
    """Why it was not good enough, such as `check: hedge`; None: nobody found anything."""
    said: Label | None = None
    """What a judge said is wrong with it, in its own words, which may quote the answer."""

    @property
    def is_empty(self) -> bool:
        """Whether there is neither text nor a call."""
        return not self.tool_calls and not self.content.strip()


class Waited(Record):
    """What came of waiting for a batch of a provider."""

    tier: Tier
    """Whose call waited; there the task does not wait again."""
    ended_at: Annotated[int, Field(ge=0)] | None = None
    """Offset of the call's end in the journal, in the partition of the request; None: the call is to be made."""


class TierTask(Record):
    """A request on its way through the tiers."""

    SCHEMA: ClassVar[str] = "tier-task/1"
    REQUEST_ID_AT: ClassVar[tuple[str, ...]] = ("request", "request_id")

    request: Request
    digest: str
    revision: int = 0
    source: Source
    deadline: Timestamp
    decision: Decision
    tier: Tier
    promoted_from: Tier | None = None
    """The tier that it left only because no provider was to be had there; a parked task goes back to it."""
    why: str
    waited: Annotated[Waited | None, WHERE_GIVEN] = None
    """Given once it has waited for a batch of a provider."""
    attempts: tuple[Attempt, ...] = ()
    best: Completion | None = None
    """The answer to fall back on when no higher tier gives a better one."""
    hops: tuple[Hop, ...] = ()
    """Its steps so far; they are published with its result, or when it is parked."""

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request.request_id

    @property
    def stays_with(self) -> str | None:
        """The model to be asked first where the task is now: none once it has left the tier of its conversation."""
        return self.decision.stays_with if self.tier == self.decision.tier else None

    @property
    def waited_here(self) -> Waited | None:
        """What came of waiting for a batch at the tier where the task is now; None: it has not waited there."""
        return self.waited if self.waited is not None and self.waited.tier == self.tier else None

    @property
    def cost_usd(self) -> Decimal:
        """What all attempts have cost so far, in US dollars."""
        return sum((attempt.cost_usd for attempt in self.attempts), start=Decimal(0))

    @property
    def is_spent(self) -> bool:
        """Whether the attempts have used up what the requester is ready to pay."""
        limit = self.request.max_cost_usd
        return limit is not None and self.cost_usd >= limit

    @property
    def calls_for_an_answer(self) -> int:
        """How many attempts there were, judges included; asking which tier will do is none of them."""
        return len(self.attempts) - self.tries(CLASSIFY)

    def after(self, *hops: Hop) -> Self:
        """Return the task with further steps behind it."""
        return self.model_copy(update={"hops": (*self.hops, *hops)})

    def tries(self, stage: str) -> int:
        """How many attempts the stage has made for this task."""
        return sum(attempt.stage == stage for attempt in self.attempts)


class TaskRecord(Record):
    """What a stage hands on together with a task.

    The request of the task waits for its result: a copy of the record is dropped where the result is there, and the
    request ends where a handler fails over it. A record for later, when the request has its result, is none of these.
    """

    REQUEST_ID_AT: ClassVar[tuple[str, ...]] = ("task", *TierTask.REQUEST_ID_AT)

    task: TierTask

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.task.partition_key


class Parked(TaskRecord):
    """A task that rests because no provider is to be had; it goes back to its tier until its deadline.

    With an answer it rests for want of a judge, and goes back there.
    """

    SCHEMA: ClassVar[str] = "parked/1"

    reason: Label
    since_ms: Annotated[int, Field(ge=0)] | None = None
    """Broker append time, ms since the epoch, of the record that parked the task; None: that is this one."""
    completion: Completion | None = None
    """The answer that waits for a judge."""


class Answer(TaskRecord):
    """An answer that waits for a judge."""

    SCHEMA: ClassVar[str] = "answer/1"

    completion: Completion
    why: Label = CRITICAL_PATH
    """Why a judge looks."""
    withheld: bool = True
    """Whether it is held back where it fails; False: the judge looks to learn, and the answer goes out either way."""


class Escalation(TaskRecord):
    """An answer that was not good enough; its task goes one tier up."""

    SCHEMA: ClassVar[str] = "escalation/1"

    reason: Label
    said: Label | None = None
    """What a judge said is wrong with the answer, in its own words, which may quote it."""


def task_of(record: Record | None) -> TierTask | None:
    """Return the task that a record is or hands on; None where there is none."""
    match record:
        case TierTask():
            return record
        case TaskRecord():
            return record.task
        case _:
            return None


def awaits_result(record: type[Record]) -> bool:
    """Whether a request waits for its result behind every record of this type."""
    return issubclass(record, (Request, TierTask, TaskRecord))

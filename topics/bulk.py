"""Bulk requests that a provider answers in a batch of its own, at a lower price and in its own time.

A task waits on `llm.bulk` until its call leaves with others as one batch of the provider. What was submitted stands on
`llm.submissions`, in the partition of the tasks, so whoever owns that one knows which batches there are: it never
submits a task twice, and asks the provider about what another process submitted.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from topics.base import Identifier, Label, Millis, Record, Timestamp
from topics.tasks import TaskRecord

Offset = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class BulkTask(TaskRecord):
    """A task whose next call waits for a batch of the provider."""

    SCHEMA: ClassVar[str] = "bulk-task/1"

    stage: str
    """Whose call it is: that of the tier, such as `infer:1`, which finds its end in the journal."""
    provider: str
    model: str


MEMBER_BYTES: Final = 1200
"""Most bytes of a member in its record: an id has up to 256 characters of up to four bytes each."""


class _OfSubmission(Record):
    submission_id: Identifier

    @property
    def partition_key(self) -> str:
        """The submission's id, which is chosen so that it lies in the partition of its tasks."""
        return self.submission_id


class Member(Record):
    """A call of a submission, and where its task is."""

    offset: Offset
    """In `llm.bulk`, in the partition of the submission; it also names the call within the submission."""
    request_id: Identifier
    revision: int = 0
    n: Count
    """Which try of the stage the call is."""
    asked_ms: Millis
    """When the request came in, ms since the epoch."""


class Submission(_OfSubmission):
    """Calls that are about to leave as one batch. Written before any of it leaves; the first one of a task counts."""

    SCHEMA: ClassVar[str] = "submission/1"

    stage: str
    provider: str
    model: str
    members: Annotated[tuple[Member, ...], Field(min_length=1)]
    """In the order of their offsets."""
    at: Timestamp
    gives_up_at: Timestamp
    """When what the provider has not answered by then is called off, and asked elsewhere."""


class Submitted(_OfSubmission):
    """Says under which id the provider has the batch."""

    SCHEMA: ClassVar[str] = "submitted/1"

    batch_id: Label
    at: Timestamp
    found: bool = False
    """Whether it was looked up: who submitted it died before it could say so."""


class SubmissionEnded(_OfSubmission):
    """Says that every task of a submission has gone on."""

    SCHEMA: ClassVar[str] = "submission-ended/1"

    status: Literal["collected", "refused", "lost"]
    """`collected`: the provider has ended the batch. `refused`: it took none of it. `lost`: it knows the batch no more,
    and whether it bills it nobody can say."""
    answered: Count
    """Calls with an answer."""
    detail: str | None = None
    at: Timestamp

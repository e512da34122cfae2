"""What whoever used an answer says of it."""

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator

from topics.base import Identifier, Label, Record

UNMATCHED: Final = "unmatched"
"""Outcome of the hop of feedback whose result nobody knows; else it is the kind."""
MOST_COMMENT: Final = 4_096
"""Characters of a comment."""
MOST_CORRECTION: Final = 65_536
"""Characters of a correction."""
_BEST_RATING: Final = 5
_RETRIED: Final = re.compile(r"retried as revision ([0-9]{1,9})\b")


class FeedbackKind(StrEnum):
    """What was observed of an answer, by a person or by a program."""

    THUMBS_UP = "thumbs_up"
    THUMBS_DOWN = "thumbs_down"
    RATING = "rating"
    REPHRASE = "rephrase"
    """The user asked for the same in other words."""
    FRUSTRATION = "frustration"
    SCHEMA_MISMATCH = "schema_mismatch"
    """A program could not use the answer as it is."""
    WRONG = "wrong"
    HUMAN_CORRECTED = "human_corrected"


class Feedback(Record):
    """Feedback on the result of (`request_id`, `revision`)."""

    SCHEMA: ClassVar[str] = "feedback/1"

    request_id: Identifier
    revision: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    kind: FeedbackKind
    rating: Annotated[int, Field(ge=1, le=_BEST_RATING)] | None = None
    """From 1, bad, to 5, good; of kind `rating` alone."""
    user_id: Label | None = None
    """Who says so."""
    comment: Annotated[str, Field(max_length=MOST_COMMENT)] | None = None
    correction: Annotated[str, Field(max_length=MOST_CORRECTION)] | None = None
    """What the answer should have been; of kind `human_corrected` alone."""
    retry: bool | None = None
    """Whether to ask a more capable tier; None: as the deployment does for the kind."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.rating is None) is (self.kind is FeedbackKind.RATING):
            raise ValueError("rating: needed with kind rating, and with no other")
        if self.correction is not None and self.kind is not FeedbackKind.HUMAN_CORRECTED:
            raise ValueError("correction: goes with kind human_corrected only")
        return self

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id

    @property
    def score(self) -> float:
        """How good it says that the answer was: 1.0 good, 0.0 bad."""
        if self.rating is not None:
            return (self.rating - 1) / (_BEST_RATING - 1)
        return 1.0 if self.kind is FeedbackKind.THUMBS_UP else 0.0


class Cancellation(Record):
    """Says that nobody waits for (`request_id`, `revision`) any more: no further call is made for it.

    A call that has left goes on, and its answer is the result: it is paid for either way.
    """

    SCHEMA: ClassVar[str] = "cancellation/1"

    request_id: Identifier
    revision: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.request_id


def retried_as(revision: int) -> str:
    """Return the detail of the hop of feedback that has a request answered anew."""
    return f"retried as revision {revision}"


def kind_told(outcome: str, detail: str | None) -> str:
    """Return the kind of the feedback that a hop tells of: its outcome, or what its detail begins with if unmatched."""
    return (detail or "").partition(":")[0] if outcome == UNMATCHED else outcome


def revision_asked_for(detail: str | None) -> int | None:
    """Return the revision that the detail of a hop of feedback says was asked for; None: none was."""
    found = _RETRIED.match(detail or "")
    return None if found is None else int(found[1])

"""The log of budgets: what may be spent is asked for, granted in the order of the log, and written down once spent.

All of it stands on one partition, so that whoever reads it comes to the same sums and the same verdicts.
"""

from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

from pydantic import Field

from topics.base import Identifier, Label, Millis, Money, Record, Timestamp

BUDGETS_KEY: Final = "budgets"

Levels = Literal[0, 1, 2]
"""What was told of: nothing, that the soft share was passed, that the budget is exhausted."""


class Payer(Record):
    """Whose budgets a call is charged to: the dimensions of its request."""

    user_id: Label | None = None
    feature: Label | None = None
    tags: tuple[Label, ...] = ()


class _OnTheLog(Record):
    @property
    def partition_key(self) -> str:
        """One for all: their order is what counts."""
        return BUDGETS_KEY


class Reservation(_OnTheLog):
    """Asks for what a call may cost at most. The state of the log where this stands grants or refuses it."""

    SCHEMA: ClassVar[str] = "reservation/1"

    call_id: UUID
    attempt_id: UUID
    """It takes the place of an earlier one of the same attempt, whose process has died or lost the work."""
    request_id: Identifier
    payer: Payer
    budgets: tuple[Label, ...]
    """Names of the hard budgets that have to have room for it."""
    most_usd: Money
    waits_until: Timestamp
    """Until then it may be granted, where calls under way are all that is in its way."""
    expires_at: Timestamp
    """A granted one counts until then, unless the call has ended before."""


class Spending(_OnTheLog):
    """What a request has paid for a call, or for its share in one: what the journal says of the call's end."""

    SCHEMA: ClassVar[str] = "spending/1"

    call_id: UUID
    request_id: Identifier
    revision: int
    payer: Payer
    cost_usd: Money
    ended_at: Timestamp
    """When the call ended, which is the moment that the money counts at."""


class Release(_OnTheLog):
    """Gives back what was asked for: the call was not made."""

    SCHEMA: ClassVar[str] = "release/1"

    call_id: UUID
    request_id: Identifier


class AccountSum(Record):
    """What was spent of a budget by one user, feature or tag, or by all."""

    key: Label
    """User, feature or tag; empty: all."""
    sums: tuple[tuple[int, Money], ...]
    """Steps of time, numbered since the epoch, and what was spent in each; the oldest first."""
    told: Levels = 0


class BudgetSums(Record):
    """All accounts of a budget. Another `by`, `value` or `window_ms` makes another budget of it."""

    name: Label
    by: Label
    value: Label | None
    window_ms: Annotated[int, Field(gt=0)]
    since: Timestamp
    """What was spent before then was not counted."""
    accounts: tuple[AccountSum, ...]


class Claim(Record):
    """A reservation that is granted, or waits."""

    reservation: Reservation
    granted: bool


class BudgetSnapshot(_OnTheLog):
    """The state that the log has come to before an offset, so that nobody has to read all of it."""

    SCHEMA: ClassVar[str] = "budget-snapshot/1"

    offset: Annotated[int, Field(ge=0)]
    at_ms: Millis
    """Latest append time up to there."""
    part: Annotated[int, Field(ge=0)]
    parts: Annotated[int, Field(ge=1)]
    """A large state comes in several records."""
    by: Label
    """Who wrote it: two may at the same offset."""
    budgets: tuple[BudgetSums, ...]
    claims: tuple[Claim, ...] = ()

"""Alerts: what somebody should hear of without asking."""

from typing import ClassVar, Literal
from uuid import UUID

from topics.base import Identifier, Label, Money, Record, Timestamp


class Alert(Record):
    """Something that somebody should hear of. One that is told twice has the same id."""

    SCHEMA: ClassVar[str] = "alert/1"

    id: UUID
    kind: Literal["budget_soft", "budget_exhausted", "finding"]
    title: str
    """One line."""
    text: str
    usd: Money | None = None
    """The money that it is about."""
    at: Timestamp
    budget: Label | None = None
    """Its name, where the alert is about a budget; so are the fields below."""
    key: Label | None = None
    """Whose spending it is: `user:ann`, `feature:help`, `tag:nightly` or `all`."""
    spent_usd: Money | None = None
    limit_usd: Money | None = None
    window: Label | None = None
    evidence: tuple[Identifier, ...] = ()
    """Requests that show it."""

    @property
    def partition_key(self) -> str:
        """The id."""
        return str(self.id)

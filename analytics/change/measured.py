"""What was paid in a period, by cells that are compared with each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

INPUT_KINDS: Final = ("fresh", "cached", "written")
OUTPUT: Final = "output"
KINDS: Final = (*INPUT_KINDS, OUTPUT)
"""Kinds of tokens, which are priced apart; those that are written to a cache are neither fresh nor cached."""

Segment = tuple[str, str]
"""Feature and query type: requests of like kind, whose number is the volume."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Paid calls that belong together.

    Attributes:
        feature: Of their requests; empty: none.
        query_type: The same.
        purpose: infer, classify, judge or shadow.
        escalated: Whether they are of attempts that a task was escalated to.
        tier: That was asked for an answer; 0: calls beside the answers.
        provider: Who was asked.
        model: Its id.
    """

    feature: str
    query_type: str
    purpose: str
    escalated: bool
    tier: int
    provider: str
    model: str

    @property
    def segment(self) -> Segment:
        """Whose requests are its volume."""
        return self.feature, self.query_type

    @property
    def group(self) -> tuple[str, str, str, bool]:
        """The calls that models have shares in."""
        return self.feature, self.query_type, self.purpose, self.escalated

    @property
    def ref(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Paid:
    """Sums over the calls of a cell.

    Attributes:
        calls: That got an answer, each counted by every request that shares it; without one, all that cost anything.
        tokens: By kind.
        costs: In US dollars by kind.
    """

    calls: int
    tokens: Mapping[str, int]
    costs: Mapping[str, Decimal]

    @property
    def input_tokens(self) -> int:
        """All kinds of input."""
        return sum(self.tokens[kind] for kind in INPUT_KINDS)

    @property
    def cost_usd(self) -> Decimal:
        """All kinds."""
        return sum(self.costs.values(), start=Decimal(0))

    @property
    def unmetered_usd(self) -> Decimal:
        """What was paid without any tokens of its kind."""
        return sum((cost for kind, cost in self.costs.items() if not self.tokens[kind]), start=Decimal(0))


NOTHING: Final = Paid(0, dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, Decimal(0)))


@dataclass(frozen=True, slots=True)
class Measured:
    """A period.

    Attributes:
        paid: By cell.
        requests: That got a result, by segment.
    """

    paid: Mapping[Cell, Paid]
    requests: Mapping[Segment, int] = field(default_factory=dict)

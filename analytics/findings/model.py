"""What a finding says, and what kinds hand over before all of them are weighed together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["power_user", "feature_tier", "slow_provider", "cacheable_prompt", "shareable_prompt", "cost_change"]
Value = int | float | str
MONTH_DAYS: Final = 30
SAME_QUESTION_BITS: Final = 8
"""Signatures of questions that differ in so many bits at most are of the same question, asked in nearly the same words:
of 64 bits, so few differ by chance in one of 10,000,000,000 pairs."""
_CENT: Final = Decimal("0.000001")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Evidence(_Record):
    """A request to look at."""

    request_id: str
    why: str


class Finding(_Record):
    """Something to do, what it is worth and how sure that is."""

    id: str
    """The same for the same thing, whenever it is found."""
    kind: Kind
    title: str
    advice: str
    """What to do."""
    usd_month: Decimal
    """What it saves in 30 days; below 0: what it costs."""
    usd_month_low: Decimal
    """Lower end of the 95 % interval of `usd_month`."""
    usd_month_high: Decimal
    confidence: float
    """That no finding of the report that is as sure as this one is an error of chance."""
    figures: dict[str, Value]
    """What it rests on; shares are of 1."""
    evidence: tuple[Evidence, ...]
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Money:
    """US dollars of the period, with an interval of 95 %."""

    usd: float
    low: float
    high: float

    def a_month(self, days: float) -> dict[str, Decimal]:
        """Return the fields of a finding, of 30 days, where the period has `days`."""
        of_month = {"usd_month": self.usd, "usd_month_low": self.low, "usd_month_high": self.high}
        return {name: Decimal(usd * MONTH_DAYS / days).quantize(_CENT) for name, usd in of_month.items()}


@dataclass(frozen=True, slots=True)
class Examples:
    """Which requests show it; a field that is None asks for nothing.

    Attributes:
        why: What is to be seen in them.
        since: Of the hour or day that is looked into.
        user_id: Who asked.
        feature: Where.
        query_type: Of what type.
        tier: That answered.
        model: That answered, as `provider/model`.
        signature: Of the question, or nearly.
    """

    why: str
    since: datetime
    user_id: str | None = None
    feature: str | None = None
    query_type: str | None = None
    tier: int | None = None
    model: str | None = None
    signature: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a kind has found, as far as it can tell alone.

    Attributes:
        p: How likely figures like these are, at most, where there is nothing to find.
        figures: See Finding.
        examples: What is shown of it.
    """

    id: str
    kind: Kind
    title: str
    advice: str
    money: Money
    p: float
    figures: Mapping[str, Value]
    examples: Examples

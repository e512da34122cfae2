"""The sections about budgets: what may be spent over rolling windows, by whom, and who is told."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from streams.config.section import Section
from streams.config.setting_types import HttpUrl, Share, TierName, Variable
from streams.config.settings_candidates import CandidateName
from topics.base import Label

_SPAN: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_MILLISECONDS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SHORTEST_MS: Final = 10_000
_LONGEST_MS: Final = 366 * 86_400_000
_STEPS: Final = 1440
"""A window moves in so many steps, of a second at least."""
_SHORTEST_STEP_MS: Final = 1000


def _span_ms(text: str) -> int | None:
    found = _SPAN.fullmatch(text)
    return int(found[1]) * _MILLISECONDS[found[2]] if found else None


def _span(value: str) -> str:
    span = _span_ms(value)
    if span is None or not _SHORTEST_MS <= span <= _LONGEST_MS:
        raise ValueError("must be a span from 10s to 366d, such as 30m, 1h, 1d or 30d")
    return value


Span = Annotated[str, AfterValidator(_span)]
"""A whole number with s, m, h or d behind it."""


class BudgetSettings(Section):
    """What may be spent in any window of a length: by each user, feature or tag, by one of them, or by all."""

    name: CandidateName
    by: Literal["user", "feature", "tag", "all"]
    value: Annotated[Label, Field(min_length=1)] | None = None
    """Only this user, feature or tag; None: each has the budget for itself."""
    usd: Annotated[Decimal, Field(gt=0, le=1_000_000_000, decimal_places=6)]
    window: Span
    soft_at: Annotated[Share, Field(gt=0)] = 0.8
    """From which share on it is told of."""
    hard: Literal["none", "reject", "lower"] = "none"
    """What becomes of requests once it is exhausted: nothing, rejected, or answered by no tier above `lower_to`."""
    lower_to: TierName = 1

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.by == "all" and self.value is not None:
            raise ValueError('value needs by = "user", "feature" or "tag"')
        return self

    @property
    def window_ms(self) -> int:
        """Length of the window in milliseconds."""
        return _span_ms(self.window) or 0

    @property
    def step_ms(self) -> int:
        """By how much the window moves at a time, in milliseconds."""
        return max(-(-self.window_ms // _STEPS), _SHORTEST_STEP_MS)

    @property
    def steps(self) -> int:
        """How many steps it is long, the one that has begun included."""
        return -(-self.window_ms // self.step_ms)


class AlertSettings(Section):
    """Who is told of alerts besides those who read `llm.alerts`."""

    webhook_url: HttpUrl | None = None
    """Each alert is posted there as JSON, at least once; None: nothing is."""
    secret_env: Variable | None = None
    """Environment variable with the secret that posts are signed with; None: they are not."""
    timeout_s: Annotated[float, Field(gt=0)] = 10.0
    longest_pause_s: Annotated[float, Field(gt=0)] = 60.0
    """Between two tries of a post that was not taken; the first pause is a second, each next one twice as long."""
    give_up_s: Annotated[float, Field(gt=0)] = 86_400.0
    """An alert that nobody has taken for so long is left out."""


def budget_problems(budgets: tuple[BudgetSettings, ...], tiers: int) -> Iterator[tuple[str, str]]:
    """Yield what does not go together: the key of the section, and a sentence."""
    names = [budget.name for budget in budgets]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield "budgets", f"budgets: {names.count(name)} of them are called {name!r}"
    for budget in budgets:
        if isinstance(budget.lower_to, int) and budget.lower_to > tiers:
            yield "budgets", f"budgets[{budget.name}]: tier {budget.lower_to} does not exist, there are {tiers}"

"""A budget of the settings, and whose accounts of it a call is charged to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from streams.budgets.money import pico_of
from streams.config.settings import Settings
from streams.config.settings_budgets import BudgetSettings
from topics.budgets import Payer
from topics.journal import Purpose
from topics.requests import Request


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """A budget, ready to count with.

    Attributes:
        settings: That it is made of.
        limit: In millionths of a millionth of a US dollar.
        soft: The amount from which on it is told of.
        lower_to: The highest tier that an exhausted budget leaves; None: it is none that lowers.
    """

    settings: BudgetSettings
    limit: int
    soft: int
    lower_to: int | None

    @classmethod
    def of(cls, settings: BudgetSettings, top_tier: int) -> Self:
        """Make the plan of a budget, in a deployment of so many tiers."""
        limit = pico_of(settings.usd)
        tier = settings.lower_to if isinstance(settings.lower_to, int) else top_tier
        lower_to = tier if settings.hard == "lower" else None
        return cls(settings, limit, min(int(limit * settings.soft_at), limit), lower_to)

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    @property
    def is_hard(self) -> bool:
        """Whether something becomes of requests once it is exhausted."""
        return self.settings.hard != "none"

    def step_of(self, at_ms: int) -> int:
        """Return the step that a moment (ms since the epoch) lies in."""
        return at_ms // self.settings.step_ms

    def first_step(self, now_ms: int) -> int:
        """Return the first step of the window that ends now."""
        return self.step_of(now_ms) - self.settings.steps + 1

    def keys_of(self, payer: Payer) -> Iterable[str]:
        """Name the accounts that what somebody spends is charged to; one that is empty is no user and no feature."""
        match self.settings.by:
            case "all":
                return ("",)
            case "user":
                found: Sequence[str | None] = (payer.user_id,)
            case "feature":
                found = (payer.feature,)
            case "tag":
                found = tuple(dict.fromkeys(payer.tags))
        value = self.settings.value
        return [key for key in found if key and (value is None or key == value)]

    def binds(self, purpose: Purpose, tier: int) -> bool:
        """Whether a call needs room in it: below the tier that it lowers to, answers are what it leaves."""
        if self.lower_to is not None and purpose is Purpose.INFER:
            return tier > self.lower_to
        return self.is_hard

    def account(self, key: str) -> str:
        """Name an account for people, such as `user:ann`."""
        return f"{self.settings.by}:{key}" if key else self.settings.by


def plans_of(settings: Settings) -> list[BudgetPlan]:
    """Make the plans of all budgets."""
    return [BudgetPlan.of(budget, settings.top_tier) for budget in settings.budgets]


def payer_of(request: Request) -> Payer:
    """Say whose budgets the calls for a request are charged to."""
    return Payer(user_id=request.user_id, feature=request.feature, tags=request.tags)


def places(plans: Iterable[BudgetPlan], payer: Payer) -> Iterator[tuple[BudgetPlan, str]]:
    """Yield every account that what somebody spends is charged to."""
    for plan in plans:
        for key in plan.keys_of(payer):
            yield plan, key

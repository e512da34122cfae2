"""Why a budget has no room for a call."""

from dataclasses import dataclass
from decimal import Decimal

from streams.budgets.money import in_words, usd_of
from streams.budgets.plan import BudgetPlan
from topics.base import from_millis


@dataclass(frozen=True, slots=True)
class Refusal:
    """What stands in the way of a call.

    Attributes:
        plan: Of the budget.
        key: Of the account.
        spent: In the window, in millionths of a millionth of a US dollar.
        held: What calls under way may cost at most.
        room_at_ms: When the window has left so much behind that something may be spent again, ms since the epoch; None
            where that is now, and what calls under way may cost is in the way.
    """

    plan: BudgetPlan
    key: str
    spent: int
    held: int
    room_at_ms: int | None

    def __str__(self) -> str:
        limit, window = in_words(self.plan.settings.usd), self.plan.settings.window
        spent = in_words(usd_of(self.spent))
        what = f"budget {self.plan.name} ({self.plan.account(self.key)}): {spent} of {limit} in {window} spent"
        if self.room_at_ms is None:
            return f"{what}, the rest is held for calls under way, up to {in_words(usd_of(self.held))}"
        return f"{what}, there is room again at {from_millis(self.room_at_ms).isoformat(timespec='seconds')}"

    @property
    def may_pass(self) -> bool:
        """Whether calls under way are all that is in the way."""
        return self.room_at_ms is None

    @property
    def spent_usd(self) -> Decimal:
        """What was spent, in US dollars."""
        return usd_of(self.spent)

"""What shadows may still spend, in this process. Pure: every method is told the time.

Credit grows evenly with time, for each shadow and partition by itself, from nothing: whoever gets a partition has none
of it at first, so that restarts and rebalances make no money. At most a quarter of a day's worth is saved up. A
comparison may begin while there is no debt, and all that it may cost is taken at once, which may make a debt.

So in any 24 hours all processes together spend at most the budget, and beyond it at most one comparison for each
partition, and one more for each rebalance and each restart.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

DAY: Final = timedelta(days=1)
MOST_SAVED: Final = timedelta(hours=6)


@dataclass(slots=True)
class _Purse:
    generation: int
    at: datetime
    level: Decimal = Decimal(0)


@dataclass(slots=True)
class ShadowBudgets:
    """The credit of each shadow on each partition that this process has or had."""

    _purses: dict[tuple[str, int], _Purse] = field(default_factory=dict)

    def take(
        self, name: str, per_day: Decimal, place: tuple[int, int], partitions: int, cost: Decimal, now: datetime
    ) -> bool:
        """Take what a comparison may cost, unless there is a debt; say whether it was taken.

        Args:
            name: Of the shadow.
            per_day: Its budget in US dollars.
            place: The partition, and the generation of the group in which it came.
            partitions: Among how many the budget is shared.
            cost: In US dollars; what of it is not spent has to be given back.
            now: The time.
        """
        partition, generation = place
        purse = self._purses.setdefault((name, partition), _Purse(generation, now))
        if purse.generation != generation:
            # Somebody else may have had the partition in between, and with it what it has earned.
            purse.generation, purse.level, purse.at = generation, min(purse.level, Decimal(0)), now
        # The savings come on top of what a day earns.
        per_second = per_day / partitions / Decimal((DAY + MOST_SAVED).total_seconds())
        earned = per_second * Decimal(max((now - purse.at).total_seconds(), 0.0))
        most = per_second * Decimal(MOST_SAVED.total_seconds())
        purse.level, purse.at = min(purse.level + earned, most), max(purse.at, now)
        if per_day <= 0 or purse.level < 0:
            return False
        purse.level -= cost
        return True

    def give_back(self, name: str, partition: int, cost: Decimal) -> None:
        """Give back what was taken and not spent; a negative amount takes more."""
        purse = self._purses.get((name, partition))
        if purse is not None:
            purse.level += cost

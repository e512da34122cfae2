"""Keeps a spending target: the price of a dollar in reward, raised and lowered as money is short or plentiful.

The dual of "most reward with a mean cost of at most the budget" has one variable, the price of a dollar: each request
goes to the arm with the most reward less price times cost (bandits with knapsacks, Badanidiyuru et al. 2013). It is
solved for on recent requests rather than crept towards, and an account of what was saved corrects what predictions get
wrong.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.routing.online.features import Floats

_DEAREST: Final = 1e9
_CHEAPEST: Final = 1e-3
_HALVINGS: Final = 36
_LEAST, _MOST = 0.2, 3.0
"""Of the budget: what is aimed at, however much was overspent or saved."""


@dataclass(frozen=True, slots=True)
class PacingOptions:
    """How the account is kept, in requests' worth of the budget.

    Attributes:
        horizon: Within so many requests what is missing of the reserve is to be saved, and what is above it spent.
        reserve: To be kept, so that a few expensive answers do not overspend.
        most_saved: More is given up: a month of little traffic is no leave to spend it in a day.
        largest_call: Share of the account that one call may be expected to cost.
        any_call: What every call may be expected to cost, whatever the account.
    """

    horizon: float = 200.0
    reserve: float = 20.0
    most_saved: float = 400.0
    largest_call: float = 0.75
    any_call: float = 3.0


class Pacer:
    """Keeps the account of a deployment.

    Args:
        budget_usd: Wanted mean cost of a request, in dollars.
        options: How the account is kept.
    """

    def __init__(self, budget_usd: float, options: PacingOptions) -> None:
        self.budget_usd: Final = budget_usd
        self._options = options
        self._saved_usd = 0.0

    @property
    def saved_usd(self) -> float:
        """What the requests so far cost less than the budget; negative where it was more."""
        return self._saved_usd

    @property
    def target_usd(self) -> float:
        """What the next requests are to cost on average."""
        own = self._options
        missing = self._saved_usd - own.reserve * self.budget_usd
        return min(max(self.budget_usd + missing / own.horizon, _LEAST * self.budget_usd), _MOST * self.budget_usd)

    @property
    def ceiling_usd(self) -> float:
        """What a call may be expected to cost; the cheapest arm may always be chosen."""
        own = self._options
        return max(self._saved_usd * own.largest_call, self.budget_usd * own.any_call)

    def spend(self, cost_usd: float, *, requests: int = 1) -> None:
        """Take in what requests cost; none where something more was paid for one that was taken in before."""
        most = self._options.most_saved * self.budget_usd
        self._saved_usd = min(self._saved_usd + requests * self.budget_usd - cost_usd, most)


def price_of_a_dollar(rewards: Floats, costs: Floats, doubts: Floats, target_usd: float) -> float:
    """Return the lowest price at which requests cost no more than the target on average.

    Args:
        rewards: (requests, arms) Expected; minus infinity where an arm is not allowed.
        costs: (requests, arms) Expected, in dollars.
        doubts: (arms,) By so much an arm may seem worse than a dearer one and still be chosen.
        target_usd: Mean cost.
    """
    rows = np.arange(len(rewards))

    def mean_cost(price: float) -> float:
        values = rewards - price * costs
        best = values.argmax(axis=1)
        doubted = costs < costs[rows, best][:, None]
        return float(costs[rows, (values + doubted * doubts).argmax(axis=1)].mean())

    if not len(rewards) or mean_cost(0.0) <= target_usd:
        return 0.0
    low, high = _CHEAPEST, _DEAREST
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if mean_cost(middle) > target_usd else (low, middle)
    return high

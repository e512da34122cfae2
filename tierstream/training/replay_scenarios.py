"""What may happen while outcomes are replayed: a model changes or is new, and some users lie."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from tierstream.training import TrainingError
from tierstream.training.evaluation import Array, Ints
from tierstream.training.outcome_file import ArmOutcomes

_PRICE_CUT: Final = 0.1
_REGRESSED: Final = 0.75
NEW_MODEL: Final = "new-model"


class Change(StrEnum):
    """What becomes of the models, of which the first costs least on average and the last most."""

    PRICE_CUT = "price-cut"
    """The most expensive one costs a tenth, and the price list says so."""
    SILENT_PRICE_CUT = "silent-price-cut"
    """The same, and nobody says so."""
    REGRESSION = "regression"
    """The middle one's rewards fall to a mean of 0.75."""
    NEW_MODEL = "new-model"
    """There is one more, with the rewards of the middle one at the cost of the cheapest."""


class Lie(StrEnum):
    """What hostile users say of the answers they get."""

    DOWN = "down"
    """The cheapest model's are perfect, and all others' worthless."""
    UP = "up"
    """The most expensive model's are perfect, and all others' worthless."""
    INVERT = "invert"
    """The better an answer is, the worse."""

    def told(self, reward: float, arm: int, arms: int) -> float:
        """Return what is said of an answer that is worth the reward, by a model of so many in the order of cost."""
        if self is Lie.INVERT:
            return 1 - reward
        return float(arm == (0 if self is Lie.DOWN else arms - 1))


@dataclass(frozen=True, slots=True)
class Hostility:
    """Who lies.

    Attributes:
        feedback: Share of the requests that are theirs.
        users: Share of the users that they are, one at least.
        lie: What they say.
    """

    feedback: float
    users: float
    lie: Lie


@dataclass(frozen=True, slots=True)
class Users:
    """Whose request each is.

    Attributes:
        numbers: (requests,)
        hostile: Users below this number lie.
    """

    numbers: Ints
    hostile: int


def deal_users(requests: int, users: int, hostility: Hostility | None, generator: np.random.Generator) -> Users:
    """Say whose requests these are: of hostile users their share, of the others evenly."""
    hostile = 0 if hostility is None else max(1, round(hostility.users * users))
    numbers = generator.integers(hostile, users, requests)
    if hostility is not None:
        theirs = generator.random(requests) < hostility.feedback
        numbers[theirs] = generator.integers(0, hostile, int(theirs.sum()))
    return Users(numbers, hostile)


def in_order_of_cost(outcomes: ArmOutcomes) -> ArmOutcomes:
    """Return the outcomes with the model first that costs least on average."""
    order = np.argsort(outcomes.costs_usd.mean(axis=0), kind="stable")
    return replace(
        outcomes,
        models=tuple(outcomes.models[i] for i in order),
        rewards=outcomes.rewards[:, order],
        costs_usd=outcomes.costs_usd[:, order],
    )


def changed(outcomes: ArmOutcomes, change: Change) -> ArmOutcomes:
    """Return the outcomes as they are after the change.

    Raises:
        TrainingError: There are too few models for it.
    """
    rewards, costs = outcomes.rewards.copy(), outcomes.costs_usd.copy()
    if change in {Change.PRICE_CUT, Change.SILENT_PRICE_CUT}:
        costs[:, -1] *= _PRICE_CUT
        return replace(outcomes, costs_usd=costs)
    middle = changed_arm(len(outcomes.models), Change.REGRESSION)
    if len(outcomes.models) < 3:  # noqa: PLR2004 - there is no middle one
        raise TrainingError(f"--change {change} wants outcomes of three models or more")
    if change is Change.REGRESSION:
        rewards[:, middle] *= min(1.0, _REGRESSED / max(float(rewards[:, middle].mean()), _REGRESSED))
        return replace(outcomes, rewards=rewards)
    return replace(
        outcomes,
        models=(*outcomes.models, NEW_MODEL),
        rewards=np.column_stack((rewards, rewards[:, middle])),
        costs_usd=np.column_stack((costs, costs[:, 0])),
    )


def changed_arm(models: int, change: Change) -> int:
    """Return which of so many models it is that changes, or the number of the new one."""
    if change is Change.NEW_MODEL:
        return models
    return models // 2 if change is Change.REGRESSION else models - 1


def announced_factor(change: Change) -> float | None:
    """Return by what the price list says that the price changes; None where it says nothing."""
    return _PRICE_CUT if change is Change.PRICE_CUT else None


def guessed_cost(costs: Sequence[float] | Array) -> float:
    """Return the mean cost as roughly as a price list tells it: the nearest power of ten."""
    mean = float(np.mean(costs))
    return float(10.0 ** np.round(np.log10(mean))) if mean > 0 else 0.0

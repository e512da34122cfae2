"""How a replay went over time."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tierstream.training.evaluation import Array
from tierstream.training.replay import Replayed
from tierstream.training.replay_references import no_skill, oracle

_WINDOW: Final = 100


@dataclass(frozen=True, slots=True)
class ReplayCurves:
    """Means over the seeds; the curves have one value for each of `at`.

    Attributes:
        window: Requests that a moving mean is of.
        at: Numbers of requests.
        rewards: Moving mean.
        no_skill: Mean reward of the best mix of models.
        oracle: Of who knows all outcomes.
        costs: Mean cost so far, in dollars.
        budget_usd: Wanted mean cost.
        shares: Moving share of each model.
        change_at: From which request on models had changed, if they did.
    """

    window: int
    at: Array
    rewards: Array
    no_skill: Array
    oracle: Array
    costs: Array
    budget_usd: float
    shares: dict[str, Array]
    change_at: int | None

    @property
    def lowest_reward(self) -> float:
        """Where the axis of rewards begins."""
        return float(np.floor(min(self.rewards.min(), self.no_skill.min()) * 20) / 20)


def curves_of(replayed: Replayed) -> ReplayCurves:
    """Work the curves out."""
    stream, runs = replayed.stream, replayed.runs
    plan, requests = stream.plan, len(stream.features)
    window = min(_WINDOW, requests)
    at = np.arange(window, requests + 1)
    changed = at > (plan.change_at if plan.change is not None else requests)
    references = []
    for reference in (no_skill, oracle):
        before, after = (
            reference(found.rewards, found.costs_usd, plan.budget_usd) for found in (stream.before, stream.after)
        )
        references.append(np.where(changed, after, before))
    costs = np.mean([run.costs for run in runs], axis=0)
    return ReplayCurves(
        window=window,
        at=at.astype(np.float64),
        rewards=_moving(np.mean([run.rewards for run in runs], axis=0), window),
        no_skill=references[0],
        oracle=references[1],
        costs=(np.cumsum(costs) / np.arange(1, requests + 1))[window - 1 :],
        budget_usd=plan.budget_usd,
        shares={
            name: _moving(np.mean([run.arms == arm for run in runs], axis=0), window)
            for arm, name in enumerate(stream.after.models)
        },
        change_at=plan.change_at if plan.change is not None else None,
    )


def _moving(values: Array, window: int) -> Array:
    return np.convolve(values, np.full(window, 1 / window), mode="valid")

"""What a replay comes to: means over the seeds, with intervals, beside what knows less and what knows all."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from tierstream.training.evaluation import Array, Interval
from tierstream.training.replay import Replayed, Run, Stream
from tierstream.training.replay_references import no_skill, oracle, routed
from tierstream.training.replay_scenarios import changed_arm

WARM_UP: Final = 1_000
"""Requests after which a learner without prior has to be as good as one with it."""
WINDOW: Final = 50
"""Requests over which the share of a model is taken."""
_BEFORE: Final = 200
_SETTLING: Final = 200
_LEAST_SHIFT: Final = 0.05
"""Of a share; of less nobody could say whether it has happened."""
_REROUTED: Final = 0.5
_NORMAL: Final = 1.96


@dataclass(frozen=True, slots=True)
class SeedFigures:
    """What came of one order of the requests; the fields are those of `ReplayReport`."""

    seed: int
    mean_reward: float
    mean_cost: float
    overshoot: float
    exploration_share: float
    regret: float
    after_1000: float | None


@dataclass(frozen=True, slots=True)
class PhaseFigures:
    """A stretch of the stream, over all seeds.

    Attributes:
        mean_reward: Of its requests.
        mean_cost: The same, in dollars.
        no_skill: Mean reward of the best mix of models at the budget, with the outcomes as they are then.
        oracle: Of who knows them all.
        informed: Of a router that was told all outcomes of all models, with the same features.
        shares: Of the models.
    """

    mean_reward: float
    mean_cost: float
    no_skill: float
    oracle: float
    informed: float
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class ChangeFigures:
    """What a change of a model led to.

    Attributes:
        kind: What changed.
        at: From which request on.
        arm: The model.
        rerouted_after: Median over the seeds of the requests after which the model's share among the last 50 had gone
            half of the way from that before the change to `informed_share`; None where more than half of the seeds
            never got there, or there is next to nothing to reroute.
        rerouted_per_seed: The same for each seed.
        informed_share: The model's share for a router that was told all outcomes, at the same budget.
        before: The stretch before.
        after: The stretch after.
        settled: That from 200 requests after the change on.
    """

    kind: str
    at: int
    arm: str
    rerouted_after: float | None
    rerouted_per_seed: tuple[int | None, ...]
    informed_share: float
    before: PhaseFigures
    after: PhaseFigures
    settled: PhaseFigures | None


@dataclass(frozen=True, slots=True)
class HostileFigures:
    """What lies did.

    Attributes:
        feedback: Share of the requests that hostile users rate.
        users: Share of the users that they are.
        lie: What they say.
        honest_reward: Mean reward of the same streams with nobody lying.
        lost: By how much that is more than with the lies.
        lost_interval: Of it.
    """

    feedback: float
    users: float
    lie: str
    honest_reward: float
    lost: float
    lost_interval: Interval


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The figures of a replay; means over the seeds.

    Attributes:
        budget_usd: Wanted mean cost of a request.
        requests: In the stream.
        models: From the cheapest on.
        seeds: How many orders.
        prior_requests: What the router began with; 0: with guesses.
        mean_reward: Of a request.
        mean_cost: Of a request, in dollars.
        overshoot: Of the mean cost above the budget, as a share of it; 0 where it is within.
        exploration_share: Of requests that went to a model to learn.
        exploration_bound: What that may be at most.
        regret: What the oracle's mean reward is above the router's.
        after_1000: Mean reward of the requests after the first 1,000; None where there are none.
        no_skill: Mean reward of the best mix of models that does not look at requests, at the budget.
        oracle: Highest mean reward that the budget allows to who knows every outcome.
        shares: Of the models.
        intervals: 95 % intervals of the means over orders of these requests; of other requests nothing follows.
        change: Where there was one.
        hostile: Where somebody lied.
        per_seed: Each of them.
    """

    budget_usd: float
    requests: int
    models: tuple[str, ...]
    seeds: int
    prior_requests: int
    mean_reward: float
    mean_cost: float
    overshoot: float
    exploration_share: float
    exploration_bound: float
    regret: float
    after_1000: float | None
    no_skill: float
    oracle: float
    shares: dict[str, float]
    intervals: dict[str, Interval]
    change: ChangeFigures | None
    hostile: HostileFigures | None
    per_seed: tuple[SeedFigures, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def report_on(replayed: Replayed, prior_requests: int) -> ReplayReport:
    """Work the figures out."""
    stream = replayed.stream
    plan = stream.plan
    references = _References(stream)
    figures = tuple(_of_seed(seed, run, plan.budget_usd, references) for seed, run in enumerate(replayed.runs))
    names = ("mean_reward", "mean_cost", "overshoot", "exploration_share", "regret", "after_1000")
    means: dict[str, float | None] = {}
    intervals = {}
    for name in names:
        values = [value for found in figures if (value := getattr(found, name)) is not None]
        means[name] = float(np.mean(values)) if values else None
        if values:
            intervals[name] = interval(values)
    known = {name: value for name, value in means.items() if value is not None}
    return ReplayReport(
        budget_usd=plan.budget_usd,
        requests=len(stream.features),
        models=stream.after.models,
        seeds=plan.seeds,
        prior_requests=prior_requests,
        mean_reward=known["mean_reward"],
        mean_cost=known["mean_cost"],
        overshoot=known["overshoot"],
        exploration_share=known["exploration_share"],
        exploration_bound=plan.options.exploration,
        regret=known["regret"],
        after_1000=means["after_1000"],
        no_skill=float(np.mean([references.no_skill(run) for run in replayed.runs])),
        oracle=float(np.mean([references.oracle(run) for run in replayed.runs])),
        shares=_shares(np.concatenate([run.arms for run in replayed.runs]), stream.after.models),
        intervals=intervals,
        change=_change(replayed),
        hostile=_hostile(replayed),
        per_seed=figures,
    )


def interval(values: Sequence[float]) -> Interval:
    """Return the 95 % interval of the mean of independent values; of one value it is that value."""
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Interval(mean - _NORMAL * error, mean + _NORMAL * error)


class _References:
    """What others would make of the stream; without a change the same for all seeds."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._known: dict[str, float] = {}

    def no_skill(self, run: Run) -> float:
        return self._over_phases("no_skill", run)

    def oracle(self, run: Run) -> float:
        return self._over_phases("oracle", run)

    def _over_phases(self, name: str, run: Run) -> float:
        plan = self._stream.plan
        reference = no_skill if name == "no_skill" else oracle
        if plan.change is None:
            if name not in self._known:
                found = self._stream.before
                self._known[name] = reference(found.rewards, found.costs_usd, plan.budget_usd)
            return self._known[name]
        total = 0.0
        for rows, found in (
            (run.order[: plan.change_at], self._stream.before),
            (run.order[plan.change_at :], self._stream.after),
        ):
            total += len(rows) * reference(found.rewards[rows], found.costs_usd[rows], plan.budget_usd)
        return total / len(run.order)


def _of_seed(seed: int, run: Run, budget_usd: float, references: _References) -> SeedFigures:
    mean_cost = float(run.costs.mean())
    reward = float(run.rewards.mean())
    return SeedFigures(
        seed=seed,
        mean_reward=reward,
        mean_cost=mean_cost,
        overshoot=max(mean_cost / budget_usd - 1, 0.0),
        exploration_share=float(run.explored.mean()),
        regret=references.oracle(run) - reward,
        after_1000=float(run.rewards[WARM_UP:].mean()) if len(run.rewards) > WARM_UP else None,
    )


def _change(replayed: Replayed) -> ChangeFigures | None:
    stream, plan = replayed.stream, replayed.stream.plan
    if plan.change is None:
        return None
    arm = changed_arm(len(stream.before.models), plan.change)
    budget, after = plan.budget_usd, stream.after
    informed = routed(*stream.expected(after), after.rewards, after.costs_usd, budget)[1]
    rerouted = tuple(_rerouted(run.arms == arm, plan.change_at, float(informed[arm])) for run in replayed.runs)
    counted = sorted(
        len(run.arms) if found is None else found for run, found in zip(replayed.runs, rerouted, strict=True)
    )
    median = float(np.median(counted))
    settled = plan.change_at + _SETTLING
    return ChangeFigures(
        kind=plan.change.value,
        at=plan.change_at,
        arm=after.models[arm],
        rerouted_after=median if median < len(stream.features) - plan.change_at else None,
        rerouted_per_seed=rerouted,
        informed_share=float(informed[arm]),
        before=_phase(replayed, 0, plan.change_at),
        after=_phase(replayed, plan.change_at, len(stream.features)),
        settled=_phase(replayed, settled, len(stream.features)) if settled < len(stream.features) else None,
    )


def _rerouted(chosen: Array, at: int, informed: float) -> int | None:
    """Return after how many requests the share of a model had gone half of the way."""
    before = float(chosen[max(at - _BEFORE, 0) : at].mean())
    shift = informed - before
    if abs(shift) < _LEAST_SHIFT:
        return None
    half = before + _REROUTED * shift
    for after in range(1, len(chosen) - at + 1):
        end = at + after
        recent = chosen[max(end - WINDOW, at) : end]
        if len(recent) == min(WINDOW, len(chosen) - at) and (recent.mean() - half) * np.sign(shift) >= 0:
            return after
    return None


def _phase(replayed: Replayed, start: int, end: int) -> PhaseFigures:
    stream = replayed.stream
    plan = stream.plan
    outcomes = stream.before if end <= plan.change_at else stream.after
    expected_rewards, expected_costs = stream.expected(outcomes)
    found = []
    for run in replayed.runs:
        rows = run.order[start:end]
        rewards, costs = outcomes.rewards[rows], outcomes.costs_usd[rows]
        informed = routed(expected_rewards[rows], expected_costs[rows], rewards, costs, plan.budget_usd)[0]
        found.append(
            (
                float(run.rewards[start:end].mean()),
                float(run.costs[start:end].mean()),
                no_skill(rewards, costs, plan.budget_usd),
                oracle(rewards, costs, plan.budget_usd),
                informed,
            )
        )
    reward, cost, mixed, best, told = np.mean(found, axis=0).tolist()
    arms = np.concatenate([run.arms[start:end] for run in replayed.runs])
    return PhaseFigures(reward, cost, mixed, best, told, _shares(arms, outcomes.models))


def _hostile(replayed: Replayed) -> HostileFigures | None:
    hostility = replayed.stream.plan.hostility
    if hostility is None:
        return None
    honest = [float(run.rewards.mean()) for run in replayed.honest]
    lost = [mean - float(run.rewards.mean()) for mean, run in zip(honest, replayed.runs, strict=True)]
    return HostileFigures(
        feedback=hostility.feedback,
        users=hostility.users,
        lie=hostility.lie.value,
        honest_reward=float(np.mean(honest)),
        lost=float(np.mean(lost)),
        lost_interval=interval(lost),
    )


def _shares(arms: Array, models: Sequence[str]) -> dict[str, float]:
    counts = np.bincount(arms, minlength=len(models)) / max(len(arms), 1)
    return dict(zip(models, counts.tolist(), strict=True))

"""Replays recorded outcomes as a stream: the online router sees of each request what it chose, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streams.routing.online.arms import Arm, LearnerOptions
from streams.routing.online.features import Floats, RequestFeatures
from streams.routing.online.learner import Learner
from streams.routing.online.policy import OnlinePolicy
from streams.routing.online.prior import Prior
from tierstream.training import TrainingError
from tierstream.training.evaluation import Array, Ints
from tierstream.training.outcome_file import ArmOutcomes
from tierstream.training.replay_scenarios import (
    Change,
    Hostility,
    announced_factor,
    changed,
    changed_arm,
    deal_users,
    guessed_cost,
    in_order_of_cost,
)

_LOWEST_GUESS, _GUESS_STEP, _HIGHEST_GUESS = 0.8, 0.05, 0.95
"""Of the mean rewards, where there is no prior: tiers are ordered by capability."""
_FEATURES_SHARE: Final = 0.05
"""Of the work, for the progress."""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What is replayed.

    Attributes:
        budget_usd: Wanted mean cost of a request.
        seeds: How many orders of the requests, each with a learner of its own.
        publish_every: Requests from one snapshot to the next.
        change: What becomes of the models, if anything.
        change_at: From which request on.
        users: How many there are.
        hostility: Who lies, if anybody.
        options: How the learner behaves.
    """

    budget_usd: float
    seeds: int = 20
    publish_every: int = 10
    change: Change | None = None
    change_at: int = 0
    users: int = 100
    hostility: Hostility | None = None
    options: LearnerOptions = field(default_factory=LearnerOptions)


@dataclass(frozen=True, slots=True)
class Run:
    """How the requests of one seed went, in their order; all (requests,).

    Attributes:
        order: Which request of the file each was.
        arms: Which model each went to.
        explored: Whether it was to learn.
        rewards: What it brought.
        costs: What it cost.
        prices: Of a dollar, when it was decided.
    """

    order: Ints
    arms: Ints
    explored: Array
    rewards: Array
    costs: Array
    prices: Array


class Stream:
    """The requests of a file, with what is known before the first.

    Args:
        outcomes: To be replayed.
        prior: Outcomes to begin with; None to begin with guesses.
        plan: What is replayed.

    Raises:
        TrainingError: They do not go together.
    """

    def __init__(self, outcomes: ArmOutcomes, prior: ArmOutcomes | None, plan: ReplayPlan) -> None:
        self.plan: Final = plan
        self.before: Final = in_order_of_cost(outcomes)
        self.after: Final = self.before if plan.change is None else changed(self.before, plan.change)
        if plan.change is not None and not 0 < plan.change_at < len(outcomes.prompts):
            raise TrainingError(f"there are {len(outcomes.prompts)} requests: none is left after {plan.change_at}")
        if prior is not None and not set(prior.models) & set(outcomes.models):
            raise TrainingError(f"the prior knows none of the models, which are {', '.join(outcomes.models)}")
        reader = RequestFeatures()
        self._features_version = reader.version
        self.features: Final[Floats] = reader.of_texts(outcomes.prompts)
        self._prior = None if prior is None else prior_of(prior, reader)

    def run(self, seed: int, hostility: Hostility | None = None, *, lying: bool = True) -> Run:
        """Replay the requests in the order of a seed; those of hostile users are the same when they do not lie."""
        plan, features = self.plan, self.features
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(features))
        draws = generator.random(len(features))
        users = deal_users(len(features), plan.users, hostility, generator)
        learner = self._learner()
        run = _empty(order)
        outcomes = self.before
        policy: OnlinePolicy | None = None
        for at, row in enumerate(order):
            if plan.change is not None and at == plan.change_at:
                outcomes = self.after
                policy = self._announce(learner, plan.change)
            if policy is None or at % plan.publish_every == 0:
                policy = learner.snapshot()
            choice = policy.choose(features[row], float(draws[at]))
            arm = choice.arm - 1
            reward, cost = float(outcomes.rewards[row, arm]), float(outcomes.costs_usd[row, arm])
            run.arms[at], run.explored[at], run.prices[at] = arm, choice.explored, choice.price
            run.rewards[at], run.costs[at] = reward, cost
            user = int(users.numbers[at])
            if lying and hostility is not None and user < users.hostile:
                reward = hostility.lie.told(reward, arm, len(self.before.models))
            learner.observe(features[row], choice.name, reward, cost, user=str(user))
        return run

    def expected(self, outcomes: ArmOutcomes) -> tuple[Array, Array]:
        """Return the rewards and costs that a learner expects which was told all these outcomes: (requests, models)."""
        prior = Prior(outcomes.models, self.features, outcomes.rewards, outcomes.costs_usd)
        arms = _guesses(outcomes)
        policy = Learner(
            arms, self.plan.budget_usd, self._features_version, self.features.shape[1], prior, self.plan.options
        ).snapshot()
        return self.features @ policy.reward_weights.T, np.exp(self.features @ policy.cost_weights.T)

    def _learner(self) -> Learner:
        plan = self.plan
        size = self.features.shape[1]
        return Learner(_guesses(self.before), plan.budget_usd, self._features_version, size, self._prior, plan.options)

    def _announce(self, learner: Learner, change: Change) -> OnlinePolicy | None:
        """Tell the learner what its operator knows; None where that is nothing."""
        arm = changed_arm(len(self.before.models), change)
        if change is Change.NEW_MODEL:
            learner.add_arm(Arm(self.after.models[arm], guessed_cost(self.after.costs_usd[:, arm])))
        elif (factor := announced_factor(change)) is not None:
            learner.announce_price(self.after.models[arm], factor)
        else:
            return None
        return learner.snapshot()


def prior_of(outcomes: ArmOutcomes, reader: RequestFeatures) -> Prior:
    """Return what a learner may begin with."""
    return Prior(outcomes.models, reader.of_texts(outcomes.prompts), outcomes.rewards, outcomes.costs_usd)


def replay(
    outcomes: ArmOutcomes,
    prior: ArmOutcomes | None,
    plan: ReplayPlan,
    progress: Callable[[float], None] = lambda _: None,
) -> "Replayed":
    """Replay outcomes with each seed.

    Args:
        outcomes: To be replayed.
        prior: Outcomes of other requests to begin with; None to begin with guesses.
        plan: What is replayed.
        progress: Called with the share that is done.

    Raises:
        TrainingError: They do not go together.
    """
    stream = Stream(outcomes, prior, plan)
    progress(_FEATURES_SHARE)
    runs, honest = [], []
    for seed in range(plan.seeds):
        runs.append(stream.run(seed, plan.hostility))
        if plan.hostility is not None:
            honest.append(stream.run(seed, plan.hostility, lying=False))
        progress(_FEATURES_SHARE + (1 - _FEATURES_SHARE) * (seed + 1) / plan.seeds)
    return Replayed(stream, tuple(runs), tuple(honest))


@dataclass(frozen=True, slots=True)
class Replayed:
    """All that came of it.

    Attributes:
        stream: What was replayed.
        runs: One for each seed.
        honest: The same with nobody lying; empty where nobody does.
    """

    stream: Stream
    runs: tuple[Run, ...]
    honest: tuple[Run, ...]


def _guesses(outcomes: ArmOutcomes) -> list[Arm]:
    return [
        Arm(name, guessed_cost(outcomes.costs_usd[:, i]), min(_LOWEST_GUESS + _GUESS_STEP * i, _HIGHEST_GUESS))
        for i, name in enumerate(outcomes.models)
    ]


def _empty(order: Ints) -> Run:
    count = len(order)
    zeros = [np.zeros(count) for _ in range(4)]
    return Run(order, np.zeros(count, dtype=np.intp), *zeros)

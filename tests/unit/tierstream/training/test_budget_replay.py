"""Replays of outcomes: what the router is compared with, what may happen on the way, and what is made of it."""

from dataclasses import replace

import numpy as np
import pytest

from tierstream.training import TrainingError
from tierstream.training.outcome_file import ArmOutcomes
from tierstream.training.replay import ReplayPlan, Stream
from tierstream.training.replay import replay as run_replay
from tierstream.training.replay_curves import curves_of
from tierstream.training.replay_references import no_skill, oracle, routed
from tierstream.training.replay_report import report_on
from tierstream.training.replay_scenarios import (
    NEW_MODEL,
    Change,
    Hostility,
    Lie,
    changed,
    deal_users,
    guessed_cost,
    in_order_of_cost,
)

BUDGET = 0.002


def made(requests=240, models=("small", "middle", "large")) -> ArmOutcomes:
    """Short questions that any model answers, and long ones that want more than the cheapest."""
    rng = np.random.default_rng(1)
    long = rng.random(requests) < 0.5
    prompts = tuple(
        f"Prove in every detail that the sequence {i} converges, step by step, and name each theorem."
        if hard
        else f"Hi {i}"
        for i, hard in enumerate(long)
    )
    rewards = np.column_stack((np.where(long, 0.4, 0.9), np.full(requests, 0.9), np.full(requests, 0.95)))
    costs = np.array([0.0001, 0.002, 0.05]) * rng.lognormal(0, 0.3, (requests, 3))
    return ArmOutcomes(models, prompts, rewards, costs)


OUTCOMES, PRIOR = made(), made(100)
PLAN = ReplayPlan(budget_usd=BUDGET, seeds=2)


def test_a_mix_without_skill_is_on_the_line_between_two_models():
    rewards, costs = np.array([[0.2, 0.6, 0.7]]), np.array([[1.0, 3.0, 9.0]])
    assert no_skill(rewards, costs, 2.0) == pytest.approx(0.4)
    assert no_skill(rewards, costs, 6.0) == pytest.approx(0.65)
    assert no_skill(rewards, costs, 0.5) == pytest.approx(0.2)
    assert no_skill(rewards, costs, 99.0) == pytest.approx(0.7)


def test_the_oracle_spends_where_it_pays_and_within_the_budget():
    rewards = np.array([[0.0, 1.0], [0.9, 1.0], [0.5, 0.5]])
    costs = np.array([[0.0, 3.0], [0.0, 3.0], [0.0, 3.0]])
    assert oracle(rewards, costs, 1.0) == pytest.approx(2.4 / 3, abs=1e-6)
    assert oracle(rewards, costs, 1.5) == pytest.approx(2.45 / 3, abs=1e-6)
    assert oracle(rewards, costs, 3.0) == pytest.approx(2.5 / 3)
    _, shares = routed(rewards, costs, rewards, costs, 1.0)
    assert shares.tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-6)


def test_models_are_taken_in_the_order_of_their_cost():
    shuffled = replace(
        OUTCOMES,
        models=("large", "small", "middle"),
        rewards=OUTCOMES.rewards[:, [2, 0, 1]],
        costs_usd=OUTCOMES.costs_usd[:, [2, 0, 1]],
    )
    found = in_order_of_cost(shuffled)
    assert found.models == OUTCOMES.models
    assert (found.rewards == OUTCOMES.rewards).all()


def test_changes_are_what_they_say():
    assert changed(OUTCOMES, Change.PRICE_CUT).costs_usd[:, 2] == pytest.approx(OUTCOMES.costs_usd[:, 2] / 10)
    assert changed(OUTCOMES, Change.REGRESSION).rewards[:, 1].mean() == pytest.approx(0.75)
    new = changed(OUTCOMES, Change.NEW_MODEL)
    assert new.models[-1] == NEW_MODEL
    assert (new.rewards[:, 3] == OUTCOMES.rewards[:, 1]).all()
    assert (new.costs_usd[:, 3] == OUTCOMES.costs_usd[:, 0]).all()
    assert OUTCOMES.rewards.shape[1] == 3
    two = ArmOutcomes(("a", "b"), ("x",), np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(TrainingError, match="three models"):
        changed(two, Change.REGRESSION)


def test_a_guess_of_a_cost_is_a_power_of_ten():
    assert [guessed_cost([value]) for value in (0.0005, 0.02, 0.0)] == pytest.approx([0.001, 0.01, 0.0])


def test_lies_are_what_they_say():
    assert [Lie.DOWN.told(0.7, arm, 3) for arm in range(3)] == [1, 0, 0]
    assert [Lie.UP.told(0.7, arm, 3) for arm in range(3)] == [0, 0, 1]
    assert Lie.INVERT.told(0.7, 1, 3) == pytest.approx(0.3)


def test_hostile_users_have_their_share_of_the_requests():
    users = deal_users(10_000, 100, Hostility(0.2, 0.02, Lie.DOWN), np.random.default_rng(0))
    assert users.hostile == 2
    assert (users.numbers < 2).mean() == pytest.approx(0.2, abs=0.02)
    assert set(range(100)) == set(users.numbers.tolist())


def test_a_replay_beats_the_mix_without_skill_and_is_the_same_again():
    report = report_on(run_replay(OUTCOMES, PRIOR, PLAN), 100)
    assert report.no_skill < report.mean_reward < report.oracle
    assert report.regret == pytest.approx(report.oracle - report.mean_reward)
    assert report.overshoot < 0.005
    assert report.exploration_share <= report.exploration_bound
    assert report.after_1000 is None
    assert sum(report.shares.values()) == pytest.approx(1)
    low, high = report.intervals["mean_reward"].low, report.intervals["mean_reward"].high
    assert low <= report.mean_reward <= high
    assert np.mean([seed.mean_reward for seed in report.per_seed]) == pytest.approx(report.mean_reward)
    assert report_on(run_replay(OUTCOMES, PRIOR, PLAN), 100) == report


def test_progress_ends_with_all():
    seen = []
    run_replay(OUTCOMES, None, PLAN, seen.append)
    assert seen[-1] == pytest.approx(1)
    assert seen == sorted(seen)


@pytest.mark.parametrize("change", list(Change))
def test_a_change_has_its_stretches(change):
    plan = replace(PLAN, change=change, change_at=120)
    replayed = run_replay(OUTCOMES, PRIOR, plan)
    found = report_on(replayed, 100).change
    assert found.at == 120
    assert found.kind == change.value
    assert found.settled is None
    assert found.before.no_skill <= found.before.oracle
    assert len(found.rerouted_per_seed) == 2
    curves = curves_of(replayed)
    assert curves.change_at == 120
    assert len(curves.at) == len(curves.rewards) == len(curves.costs) == 141
    assert np.sum(list(curves.shares.values()), axis=0) == pytest.approx(np.ones(141))


def test_a_model_that_has_become_worse_is_left_within_the_stream():
    plan = replace(PLAN, change=Change.REGRESSION, change_at=100, budget_usd=0.05)
    report = report_on(run_replay(OUTCOMES, PRIOR, plan), 100)
    assert report.change.after.shares["middle"] < report.change.before.shares["middle"]


def test_a_new_model_can_not_be_chosen_before_it_is_there():
    stream = Stream(OUTCOMES, PRIOR, replace(PLAN, change=Change.NEW_MODEL, change_at=100))
    run = stream.run(0)
    assert run.arms[:100].max() < 3
    assert (run.arms[100:] == 3).mean() > 0.5


def test_the_cost_of_lies_is_beside_what_it_is_without_them():
    plan = replace(PLAN, hostility=Hostility(0.2, 0.02, Lie.INVERT))
    report = report_on(run_replay(OUTCOMES, PRIOR, plan), 100)
    assert report.hostile.lost == pytest.approx(report.hostile.honest_reward - report.mean_reward)
    assert report.hostile.lost < 0.05


def test_what_does_not_go_together_is_refused():
    with pytest.raises(TrainingError, match="none is left after 240"):
        Stream(OUTCOMES, None, replace(PLAN, change=Change.REGRESSION, change_at=240))
    with pytest.raises(TrainingError, match="knows none of the models"):
        Stream(OUTCOMES, replace(PRIOR, models=("x", "y", "z")), PLAN)

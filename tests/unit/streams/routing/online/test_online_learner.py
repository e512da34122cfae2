"""The learner of the online router: what it finds, that it keeps its budget, and that no user moves much."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from streams.routing.online.arms import Arm, LearnerOptions
from streams.routing.online.learner import Learner
from streams.routing.online.policy import OnlinePolicy
from streams.routing.online.prior import Prior

SIZE = 3
BUDGET = 0.01
CHEAP, DEAR = Arm("cheap", 0.001, 0.8), Arm("dear", 0.1, 0.8)


def learner(*arms, budget=BUDGET, **options) -> Learner:
    return Learner(arms or (CHEAP, DEAR), budget, "f", SIZE, **options)


def features(rng) -> np.ndarray:
    return np.array([1.0, *rng.normal(0, 0.5, SIZE - 1)])


def play(made, rewards, costs, requests, seed=0, every=10):
    """Let the learner choose; rewards and costs say what an arm brings for a request."""
    rng = np.random.default_rng(seed)
    choices, spent = [], []
    for at in range(requests):
        if at % every == 0:
            policy = made.snapshot()
        seen = features(rng)
        choice = policy.choose(seen, rng.random())
        cost = costs(choice.name, rng)
        made.observe(seen, choice.name, rewards(choice.name, seen, rng), cost)
        choices.append(choice)
        spent.append(cost)
    return choices, spent


def hard_ones_need_the_dear(name, seen, rng):
    right = 0.95 if name == "dear" else 0.9 if seen[1] < 0 else 0.3
    return float(np.clip(right + rng.normal(0, 0.05), 0, 1))


def heavy_tailed(name, rng):
    return float((0.001 if name == "cheap" else 0.02) * rng.lognormal(-0.5, 1.0))


def share(choices, name, start=0):
    return np.mean([choice.name == name for choice in choices[start:]])


def test_it_learns_which_requests_are_worth_the_dear_arm():
    made = learner()
    play(made, hard_ones_need_the_dear, heavy_tailed, 1500)
    policy = made.snapshot()
    easy, hard = (policy.choose(np.array([1.0, x, 0.0]), 0.9).rewards for x in (-0.5, 0.5))
    assert hard[1] - hard[0] > easy[1] - easy[0] + 0.2


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_cost_stays_within_the_budget_though_costs_have_a_heavy_tail(seed):
    _, spent = play(learner(), hard_ones_need_the_dear, heavy_tailed, 1500, seed)
    assert 0.8 * BUDGET < np.mean(spent) <= 1.005 * BUDGET


@pytest.mark.parametrize("seed", range(3))
def test_exploration_stays_below_its_bound(seed):
    options = LearnerOptions(exploration=0.02)
    choices, _ = play(learner(options=options), hard_ones_need_the_dear, heavy_tailed, 2000, seed)
    assert np.mean([choice.explored for choice in choices]) < 0.03


def prior(rng, requests=500) -> Prior:
    seen = np.array([features(rng) for _ in range(requests)])
    rewards = np.array([[hard_ones_need_the_dear(name, one, rng) for name in ("cheap", "dear")] for one in seen])
    costs = np.array([[heavy_tailed(name, rng) for name in ("cheap", "dear")] for _ in seen])
    return Prior(("cheap", "dear"), seen, rewards, costs)


def test_a_prior_is_known_from_the_first_request_on():
    policy = learner(prior=prior(np.random.default_rng(1))).snapshot()
    rewards = policy.choose(np.array([1.0, 0.5, 0.0]), 0.9).rewards
    assert rewards[1] - rewards[0] > 0.3
    assert policy.price > 0


def test_an_arm_that_has_become_worse_is_left():
    made = learner(prior=prior(np.random.default_rng(1)), budget=1.0)
    before, _ = play(made, hard_ones_need_the_dear, heavy_tailed, 200)
    assert share(before, "dear") > 0.8

    def worse(name, seen, rng):
        return hard_ones_need_the_dear(name, seen, rng) - (0.7 if name == "dear" else 0)

    after, _ = play(made, lambda *a: max(worse(*a), 0.0), heavy_tailed, 200, seed=1)
    assert share(after, "dear", 100) < 0.1


def test_a_new_arm_that_is_as_good_and_cheaper_is_taken_up():
    made = learner(prior=prior(np.random.default_rng(1)))
    play(made, hard_ones_need_the_dear, heavy_tailed, 200)
    made.add_arm(Arm("new", 0.001))
    choices, _ = play(
        made,
        lambda name, seen, rng: hard_ones_need_the_dear("dear" if name == "new" else name, seen, rng),
        lambda name, rng: heavy_tailed("cheap" if name == "new" else name, rng),
        200,
        seed=1,
    )
    assert share(choices, "new", 100) > 0.4


def test_an_announced_price_counts_at_once():
    made = learner(prior=prior(np.random.default_rng(1)))
    before = made.snapshot().choose(np.array([1.0, 0.0, 0.0]), 0.9).costs_usd
    made.announce_price("dear", 0.1)
    after = made.snapshot().choose(np.array([1.0, 0.0, 0.0]), 0.9).costs_usd
    assert after == pytest.approx((before[0], before[1] / 10), rel=1e-4)


def told_by(made, user, lies, requests=400):
    """Have a user say of every second answer that it is worthless; others say the truth of theirs."""
    rng = np.random.default_rng(3)
    for at in range(requests):
        seen = features(rng)
        if lies and at % 5 == 0:
            made.observe(seen, "cheap", 0.0, 0.001, user=user)
        else:
            made.observe(seen, "cheap", 0.9, 0.001, user=f"honest {at % 97}")
    return made.snapshot().choose(np.array([1.0, 0.0, 0.0]), 0.9).rewards[0]


def test_one_user_moves_next_to_nothing():
    honest = told_by(learner(), "one", lies=False)
    assert told_by(learner(), "one", lies=True) > honest - 0.03
    # The same said by nobody in particular, such as a judge, is believed.
    assert told_by(learner(), None, lies=True) < honest - 0.06


def test_an_unknown_reward_still_counts_as_spending():
    made = learner()
    made.observe(np.array([1.0, 0.0, 0.0]), "cheap", None, 0.5)
    assert made.saved_usd == pytest.approx(BUDGET - 0.5)


outcomes = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.none() | st.floats(0, 1),
        st.floats(0, 1e3),
        st.sampled_from([None, "a", "b"]),
        st.floats(0, 1),
        st.floats(-1, 1),
    ),
    max_size=150,
)


@given(outcomes)
@settings(max_examples=examples(30), deadline=None)
def test_whatever_comes_the_snapshot_is_valid_and_the_same_again(found):
    snapshots = []
    for _ in range(2):
        made = learner()
        for arm, reward, cost, user, weight, value in found:
            made.observe(np.array([1.0, value, -value]), ("cheap", "dear")[arm], reward, cost, user, weight)
        snapshots.append(made.snapshot().dumps())
    assert snapshots[0] == snapshots[1]
    policy = OnlinePolicy.loads(snapshots[0])
    assert len(snapshots[0]) < 10_000
    assert policy.dumps() == snapshots[0]
    assert policy.choose(np.array([1.0, 0.0, 0.0]), 0.5, 2, 2).arm == 2


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda made: made.observe(np.ones(SIZE), "other", 1.0, 0.1), "no arm other"),
        (lambda made: made.observe(np.ones(SIZE), "cheap", 1.5, 0.1), "from 0 to 1"),
        (lambda made: made.observe(np.ones(SIZE), "cheap", 1.0, -0.1), "amount of dollars"),
        (lambda made: made.observe(np.ones(SIZE), "cheap", 1.0, float("nan")), "amount of dollars"),
        (lambda made: made.observe(np.ones(SIZE + 1), "cheap", 1.0, 0.1), "features"),
        (lambda made: made.observe(np.full(SIZE, np.nan), "cheap", 1.0, 0.1), "features"),
        (lambda made: made.announce_price("cheap", 0.0), "above 0"),
        (lambda made: made.add_arm(CHEAP), "already"),
        (lambda made: made.add_arm(replace(CHEAP, name="x", reward=2.0)), "guesses"),
        (lambda _: learner(budget=0.0), "budget"),
        (lambda _: Learner((), BUDGET, "f", SIZE), "at least one arm"),
        (lambda _: Prior(("a",), np.ones((2, 3)), np.ones((1, 1)), np.ones((2, 1))), "rewards of the prior"),
        (lambda _: Prior((), np.ones((0, 3)), np.ones((0, 0)), np.ones((0, 0))), "at least one request"),
    ],
)
def test_what_can_not_be_is_refused(call, why):
    with pytest.raises(ValueError, match=why):
        call(learner())

"""The parts of the online router: pacing, users' caps, change detection, the shared regression, and its features."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.examples import examples
from support.in_memory import new_request

from streams.routing.online.drift import ChangeDetector
from streams.routing.online.features import RequestFeatures
from streams.routing.online.pacing import Pacer, PacingOptions, price_of_a_dollar
from streams.routing.online.shared_regression import SharedRegression, Spread
from streams.routing.online.user_caps import UserCaps

SPREAD = Spread(shared=1.0, own=0.5, level=1.0, level_drift=0.0, weight_drift=0.0)


@given(st.lists(st.floats(0, 100), max_size=50), st.floats(0.001, 10))
@settings(max_examples=examples(100), deadline=None)
def test_what_is_aimed_at_and_allowed_follows_the_account(costs, budget):
    pacer = Pacer(budget, PacingOptions())
    for cost in costs:
        pacer.spend(cost)
    assert 0.2 * budget <= pacer.target_usd <= 3 * budget * (1 + 1e-9)
    assert pacer.ceiling_usd >= 3 * budget * (1 - 1e-9)
    assert pacer.saved_usd <= 400 * budget * (1 + 1e-9)
    before = pacer.target_usd
    pacer.spend(budget + 1)
    assert pacer.target_usd <= before


tables = arrays.arrays(np.float64, (20, 3), elements=st.floats(0, 1))


@given(tables, tables, st.floats(0.01, 1))
@settings(max_examples=examples(100), deadline=None)
def test_the_price_keeps_the_target_where_that_can_be_had(rewards, costs, target):
    price = price_of_a_dollar(rewards, costs, np.zeros(3), target)
    spent = costs[np.arange(20), (rewards - price * costs).argmax(axis=1)].mean()
    assert spent <= max(target, costs.min(axis=1).mean()) + 1e-6
    assert price_of_a_dollar(rewards, costs, np.zeros(3), 3.0) == 0


def test_without_requests_money_has_no_price():
    assert price_of_a_dollar(np.ones((0, 2)), np.ones((0, 2)), np.zeros(2), 1.0) == 0


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=examples(20), deadline=None)
def test_no_user_counts_more_than_the_share(seed, loudness):
    rng = np.random.default_rng(seed)
    users = ["loud" if rng.random() < loudness else str(rng.integers(50)) for _ in range(600)]
    caps = UserCaps(share=0.1, half_life=1e6)
    weights = [caps.weigh(user, 0, 0.0) for user in users]
    assert all(0 < weight <= 1 for weight in weights)
    of_one = sum(weight for user, weight in zip(users, weights, strict=True) if user == "loud")
    # While there are fewer than thirty outcomes, three count in full, which is more than the share.
    assert of_one <= 0.1 * len(users) + 3 * (1 + np.log(30))


def test_who_contradicts_the_others_counts_less():
    rng = np.random.default_rng(1)
    caps = UserCaps(share=1.0, half_life=1e6)
    for at in range(500):
        honest = caps.weigh(f"honest {at % 20}", 0, rng.normal())
        liar = caps.weigh("liar", 0, -5.0) if at % 10 == 0 else 1.0
    assert honest > 0.3
    assert caps.weigh("liar", 1, 0.0) < 0.05
    assert liar == 1.0


def test_nobody_is_doubted_for_what_all_others_say_too():
    rng = np.random.default_rng(1)
    caps = UserCaps(share=1.0, half_life=1e6)
    for at in range(1000):
        weight = caps.weigh(str(at % 20), 0, rng.normal() - (2 if at >= 500 else 0))
        assert weight > 0.1
    assert weight > 0.5


def test_what_nobody_said_counts_in_full():
    caps = UserCaps(share=0.01, half_life=100)
    assert {caps.weigh(None, 0, 5.0) for _ in range(50)} == {1.0}


def test_a_change_is_noticed_and_chance_is_not():
    rng = np.random.default_rng(5)
    detector = ChangeDetector()
    assert not any(detector.observe(value, 1.0) for value in rng.normal(0, 1, 3000))
    for shift in (2.0, -2.0):
        found = [detector.observe(value, 1.0) for value in rng.normal(shift, 1, 40)]
        assert 2 <= found.index(True) <= 25


def test_what_hardly_counts_is_no_change():
    detector = ChangeDetector()
    assert not any(detector.observe(-10.0, 0.02) for _ in range(50))


def test_outcomes_one_by_one_or_at_once_come_to_the_same_as_a_fit():
    rng = np.random.default_rng(2)
    features = np.column_stack((np.ones(30), rng.normal(size=(30, 2))))
    targets = rng.normal(size=(30, 2))
    noise = np.array([0.1, 0.2])
    fitted, single, joint = (SharedRegression(3, SPREAD) for _ in range(3))
    for one in (fitted, single, joint):
        one.add_arm(0.5)
        one.add_arm(0.5)
    fitted.fit((0, 1), features, targets, noise)
    for row in range(30):
        for arm in range(2):
            surprise = targets[row, arm] - single.weights[arm] @ features[row]
            single.observe([arm], features[row : row + 1], np.array([surprise]), noise[arm : arm + 1])
    arms = [0] * 30 + [1] * 30
    twice = np.vstack((features, features))
    expected = np.concatenate((features @ joint.weights[0], features @ joint.weights[1]))
    joint.observe(arms, twice, targets.T.ravel() - expected, noise[arms])
    for one in (single, joint):
        assert one.weights == pytest.approx(fitted.weights, abs=1e-6)
        assert one.variances(features[0]) == pytest.approx(fitted.variances(features[0]), abs=1e-6)


def test_an_outcome_of_one_arm_says_something_of_the_other():
    regression = SharedRegression(2, SPREAD)
    regression.add_arm(0.0)
    regression.add_arm(0.0)
    for x in (-1.0, 1.0) * 20:
        seen = np.array([1.0, x])
        regression.observe([0], seen[None], np.array([x - regression.weights[0] @ seen]), np.array([0.1]))
    assert 0.4 < regression.weights[1][1] < regression.weights[0][1]


def test_weights_that_may_wander_follow_and_stay_within_what_was_thought():
    spread = Spread(shared=1.0, own=0.5, level=1.0, level_drift=0.01, weight_drift=0.1)
    regression = SharedRegression(2, spread)
    regression.add_arm(0.0)
    seen = np.array([1.0, 0.3])
    for _ in range(300):
        regression.observe([0], seen[None], np.array([1.0 - regression.weights[0] @ seen]), np.array([0.1]))
    assert regression.weights[0] @ seen == pytest.approx(1.0, abs=0.05)
    assert regression.variances(seen)[0] < 1.0 + 1.5 * 0.09


READER = RequestFeatures()


@given(st.text(max_size=500))
@settings(max_examples=examples(50), deadline=None)
def test_features_of_any_text_are_bounded_and_the_same_again(text):
    found = READER.of(new_request(text or "-"))
    assert found.shape == (READER.size,)
    assert found[0] == 1
    assert np.abs(found).max() <= 1
    assert (found == RequestFeatures().of(new_request(text or "-"))).all()


def test_features_say_which_version_they_are():
    assert READER.version.startswith("waves/1:")
    assert (READER.of_texts(["Hi", "Ho"])[1] == READER.of_text("Ho")).all()

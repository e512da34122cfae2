"""Snapshots of the online router: they decide within bounds, the same for the same request, and survive the trip."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from streams.routing.online.policy import OnlinePolicy, PolicyError

SIZE = 3


def policy(rewards=(0.5, 0.7, 0.9), costs=(0.001, 0.01, 0.1), **changes) -> OnlinePolicy:
    """Of arms that bring and cost the same for each request."""
    made = OnlinePolicy(
        version=1,
        features="f",
        arms=tuple("abcdefgh"[: len(rewards)]),
        reward_weights=np.array([[reward, 0.0, 0.0] for reward in rewards]),
        cost_weights=np.array([[np.log(cost), 0.0, 0.0] for cost in costs]),
        doubts=(0.0,) * len(rewards),
        price=0.0,
        ceiling_usd=1.0,
        exploration=0.0,
        floor=0.0,
        exploration_usd=1.0,
    )
    return replace(made, **changes)


ANY = np.array([1.0, 0.0, 0.0])
numbers = st.floats(-2, 2, width=32)
policies = st.integers(1, 5).flatmap(
    lambda arms: st.builds(
        lambda rewards, costs, doubts, price, ceiling, exploration: policy(
            rewards,
            np.exp(costs),
            doubts=tuple(doubts),
            price=price,
            ceiling_usd=ceiling,
            exploration=exploration,
            floor=exploration / 10,
        ),
        *(st.lists(numbers, min_size=arms, max_size=arms) for _ in range(2)),
        st.lists(st.floats(0, 1), min_size=arms, max_size=arms),
        st.floats(0, 1e6),
        st.floats(0, 10),
        st.floats(0, 1),
    )
)


def test_the_best_reward_for_the_money_is_chosen():
    assert policy(price=0).choose(ANY, 0.5).name == "c"
    assert policy(price=10).choose(ANY, 0.5).name == "b"
    assert policy(price=100).choose(ANY, 0.5).arm == 1


def test_what_the_account_does_not_allow_is_not_called_but_the_cheapest_is():
    assert policy(ceiling_usd=0.05).choose(ANY, 0.5).name == "b"
    assert policy(ceiling_usd=0).choose(ANY, 0.5).name == "a"
    assert policy(ceiling_usd=0).choose(ANY, 0.5, lowest=2).name == "b"


def test_a_cheaper_arm_has_the_benefit_of_the_doubt_and_a_dearer_one_has_not():
    assert policy(doubts=(0.0, 0.3, 0.0)).choose(ANY, 0.5).name == "b"
    assert policy((0.7, 0.5), (0.001, 0.01), doubts=(0.0, 0.3)).choose(ANY, 0.5).name == "a"


@given(policies, st.floats(0, 1, exclude_max=True), st.data())
@settings(max_examples=examples(200), deadline=None)
def test_no_choice_is_outside_of_the_allowed_arms(made, u, data):
    lowest = data.draw(st.integers(1, len(made.arms)))
    highest = data.draw(st.integers(lowest, len(made.arms)))
    choice = made.choose(ANY, u, lowest, highest)
    assert lowest <= choice.arm <= highest
    assert choice.name == made.arms[choice.arm - 1]
    assert choice == made.choose(ANY, u, lowest, highest)


@given(policies)
@settings(max_examples=examples(50), deadline=None)
def test_exploration_stays_within_its_bound_and_its_cost(made):
    draws = (np.arange(1000) + 0.5) / 1000
    choices = [made.choose(ANY, u) for u in draws]
    explored = [choice for choice in choices if choice.explored]
    assert len(explored) <= 1000 * made.exploration + len(made.arms)
    best = made.choose(ANY, 1 - 1e-9)
    if not best.explored:
        for arm in {choice.arm for choice in explored}:
            extra = best.costs_usd[arm - 1] - best.costs_usd[best.arm - 1]
            share = sum(choice.arm == arm for choice in explored) / 1000
            assert share * extra <= made.exploration_usd + extra / 500


def test_an_arm_that_may_well_be_better_is_tried():
    made = policy((0.8, 0.79), (0.01, 0.01), doubts=(0.0, 0.1), exploration=0.1)
    assert made.choose(ANY, 0.05).explored
    assert not made.choose(ANY, 0.5).explored
    assert not replace(made, doubts=(0.0, 0.0)).choose(ANY, 0.0).explored


@pytest.mark.parametrize(("lowest", "highest"), [(0, 1), (2, 1), (1, 4)])
def test_bounds_without_an_arm_are_refused(lowest, highest):
    with pytest.raises(ValueError, match="none is left"):
        policy().choose(ANY, 0.5, lowest, highest)


def test_a_draw_out_of_range_is_refused():
    with pytest.raises(ValueError, match="u is 1"):
        policy().choose(ANY, 1.0)


@given(policies, st.floats(0, 1, exclude_max=True))
@settings(max_examples=examples(100), deadline=None)
def test_a_snapshot_decides_the_same_after_the_trip(made, u):
    sent = OnlinePolicy.loads(made.dumps())
    again = OnlinePolicy.loads(sent.dumps())
    assert again.dumps() == sent.dumps()
    assert again.choose(ANY, u) == sent.choose(ANY, u)


def damaged(**changes: object) -> bytes:
    return json.dumps({**json.loads(policy().dumps()), **changes}).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "format 1"),
        (damaged(format=2), "format 1"),
        (b"{" + b" " * 1_000_001, "1000000"),
        (damaged(price="high"), "price of the policy is no float"),
        (damaged(price=True), "price of the policy is no float"),
        (damaged(price=-1), "out of range"),
        (damaged(price=10**400), "out of range"),
        (damaged(arms=["a", "a", "b"]), "different names"),
        (damaged(arms=[]), "different names"),
        (damaged(arms=["a", "b"]), "do not go together"),
        (damaged(doubts=[0.0]), "do not go together"),
        (damaged(doubts=["x", 0, 0]), "doubts of the policy is no float"),
        (damaged(exploration=0.1, floor=0.2), "below its floor"),
        (damaged(reward_weights={"shape": [1, 2], "float32": "AAAA"}), "reward_weights of the policy can't be read"),
        (damaged(reward_weights=[1]), "reward_weights of the policy can't be read"),
        (damaged(cost_weights={"shape": [3, 1], "float32": "AADAfwAAwH8AAMB/"}), "do not go together"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_reason(data, why):
    with pytest.raises(PolicyError, match=why):
        OnlinePolicy.loads(data)


def test_a_field_that_is_missing_is_named():
    fields = json.loads(policy().dumps())
    del fields["price"]
    with pytest.raises(PolicyError, match="price is missing"):
        OnlinePolicy.loads(json.dumps(fields).encode())

"""The router under a budget: who decides when, and that bounds hold whatever was learned."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixed_classifiers import Fixed
from support.in_memory import new_request

from streams.config.eligible_models import EligibleModels
from streams.config.settings import load
from streams.config.settings_sections import RuleCondition, RuleSettings
from streams.routing.online.budget import BudgetRouting
from streams.routing.online.features import RequestFeatures
from streams.routing.online.policy import OnlinePolicy
from streams.routing.online.versions import OnlinePolicies
from streams.routing.policy import Policy
from streams.routing.router import ASK_ALWAYS, Router
from streams.routing.versions import ClassifierVersions

FEATURES = RequestFeatures()
SINCE_MS = 1_000


def policy(*rewards: float, version: int = 1, **fields) -> OnlinePolicy:
    """A policy for which each tier costs ten times the one below, and brings this."""
    reward_weights, cost_weights = np.zeros((len(rewards), FEATURES.size)), np.zeros((len(rewards), FEATURES.size))
    reward_weights[:, 0] = rewards
    cost_weights[:, 0] = np.log(10.0) * (np.arange(len(rewards)) - 5)
    plain = OnlinePolicy(
        version=version,
        features=FEATURES.version,
        arms=tuple(f"tier {number}" for number in range(1, len(rewards) + 1)),
        reward_weights=reward_weights,
        cost_weights=cost_weights,
        doubts=(0.0,) * len(rewards),
        price=0.0,
        ceiling_usd=1.0,
        exploration=0.0,
        floor=0.0,
        exploration_usd=0.0,
    )
    return replace(plain, **fields)


def router(*policies: OnlinePolicy, rules: tuple[RuleSettings, ...] = ()) -> Router:
    versions = OnlinePolicies()
    for number, one in enumerate(policies, start=1):
        versions.add(number, one, SINCE_MS * number)
    return Router(
        policy=Policy(rules, 3),
        classifiers=ClassifierVersions(Fixed(0.1, 0.1)),
        tiers=3,
        boundary=(0.5, 0.5),
        models=EligibleModels(load()),
        ask_band=ASK_ALWAYS,
        budget=BudgetRouting(versions, FEATURES, 3),
    )


def decided(by: Router, at_ms: int = SINCE_MS, **fields):
    request = new_request(**fields)
    return by.draft(request, request.digest(), at_ms)


def test_the_policy_of_its_time_decides_and_says_why():
    both = router(policy(0.2, 0.9, 0.95, price=1.0), policy(0.2, 0.3, 0.95, version=2))
    assert decided(both, 0).decision.tier == 1, "before the first one the classifier does"
    assert decided(both, 0).asks
    first, second = decided(both, SINCE_MS), decided(both, 2 * SINCE_MS)
    assert (first.decision.tier, second.decision.tier) == (3, 3)
    assert first.decision.classifier == "fixed/1 under budget/1"
    assert second.decision.classifier == "fixed/1 under budget/2"
    assert any(reason.startswith("budget: ") for reason in first.decision.reasons)
    assert not first.asks


def test_a_price_that_is_not_worth_it_keeps_a_request_down():
    dear = router(policy(0.8, 0.9, 0.95, price=10_000.0))
    assert decided(dear).decision.tier == 1


def test_rules_come_first():
    rules = (
        RuleSettings(name="sets", when=RuleCondition(feature=("set",)), tier=2),
        RuleSettings(name="floors", when=RuleCondition(feature=("floor",)), floor=2),
        RuleSettings(name="raises", when=RuleCondition(feature=("raise",)), raise_by=1),
    )
    cheap = router(policy(0.9, 0.9, 0.9), rules=rules)
    assert decided(cheap).decision.tier == 1
    assert decided(cheap, feature="set").decision.rule == "sets"
    assert decided(cheap, feature="floor").decision.tier == 2
    assert decided(cheap, feature="raise").decision.tier == 2


@pytest.mark.parametrize("wrong", [{"features": "other/1"}, {}])
def test_a_policy_about_something_else_is_not_asked(wrong):
    about = policy(0.1, 0.9, 0.95, **wrong) if wrong else policy(0.1, 0.9)
    found = decided(router(about))
    assert (found.decision.tier, found.decision.classifier) == (1, "fixed/1")


@given(
    rewards=st.tuples(*[st.floats(0, 1)] * 3),
    price=st.floats(0, 1e6),
    exploration=st.floats(0, 1),
    bounds=st.tuples(st.integers(1, 3), st.integers(1, 3)).map(sorted),
    text=st.text(min_size=1, max_size=50),
)
def test_bounds_hold_and_a_copy_is_decided_alike(rewards, price, exploration, bounds, text):
    lowest, highest = bounds
    one = policy(*rewards, price=price, exploration=exploration, exploration_usd=1.0, doubts=(0.3, 0.3, 0.3))
    fields = {"text": text, "min_tier": lowest, "max_tier": highest}
    found = decided(router(one), **fields)
    assert lowest <= found.decision.tier <= highest
    assert decided(router(one), **fields).decision == found.decision

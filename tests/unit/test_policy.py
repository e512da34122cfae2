"""Rules: what each condition means, and how floors, ceilings and tiers meet what the request asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_memory import new_request
from record_strategies import requests

from streams.routing.policy import Policy
from streams.sections import RuleCondition, RuleSettings
from topics.requests import Message, Request


def rule(name: str = "r", when: dict[str, object] | None = None, **effect: object) -> RuleSettings:
    return RuleSettings(name=name, when=RuleCondition(**when or {}), **effect)


def bounds(*rules: RuleSettings, top: int = 3, query_type: str = "faq", **request: object):
    return Policy(rules, top).bounds(new_request(**request), query_type)


def test_without_rules_everything_is_left_to_the_classifier():
    found = bounds()
    assert (found.floor, found.ceiling, found.tier, found.validate_answer) == (1, 3, None, False)
    assert (found.rule, found.reasons) == (None, ())


CONDITIONS = [
    ({"query_type": ["faq", "code"]}, {}, {"query_type": "code"}),
    ({"user_role": ["CEO"]}, {"context": {"user_role": "ceo"}}, {"context": {"user_role": "cto"}}),
    ({"feature": ["chat"]}, {"feature": "chat"}, {"feature": "Chat"}),
    ({"tags": ["a", "b"]}, {"tags": ("x", "b")}, {"tags": ("x",)}),
    ({"error_tolerance": ["low"]}, {"context": {"error_tolerance": "low"}}, {}),
    ({"business_impact": ["critical"]}, {"context": {"business_impact": "critical"}}, {}),
    ({"data_class": ["internal"]}, {}, {"context": {"data_class": "public"}}),
    ({"service_class": ["bulk"]}, {"service_class": "bulk"}, {}),
    ({"self_validating": True}, {"context": {"self_validating": True}}, {}),
    ({"self_validating": False}, {}, {"context": {"self_validating": True}}),
    ({"has_schema": True}, {"response_schema": {}}, {}),
    ({"mentions": ["Straße"]}, {"text": "in der STRASSE"}, {"text": "im Haus"}),
    ({"min_characters": 5}, {"text": "12345"}, {"text": "1234"}),
]


@pytest.mark.parametrize(("when", "matching", "other"), CONDITIONS, ids=",".join)
def test_each_condition(when, matching, other):
    only = rule(when={"query_type": ["faq"]} | when, tier=2)
    assert bounds(only, **matching).tier == 2
    if "query_type" not in when:
        assert bounds(only, **other).tier is None
        assert bounds(only, query_type="code", **matching).tier is None


def test_query_type_is_the_one_that_was_decided():
    assert bounds(rule(when={"query_type": ["code"]}, tier=2), query_type="code").tier == 2
    assert bounds(rule(when={"query_type": ["code"]}, tier=2)).tier is None


def test_min_messages_counts_the_conversation():
    policy = Policy([rule(when={"min_messages": 2}, tier=2)], 3)
    message = Message(role="user", content="x")
    assert policy.bounds(Request(request_id="r", messages=(message, message)), "faq").tier == 2
    assert policy.bounds(Request(request_id="r", messages=(message,)), "faq").tier is None


def test_floors_rise_and_ceilings_fall_in_any_order():
    rules = [rule("a", floor=2), rule("b", floor=1), rule("c", ceiling=4), rule("d", ceiling="top")]
    for order in (rules, rules[::-1]):
        found = bounds(*order, top=5)
        assert (found.floor, found.ceiling) == (2, 4)


def test_the_first_rule_with_a_tier_sets_it_and_is_named():
    found = bounds(rule("bound", floor=2), rule("first", tier=3), rule("second", tier=1))
    assert (found.tier, found.rule) == (3, "first")
    assert found.reasons == ("bound", "first", "second")


def test_the_last_rule_that_moved_a_bound_is_named():
    assert bounds(rule("a", floor=2), rule("b", floor=2), rule("c", validate_answer=True)).rule == "a"


def test_top_is_the_highest_tier_there_is():
    assert [bounds(rule(tier="top"), top=top).tier for top in range(2, 6)] == [2, 3, 4, 5]


def test_the_last_rule_about_validation_wins():
    assert bounds(rule("a", validate_answer=True)).validate_answer
    assert not bounds(rule("a", validate_answer=True), rule("b", validate_answer=False)).validate_answer


def test_where_rules_contradict_each_other_the_ceiling_wins():
    found = bounds(rule("a", floor="top"), rule("b", ceiling=1))
    assert (found.floor, found.ceiling) == (1, 1)


def test_a_rule_never_loosens_what_the_request_asks_for():
    assert bounds(rule(ceiling=1), min_tier=2).floor == 2
    assert bounds(rule(floor=3), max_tier=2).ceiling == 2


effects = st.fixed_dictionaries(
    {},
    optional={name: st.sampled_from([1, 2, 3, 4, 5, "top"]) for name in ("tier", "floor", "ceiling")},
).filter(bool)


@given(st.lists(effects, max_size=4), st.integers(2, 5), st.data())
def test_bounds_hold_each_other_and_the_request(rules, top, data):
    rules = [{k: min(v, top) if isinstance(v, int) else v for k, v in r.items()} for r in rules]
    low = data.draw(st.none() | st.integers(1, top))
    high = data.draw(st.none() | st.integers(low or 1, 9))
    found = bounds(*(rule(**effect) for effect in rules), top=top, min_tier=low, max_tier=high)
    assert 1 <= (low or 1) <= found.floor <= found.ceiling <= min(high or top, top)
    assert found.tier is None or 1 <= found.tier <= top


@given(requests)
def test_any_request_gets_bounds(request):
    every = rule(when={"mentions": ["x"], "min_messages": 1, "tags": ["a"], "user_role": ["ceo"]}, floor=2)
    found = Policy([every], 3).bounds(request, "other")
    assert 1 <= found.floor <= found.ceiling <= 3

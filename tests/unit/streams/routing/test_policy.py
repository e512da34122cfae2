"""Rules: what each condition means, and how floors, ceilings and tiers meet what the request asks for."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import new_request
from support.record_strategies import requests
from support.tool_talk import LOOKUP, assistant, call, calls, result, talk, user

from streams.config.settings_sections import LimitSettings, RuleCondition, RuleSettings
from streams.routing import policy as policy_module
from streams.routing.policy import _TESTS, Classified, Policy
from topics.messages import Message
from topics.requests import Request


def rule(name: str = "r", when: dict[str, object] | None = None, **effect: object) -> RuleSettings:
    return RuleSettings(name=name, when=RuleCondition(**when or {}), **effect)


def bounds(*rules: RuleSettings, top: int = 3, query_type: str = "faq", **request: object):
    return Policy(rules, top).bounds(new_request(**request), query_type)


def test_without_rules_everything_is_left_to_the_classifier():
    found = bounds()
    assert (found.floor, found.ceiling, found.tier, found.validate_answer) == (1, 3, None, False)
    assert (found.rule, found.reasons) == (None, ())


SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
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
    ({"has_schema": True}, {"response_format": SCHEMA}, {"response_format": {"type": "json_object"}}),
    ({"has_tools": True}, {"tools": (LOOKUP,)}, {}),
    ({"has_tools": False}, {}, {"tools": (LOOKUP,)}),
    ({"mentions": ["Straße"]}, {"text": "in der STRASSE"}, {"text": "im Haus"}),
    ({"min_characters": 5}, {"text": "12345"}, {"text": "1234"}),
    ({"mentions_money": True}, {"text": "It costs $5"}, {"text": "It costs 5"}),
    ({"mentions_money": False}, {"text": "It costs 5"}, {"text": "It costs 5 €"}),
    ({"mentions_personal_data": True}, {"text": "I am ann@example.org"}, {"text": "I am @ann"}),
]


@pytest.mark.parametrize(("when", "matching", "other"), CONDITIONS, ids=",".join)
def test_each_condition(when, matching, other):
    only = rule(when={"query_type": ["faq"]} | when, tier=2)
    assert bounds(only, **matching).tier == 2
    if "query_type" not in when:
        assert bounds(only, **other).tier is None
        assert bounds(only, query_type="code", **matching).tier is None


def test_every_condition_is_tested_on_requests():
    forgotten = RuleCondition.model_fields.keys() - _TESTS.keys()
    assert not forgotten, (
        f"streams/routing/policy.py: without {forgotten} in _TESTS such a rule applies to every request"
    )


def test_query_type_is_the_one_that_was_decided():
    assert bounds(rule(when={"query_type": ["code"]}, tier=2), query_type="code").tier == 2
    assert bounds(rule(when={"query_type": ["code"]}, tier=2)).tier is None


def test_min_messages_counts_the_conversation():
    policy = Policy([rule(when={"min_messages": 2}, tier=2)], 3)
    message = Message(role="user", content="x")
    assert policy.bounds(Request(request_id="r", messages=(message, message)), "faq").tier == 2
    assert policy.bounds(Request(request_id="r", messages=(message,)), "faq").tier is None


def test_money_and_personal_data_are_looked_for_in_what_was_said_and_not_in_what_the_producer_always_says():
    policy = Policy(
        [rule("a", {"mentions_money": True}, tier=2), rule("b", {"mentions_personal_data": True}, floor=3)], 3
    )
    said = [
        ("system", "Standard EUR 4.95. Write to help@example.org"),
        ("user", "Hi, ann@example.org here. It was $5."),
    ]

    def found(*kept):
        messages = tuple(Message(role=role, content=text) for role, text in [*kept, ("user", "And now?")])
        return policy.bounds(Request(request_id="r", messages=messages), "faq").reasons

    assert found(said[0]) == ()
    assert found(*said) == ("a", "b")
    assert found(("assistant", "That will be $5")) == ("a",)


def test_a_rule_can_ask_for_an_open_tool_loop():
    policy = Policy(
        [rule("open", {"in_tool_loop": True}, floor=2), rule("closed", {"in_tool_loop": False}, floor=1)], 3
    )
    loop = (user(), calls(), result())
    assert policy.bounds(talk(*loop), "faq").reasons == ("open",)
    assert policy.bounds(talk(*loop, assistant()), "faq").reasons == ("closed",)


def test_lengths_are_those_of_what_was_said():
    said = rule("said", {"min_messages": 3, "min_characters": 12}, floor=2)
    steps = (calls(text="Let me look that up."), result("{}" * 500))
    for messages, applies in (
        ((user("Where?"), *steps, *steps), False),
        ((user("Where?"), *steps, assistant("Hm."), user("So?")), True),
    ):
        assert bool(Policy([said], 3).bounds(talk(*messages), "faq").reasons) is applies


BURIED = "0, " * 300_000 + "ann@example.org owes $5"


@pytest.mark.parametrize(
    "messages",
    [
        (calls(), result(BURIED)),
        (calls(call(arguments=BURIED)), result()),
        (
            Message(role="assistant", content=({"type": "thinking", "thinking": BURIED},), tool_calls=(call(),)),
            result(),
        ),
    ],
    ids=["result", "arguments", "thinking"],
)
def test_money_and_personal_data_are_looked_for_in_all_of_a_tool_loop(messages):
    policy = Policy(
        [rule("a", {"mentions_money": True}, tier=2), rule("b", {"mentions_personal_data": True}, floor=3)], 3
    )
    assert policy.bounds(talk(user(), *messages), "faq").reasons == ("a", "b")


def test_what_a_tool_is_described_with_is_not_personal():
    described = LOOKUP.function.model_copy(update={"description": "For $5 ask ann@example.org."})
    policy = Policy(
        [rule("a", {"mentions_money": True}, tier=2), rule("b", {"mentions_personal_data": True}, floor=3)], 3
    )
    tool = LOOKUP.model_copy(update={"function": described})
    assert policy.bounds(talk(user(), tools=(tool,)), "faq").reasons == ()


def asked_again(**request: object) -> Request:
    turns = (
        ("user", "Which city is the capital of Australia?"),
        ("assistant", "Australia is a country in Oceania."),
        ("user", "To be clear: which city is the capital of Australia?"),
    )
    messages = tuple(Message(role=role, content=text) for role, text in turns)
    return Request(request_id="r", messages=messages, **request)


RAISING = rule("asked-again", {"signals": ["rephrased", "frustrated"]}, raise_by=1)


def test_signals_of_the_conversation_match_any_of_those_that_are_named():
    request = asked_again()
    for named, applies in ((["rephrased", "frustrated"], True), (["rephrased"], True), (["frustrated"], False)):
        found = Policy([rule(when={"signals": named}, raise_by=1)], 3).bounds(request, "faq")
        assert found.reasons == (("r",) if applies else ())
    alone = request.model_copy(update={"messages": request.messages[-1:]})
    assert Policy([RAISING], 3).bounds(alone, "faq").reasons == ()


def test_signals_are_looked_for_once_and_only_where_a_rule_gets_as_far(monkeypatch):
    looked = []
    monkeypatch.setattr(policy_module, "signals", lambda request: looked.append(request) or frozenset())
    of_chat = rule("chat", {"feature": ["chat"], "signals": ["rephrased"]}, raise_by=1)
    Policy([rule("plain", floor=2), of_chat], 3).bounds(asked_again(), "faq")
    assert looked == []
    Policy([of_chat, RAISING], 3).bounds(asked_again(feature="chat"), "faq")
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("rules", "fields", "classified", "decided"),
    [
        ((), {}, 1, (2, "asked-again")),
        ((), {}, 2, (3, "asked-again")),
        ((), {}, 3, (3, None)),
        ((), {"max_tier": 2}, 1, (2, "asked-again")),
        ((), {"max_tier": 2}, 2, (2, None)),
        ((), {"min_tier": 2}, 1, (2, "asked-again")),
        ((rule("high", ceiling=1),), {}, 1, (1, None)),
        ((rule("high", ceiling=1),), {}, 2, (1, "high")),
        ((rule("low", floor=2),), {}, 1, (2, "asked-again")),
        ((rule("low", floor=3),), {}, 1, (3, "low")),
        ((rule("set", tier=1),), {}, 2, (1, "set")),
        ((rule("more", raise_by=2),), {}, 1, (3, "more")),
        ((rule("as-many", raise_by=1),), {}, 1, (2, "as-many")),
    ],
)
def test_the_tier_of_the_scores_is_raised_within_the_bounds(rules, fields, classified, decided):
    found = Policy([*rules, RAISING], 3).bounds(asked_again(**fields), "faq")
    assert found.decide(classified) == decided
    assert "asked-again" in found.reasons


def test_a_limit_binds_who_asks_again():
    found = Policy([RAISING], 3, LimitSettings(user={"u-1": 1})).bounds(asked_again(user_id="u-1"), "faq")
    assert found.decide(1) == (1, None)
    assert found.decide(2) == (1, "limit user u-1")


@pytest.mark.parametrize(
    ("when", "classified", "applies"),
    [
        ({"classified_tier": [2]}, Classified(2, 0.5), True),
        ({"classified_tier": [2]}, Classified(1, 0.5), False),
        ({"classified_tier": ["top"]}, Classified(3, 0.5), True),
        ({"classified_tier": ["top"]}, Classified(2, 0.5), False),
        ({"confidence_below": 0.6}, Classified(1, 0.59), True),
        ({"confidence_below": 0.6}, Classified(1, 0.6), False),
        ({"confidence_below": 0.6, "feature": ["chat"]}, Classified(1, 0.1), False),
    ],
)
def test_rules_about_the_scores_apply_once_they_are_known(when, classified, applies):
    policy = Policy([rule("before", floor=2), rule("after", when, tier=1)], 3)
    request = new_request()
    before = policy.bounds(request, "faq")
    assert before.reasons == ("before",)
    after = policy.reviewed(before, request, "faq", classified)
    assert after.reasons == (("before", "after") if applies else ("before",))


def test_shifts_add_up():
    rules = [rule("a", threshold_shift=0.2), rule("b", threshold_shift=-0.05), rule("c", threshold_shift=0.0)]
    assert bounds(*rules).threshold_shift == pytest.approx(0.15)
    assert bounds().threshold_shift == 0


def limited(*rules: RuleSettings, limits: dict[str, dict[str, int | str]], **request: object):
    return Policy(rules, 3, LimitSettings(**limits)).bounds(new_request(**request), "faq")


@pytest.mark.parametrize(
    ("limits", "request_fields", "ceiling", "rule_name"),
    [
        ({"tag": {"acme": 2}}, {"tags": ("x", "acme")}, 2, "limit tag acme"),
        ({"feature": {"playground": 1}}, {"feature": "playground"}, 1, "limit feature playground"),
        ({"user": {"u-1": 1}}, {"user_id": "u-1"}, 1, "limit user u-1"),
        ({"user": {"u-1": 1}}, {"user_id": "u-2"}, 3, None),
        ({"user": {"u-1": 1}}, {}, 3, None),
        ({"user": {"u-1": "top"}}, {"user_id": "u-1"}, 3, None),
        ({"user": {"u-1": 2}, "tag": {"a": 1}}, {"user_id": "u-1", "tags": ("a",)}, 1, "limit tag a"),
    ],
)
def test_a_limit_is_a_ceiling_for_a_tenant(limits, request_fields, ceiling, rule_name):
    found = limited(limits=limits, **request_fields)
    assert (found.ceiling, found.ceiling_rule) == (ceiling, rule_name)


def test_a_limit_holds_against_rules_and_against_the_request_itself():
    limits = {"tag": {"acme": 1}}
    assert limited(rule("a", tier="top"), limits=limits, tags=("acme",)).decide(3) == (1, "limit tag acme")
    assert limited(rule("a", floor="top"), limits=limits, tags=("acme",)).decide(3) == (1, "limit tag acme")
    asking = limited(limits=limits, tags=("acme",), min_tier=3)
    assert (asking.floor, asking.decide(3)) == (1, (1, "limit tag acme"))
    assert limited(rule("a", ceiling=1), limits={"tag": {"acme": 2}}, tags=("acme",)).ceiling_rule == "a"


def test_floors_rise_and_ceilings_fall_in_any_order():
    rules = [rule("a", floor=2), rule("b", floor=1), rule("c", ceiling=4), rule("d", ceiling="top")]
    for order in (rules, rules[::-1]):
        found = bounds(*order, top=5)
        assert (found.floor, found.ceiling) == (2, 4)


def test_the_first_rule_with_a_tier_sets_it_and_is_named():
    found = bounds(rule("bound", floor=2), rule("first", tier=3), rule("second", tier=1))
    assert (found.tier, found.rule) == (3, "first")
    assert found.reasons == ("bound", "first", "second")


def test_the_rule_that_moved_a_bound_last_is_named():
    found = bounds(rule("a", floor=2), rule("b", floor=2), rule("c", validate_answer=True), rule("d", ceiling=2))
    assert (found.rule, found.floor_rule, found.ceiling_rule) == (None, "a", "d")


@pytest.mark.parametrize(
    ("rules", "classified", "decided"),
    [
        ((), 2, (2, None)),
        ((rule("low", floor=2),), 1, (2, "low")),
        ((rule("low", floor=2),), 2, (2, None)),
        ((rule("low", floor=2),), 3, (3, None)),
        ((rule("high", ceiling=2),), 3, (2, "high")),
        ((rule("high", ceiling=2),), 2, (2, None)),
        ((rule("set", tier=1),), 3, (1, "set")),
        ((rule("set", tier=1), rule("low", floor=2)), 3, (2, "low")),
        ((rule("set", tier="top"), rule("high", ceiling=1)), 2, (1, "high")),
        ((rule("low", floor=3), rule("high", ceiling=2)), 1, (2, "low")),
    ],
)
def test_the_rule_that_decides_is_named_and_no_other(rules, classified, decided):
    assert bounds(*rules).decide(classified) == decided


def test_the_requests_own_bounds_name_no_rule():
    assert bounds(min_tier=2).decide(1) == (2, None)
    assert bounds(max_tier=2).decide(3) == (2, None)
    assert bounds(rule("set", tier=1), min_tier=2).decide(3) == (2, "set")
    assert bounds(rule("low", floor=2), min_tier=2).decide(1) == (2, None)


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


def _is_allowed(effect: dict) -> bool:
    """Whether the settings take a rule with this effect: it has one, and its floor is not above its ceiling."""
    floor, ceiling = (number if isinstance(number := effect.get(name), int) else None for name in ("floor", "ceiling"))
    return bool(effect) and (floor is None or ceiling is None or floor <= ceiling)


effects = st.fixed_dictionaries(
    {},
    optional={name: st.sampled_from([1, 2, 3, 4, 5, "top"]) for name in ("tier", "floor", "ceiling")},
).filter(_is_allowed)


@given(st.lists(effects, max_size=4), st.integers(2, 5), st.data())
def test_bounds_hold_each_other_and_the_request(rules, top, data):
    rules = [{k: min(v, top) if isinstance(v, int) else v for k, v in r.items()} for r in rules]
    low = data.draw(st.none() | st.integers(1, top))
    high = data.draw(st.none() | st.integers(low or 1, 9))
    found = bounds(*(rule(**effect) for effect in rules), top=top, min_tier=low, max_tier=high)
    assert 1 <= (low or 1) <= found.floor <= found.ceiling <= min(high or top, top)
    assert found.tier is None or 1 <= found.tier <= top


@given(st.lists(effects, max_size=3), st.integers(1, 9), st.integers(2, 5), st.data())
def test_raising_never_leaves_the_bounds_nor_lowers_a_tier(rules, by, top, data):
    rules = [{k: min(v, top) if isinstance(v, int) else v for k, v in r.items()} for r in rules]
    low = data.draw(st.none() | st.integers(1, top))
    high = data.draw(st.none() | st.integers(low or 1, 9))
    others = [rule(**effect) for effect in rules]
    found = bounds(*others, rule("up", raise_by=by), top=top, min_tier=low, max_tier=high)
    without = bounds(*others, top=top, min_tier=low, max_tier=high)
    tiers = [found.decide(classified)[0] for classified in range(1, top + 1)]
    plain = [without.decide(classified)[0] for classified in range(1, top + 1)]
    assert all(found.floor <= tier <= found.ceiling for tier in tiers)
    assert all(0 <= tier - before <= by for tier, before in zip(tiers, plain, strict=True))
    # A vote that moves the classified tier by one moves the request by no more than that.
    assert all(0 <= after - before <= 1 for before, after in itertools.pairwise(tiers))


@given(requests)
def test_any_request_gets_bounds(request):
    every = rule(when={"mentions": ["x"], "min_messages": 1, "tags": ["a"], "user_role": ["ceo"]}, floor=2)
    found = Policy([every], 3).bounds(request, "other")
    assert 1 <= found.floor <= found.ceiling <= 3

"""Ids of calls in a body: such as the API takes, the same in a call and in its result, and one call's alone."""

import re

from hypothesis import given
from hypothesis import strategies as st

from streams.providers.tool_names import CallIds, function_name

TAKEN = re.compile(r"[a-zA-Z0-9_-]{1,40}")
ids = st.text(min_size=1, max_size=60) | st.sampled_from(("call_0", "functions.look:0", "x" * 41))


def named(calls):
    known = CallIds(TAKEN)
    return [(known.of_call(call), known.of_result(call)) for call in calls]


@given(st.lists(ids, max_size=8))
def test_each_call_has_an_id_of_its_own_that_its_result_has_too(calls):
    written = named(calls)
    assert all(TAKEN.fullmatch(call) and call == result for call, result in written)
    assert len({call for call, _ in written}) == len(calls)
    assert written == named(calls)


def test_an_id_that_the_api_takes_stays():
    assert named(["toolu_01A", "call_1"]) == [("toolu_01A", "toolu_01A"), ("call_1", "call_1")]


def test_results_that_come_together_find_their_calls():
    known = CallIds(TAKEN)
    calls = [known.of_call(call) for call in ("a:0", "a:1", "b")]
    assert [known.of_result(call) for call in ("a:1", "b", "a:0")] == [calls[1], calls[2], calls[0]]


def test_names_that_models_make_up_are_made_presentable():
    assert [function_name(name) for name in ("look", "functions.look", "", "ü" * 200)] == [
        "look",
        "functions_look",
        "_",
        "_" * 128,
    ]

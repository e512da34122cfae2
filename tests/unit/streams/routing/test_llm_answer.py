"""Reading votes: strictly, and never with an error, whatever a model wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.routing.llm.answer import read_answer

GOOD = '{"1":[90,10,0],"2":[0,20,80]}'
READ = [(0.9, 0.1, 0.0), (0.0, 0.2, 0.8)]


@pytest.mark.parametrize("content", [GOOD, f" {GOOD}\n", f"```json\n{GOOD}\n```", '{"2":[0,20,80],"1":[90,10,0]}'])
def test_what_was_asked_for(content):
    assert read_answer(content, 2, 3) == READ


@pytest.mark.parametrize(
    "content",
    [
        "",
        "tier 3",
        GOOD[:-1],
        GOOD + GOOD,
        f"Here you are: {GOOD}",
        f"[{GOOD}]",
        "[[90,10,0],[0,20,80]]",
        '"1"',
        "null",
        "7",
        '{"0":[90,10,0],"1":[0,20,80]}',
        '{"1":[90,10,0],"2":[0,20,80],"3":[0,20,80]}',
        '{"1":[90,10,0],"2":[0,20,80],"1":[0,0,100]}',
        '{"1":[90,10,0],"tier":3}',
        '{"1":[90,10,0],"2":[0,20,NaN]}',
        '{"1":[90,10,0],"2":[0,20,Infinity]}',
        '{"1":[90,10,0],"2":[0,20,1e999]}',
        '{"1":[90,10,0],"2":[0,20,' + "9" * 5000 + "]}",
        '{"1":' + "[" * 100_000,
        '{"1":[90,10,0],"2":{"a":1,"a":2}}',
    ],
)
def test_anything_else_is_no_vote_on_anybody(content):
    assert read_answer(content, 2, 3) == [None, None]


@pytest.mark.parametrize(
    "entry",
    [
        "null",
        "3",
        '"90,10,0"',
        "[]",
        "[90,10]",
        "[90,10,0,0]",
        "[110,-10,0]",
        "[101,0,0]",
        "[0.9,0.1,0.0]",
        "[0,0,0]",
        "[90,16,0]",
        "[90,4,0]",
        '[90,"10",0]',
        "[true,99,0]",
        "[90,null,10]",
        "[[90],10,0]",
        '{"1":90,"2":10,"3":0}',
        "[" + "9" * 400 + ",0,0]",
    ],
)
def test_an_entry_that_is_none_is_no_vote_on_its_request_alone(entry):
    assert read_answer(f'{{"1":{entry},"2":[0,20,80]}}', 2, 3) == [None, READ[1]]


def test_a_missing_entry_is_no_vote_on_its_request_alone():
    assert read_answer('{"2":[0,20,80]}', 2, 3) == [None, READ[1]]
    assert read_answer("{}", 2, 3) == [None, None]


def test_rounding_is_forgiven_and_the_sum_made_whole():
    assert read_answer('{"1":[33,33,33]}', 1, 3) == [(1 / 3, 1 / 3, 1 / 3)]
    assert read_answer('{"1":[66.5,33.5]}', 1, 2) == [(0.665, 0.335)]
    assert read_answer('{"1":[70,35]}', 1, 2) == [(70 / 105, 35 / 105)]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("123ab"), inner, max_size=4),
    max_leaves=12,
)


@given(st.text() | values.map(json.dumps), st.integers(1, 4), st.integers(2, 5))
def test_any_text_is_read_without_an_error(content, n, tiers):
    found = read_answer(content, n, tiers)
    assert len(found) == n
    for row in found:
        assert row is None or (len(row) == tiers and all(0 <= p <= 1 for p in row) and sum(row) == pytest.approx(1))


@given(st.lists(st.lists(st.integers(0, 100), min_size=3, max_size=3), min_size=1, max_size=8))
def test_what_is_well_formed_is_read_as_it_was_meant(rows):
    answer = json.dumps({str(number): row for number, row in enumerate(rows, start=1)})
    for row, found in zip(rows, read_answer(answer, len(rows), 3), strict=True):
        whole = 95 <= sum(row) <= 105
        assert (found is not None) is whole
        assert found is None or list(found) == pytest.approx([value / sum(row) for value in row])

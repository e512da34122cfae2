"""The id in bytes that can't be parsed: found where it is certain, and in a time that has a bound."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.record_strategies import ids, json_values, texts

from topics import request_ids
from topics.request_ids import find_request_id

MIB = 1024 * 1024
AT = ("request_id",)

readable = ids.filter(lambda request_id: "\ufffd" not in request_id)
"""What stands for a byte that is no text is not taken for an id."""
others = st.dictionaries(texts.filter(lambda name: name != "request_id"), json_values, max_size=4)


@settings(max_examples=examples(200))
@given(readable, others, others, st.booleans())
def test_the_id_of_any_object_is_found(request_id, before, after, ascii_only):
    value = json.dumps(before | {"request_id": request_id} | after, ensure_ascii=ascii_only).encode()
    assert find_request_id(value, AT) == request_id


@settings(max_examples=examples(200))
@given(readable, others, others, st.data())
def test_of_a_text_that_is_cut_off_the_id_is_found_or_nothing(request_id, before, after, data):
    value = json.dumps(before | {"request_id": request_id} | after).encode()
    cut = value[: data.draw(st.integers(0, len(value)))]
    assert find_request_id(cut, AT) in {request_id, None}


@settings(max_examples=examples(200))
@given(others)
def test_where_no_id_is_at_its_place_none_is_found(nested):
    value = json.dumps({"a": {"request_id": "x"}, "b": [{"request_id": "x"}], "c": nested} | nested).encode()
    assert find_request_id(value, AT) is None


@settings(max_examples=examples(100))
@given(ids, ids)
def test_two_ids_are_none(first, second):
    value = f'{{"request_id": {json.dumps(first)}, "request_id": {json.dumps(second)}}}'.encode()
    assert find_request_id(value, AT) == (first if first == second else None)


@settings(max_examples=examples(300))
@given(st.binary(max_size=80) | st.text('{}[]",:\\ru\n1', max_size=80).map(str.encode))
def test_any_bytes_are_looked_at(value):
    find_request_id(value, AT)


def test_the_way_leads_through_objects_only():
    path = ("task", "request", "request_id")
    assert find_request_id(b'{"request_id": "no", "task": {"request": {"request_id": "r1", "x": NaN', path) == "r1"
    assert find_request_id(b'{"task": [{"request": {"request_id": "r1"}}]}', path) is None
    assert find_request_id(b'{"task": {"request": "request_id"}}', path) is None


HOSTILE = {
    "brackets": b'{"x": ' + b"[" * 8 * MIB,
    "lists": b'{"request_id": "r1", "x": [' + b"[]," * (8 * MIB // 3),
    "objects": b'{"request_id": "r1", "x": ' + b'{"a":' * (8 * MIB // 5),
    "members": b'{"request_id": "r1", ' + b'"":1,' * (8 * MIB // 5),
    "quotes": b'{"request_id": "r1", ' + b'"' * 8 * MIB,
    "backslashes": b'{"request_id": "r1", "x": "' + b"\\" * 8 * MIB,
    "spaces": b'{"request_id": "r1"' + b" " * 8 * MIB,
    "no text": b'{"request_id": "r1", "x": "' + b"\xff" * 8 * MIB,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_the_largest_record_takes_few_steps_and_little_memory(case, monkeypatch):
    steps = 10_000
    monkeypatch.setattr(request_ids, "_MOST_STEPS", steps)
    value = HOSTILE[case]
    tracemalloc.start()
    try:
        found = find_request_id(value, AT)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == (None if case == "brackets" else "r1")
    # The text as characters, and what is left of it where it is searched for another name.
    assert most < 6 * len(value)


def test_what_comes_after_too_many_steps_may_name_another_id(monkeypatch):
    monkeypatch.setattr(request_ids, "_MOST_STEPS", 10)
    members = b'"a": 1, ' * 20
    assert find_request_id(b'{"request_id": "r1", ' + members + b'"b": 1}', AT) == "r1"
    assert find_request_id(b'{"request_id": "r1", ' + members + b'"request_id": "r2"}', AT) is None
    assert find_request_id(b"{" + members + b'"request_id": "r1"}', AT) is None

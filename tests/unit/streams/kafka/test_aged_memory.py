"""What is known of ids, by the age of their requests."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.aged_memory import AgedMemory

WINDOW_MS = 1000
KEYS = st.sampled_from([b"a", b"b"])
MOMENTS = st.integers(-3 * WINDOW_MS, 3 * WINDOW_MS)


def memory() -> AgedMemory:
    return AgedMemory(timedelta(milliseconds=WINDOW_MS), "q")


@given(st.dictionaries(st.tuples(KEYS, MOMENTS), st.integers(0, 9), max_size=20), KEYS, MOMENTS)
def test_it_finds_just_what_lies_within_the_window(entries, key, asked):
    known = memory()
    for (name, moment), value in entries.items():
        known.put(name, moment, value)
    expected = {value for (name, at), value in entries.items() if name == key and abs(at - asked) <= WINDOW_MS}
    assert {value for (value,) in known.find(key, asked)} == expected


@given(st.lists(st.tuples(KEYS, MOMENTS, st.integers(0, 9)), max_size=20))
def test_a_moment_has_one_entry(puts):
    known, expected = memory(), {}
    for name, moment, value in puts:
        known.put(name, moment, value)
        expected[name, moment] = value
    assert {place: known.get(*place)[0] for place in expected} == expected
    assert known.get(b"c", 0) is None


@given(st.sets(MOMENTS, max_size=20), MOMENTS)
def test_forgetting_drops_nothing_that_is_younger(moments, before):
    known = memory()
    for moment in moments:
        known.put(b"a", moment, moment)
    known.forget(before)
    kept = {moment for moment in moments if known.get(b"a", moment) is not None}
    assert {moment for moment in moments if moment >= before} <= kept
    assert all(moment > before - WINDOW_MS // 8 for moment in kept)


def test_it_counts_ids_in_each_stretch_of_time():
    known = memory()
    for moment in range(0, 10 * WINDOW_MS, WINDOW_MS):
        known.put(b"a", moment, 1)
    assert len(known) == 10
    known.forget(5 * WINDOW_MS)
    assert len(known) == 5


@given(st.sets(MOMENTS, max_size=20), MOMENTS, st.integers(-4 * WINDOW_MS, 6 * WINDOW_MS))
def test_it_finds_what_lies_behind_the_window_where_it_is_told_up_to_when(moments, asked, until):
    known = memory()
    for moment in moments:
        known.put(b"a", moment, moment)
    latest = max(until, asked + WINDOW_MS)
    expected = {moment for moment in moments if asked - WINDOW_MS <= moment <= latest}
    assert {value for (value,) in known.find(b"a", asked, until)} == expected

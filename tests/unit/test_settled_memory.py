"""The memory of what is settled."""

import logging
from datetime import timedelta
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from record_strategies import settled

from streams.settled import SettledMemory
from topics.codec import encode


def marker(value: bytes, timestamp: int = 5) -> SimpleNamespace:
    return SimpleNamespace(offset=3, timestamp=timestamp, key=b"", value=value, headers=())


def test_it_knows_pairs_and_bodies():
    memory = SettledMemory(timedelta(hours=1))
    assert not memory.knows("r", 0)
    assert not memory.same_body("r", 0, "d")
    memory.add("r", 0, "d", 1000)
    assert memory.knows("r", 0)
    assert not memory.knows("r", 1)
    assert not memory.knows("q", 0)
    assert memory.same_body("r", 0, "d")
    assert not memory.same_body("r", 0, "other")


def test_it_forgets_what_is_older_than_the_horizon():
    memory = SettledMemory(timedelta(seconds=1))
    for number in range(10):
        memory.add(f"r{number}", 0, "d", number * 300)
    assert [number for number in range(10) if memory.knows(f"r{number}", 0)] == [6, 7, 8, 9]
    assert len(memory) == 4


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3000)), max_size=40))
def test_nothing_younger_than_the_horizon_is_forgotten_whatever_the_order(markers):
    memory, horizon = SettledMemory(timedelta(seconds=1)), 1000
    newest: dict[str, int] = {}
    latest = 0
    for name, at in markers:
        memory.add(name, 0, "d", at)
        newest[name], latest = at, max(latest, at)
        for known, moment in newest.items():
            assert memory.knows(known, 0) or moment < latest - horizon


@given(settled, st.integers(0, 2**40))
def test_it_reads_markers(record, at):
    memory = SettledMemory(timedelta(hours=1))
    memory.add_record(marker(encode(record).value, at))
    assert memory.same_body(record.request_id, record.revision, record.digest)


def test_what_is_no_marker_is_passed_over_without_its_text(caplog):
    memory = SettledMemory(timedelta(hours=1))
    with caplog.at_level(logging.DEBUG):
        memory.add_record(marker(b'{"request_id": "secret text", "revision": "secret text"}'))
    assert len(memory) == 0
    assert "offset 3" in caplog.text
    assert "secret" not in caplog.text

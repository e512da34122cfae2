"""The index of results: what a process knows, what it reads back, and what it forgets."""

from typing import Any

import pytest
from support.handler_runs import new
from support.in_memory import SETTINGS, Bench, home_of
from support.settlements import mark, settle

from streams.runtime.result_index import ResultIndex
from streams.runtime.settled_requests import SettledRequests

DAY_S = 24 * 3600


def bench_of(**feedback: Any) -> Bench:
    return new({**SETTINGS, "feedback": {"patience_s": 0, **feedback}})


def restarted(bench: Bench) -> ResultIndex:
    """The index of a process that starts now."""
    settled = SettledRequests(bench.settings, bench.clock, bench.log)
    index = ResultIndex(bench.settings, settled, bench.clock, bench.log, bench.log)
    bench.feed(settled)
    return index


async def revisions(index: ResultIndex, request_id: str, revision: int = 0) -> list[int]:
    return [one.revision for one in await index.of(request_id, revision)]


@pytest.fixture
async def bench() -> Bench:
    return bench_of()


async def test_it_knows_the_outcomes_of_all_revisions(bench):
    first, second = settle(bench), settle(bench, revision=1)
    index = restarted(bench)
    found = await index.of("r1", 0)
    assert [one.revision for one in found] == [0, 1]
    assert [await index.outcome("r1", one) for one in found] == [first, second]
    assert await index.of("q", 0) == []
    assert await index.of("r1", 2) == []


async def test_what_is_older_than_the_window_is_read_back_when_it_is_asked_for(bench):
    settle(bench)
    bench.clock.advance(DAY_S)
    settle(bench, revision=1)
    index = restarted(bench)
    assert await revisions(index, "r1", 1) == [1]
    assert len(index) == 1
    assert await revisions(index, "r1", 0) == [0, 1]
    read = len(bench.log.reads)
    assert await revisions(index, "unknown") == []
    assert await revisions(index, "unknown") == []
    home_reads = [count for count, _ in bench.log.reads[read:]]
    assert sum(home_reads) == 0, "what is known is read again"


async def test_a_quiet_partition_is_read_back_too(bench):
    settle(bench)
    bench.clock.advance(DAY_S)
    assert await revisions(restarted(bench), "r1") == [0]


async def test_it_forgets_the_oldest_and_knows_that(bench):
    bench = bench_of(max_entries=6 * 40)
    ids = [name for name in (f"r{n}" for n in range(2_000)) if home_of(name) == 2][:150]
    index = bench.engine.results
    for name in ids:
        mark(bench, name)
    assert await revisions(index, ids[-1]) == [0]
    assert 40 <= len(index) <= 80
    assert await revisions(index, ids[0]) == []
    assert await revisions(index, ids[-40]) == [0]


async def test_reading_back_is_bounded_too():
    bench = bench_of(max_entries=6 * 40)
    ids = [name for name in (f"r{n}" for n in range(2_000)) if home_of(name) == 2][:150]
    for name in ids:
        mark(bench, name)
    bench.clock.advance(DAY_S)
    index = restarted(bench)
    assert await revisions(index, ids[0]) == []
    assert len(index) == 40
    assert await revisions(index, ids[-40]) == [0]


async def test_markers_of_before_the_field_lead_nowhere(bench):
    mark(bench, "r1", outcome_offset=None)
    assert await restarted(bench).of("r1", 0) == []


async def test_an_outcome_that_is_another_one_is_none(bench):
    settle(bench)
    mark(bench, "q")
    index = restarted(bench)
    [found] = await index.of("q", 0)
    assert await index.outcome("q", found) is None

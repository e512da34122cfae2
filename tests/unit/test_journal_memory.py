"""The memory of paid calls: what is read back, how far, and what is kept."""

from datetime import timedelta
from uuid import UUID

import pytest
from in_memory import BASE_MS, JOURNAL, SETTINGS, USAGE, Bench, new_bench

from streams.publisher import Output
from streams.settings import Settings
from topics.journal import CallEnded, CallStarted, Purpose, attempt_id
from topics.partitioning import partition_for
from topics.registry import CALLS

STAGE = "infer:1"
HOME = partition_for("r", 6)


@pytest.fixture
def bench() -> Bench:
    return new_bench(Settings(**SETTINGS))


def attempt(n: int, stage: str = STAGE) -> UUID:
    return attempt_id("r", 0, stage, n)


def _fields(bench: Bench, n: int, stage: str) -> dict[str, object]:
    now = bench.clock()
    names = {"request_id": "r", "revision": 0, "stage": stage, "n": n, "purpose": Purpose.INFER, "tier": 1}
    ids = {"call_id": attempt(99 + n), "attempt_id": attempt(n, stage)}
    return names | ids | {"provider": "fast", "model": "a", "started_at": now}


def ended(bench: Bench, n: int, *, stage: str = STAGE, content: str | None = None) -> CallEnded:
    text = content or f"answer {n}"
    return CallEnded(**_fields(bench, n, stage), ended_at=bench.clock(), content=text, usage=USAGE)


def started(bench: Bench, n: int, *, stage: str = STAGE) -> CallStarted:
    return CallStarted(**_fields(bench, n, stage), deadline=bench.clock() + timedelta(minutes=1))


def at(seconds: float) -> int:
    return BASE_MS + int(seconds * 1000)


def write(bench: Bench, *calls: CallEnded | CallStarted) -> None:
    for call in calls:
        bench.log.append(Output(CALLS, call))


async def test_it_reads_back_what_another_process_paid_for(bench):
    write(bench, started(bench, 0), ended(bench, 0), started(bench, 1))
    journal = bench.journal(STAGE)
    assert await journal.recall(HOME, attempt(0), at(0)) == ended(bench, 0)
    assert await journal.recall(HOME, attempt(1), at(0)) is None
    assert await journal.recall(HOME, attempt(7), at(0)) is None
    assert bench.log.reads == [(3, 0)]
    assert journal.remembered == 1


async def test_the_calls_of_other_stages_are_passed_over(bench):
    write(bench, ended(bench, 0, stage="infer:2"), ended(bench, 0, stage="validate"))
    journal = bench.journal(STAGE)
    assert await journal.recall(HOME, attempt(0, "infer:2"), at(0)) is None
    assert journal.remembered == 0


async def test_other_partitions_are_read_for_themselves(bench):
    write(bench, ended(bench, 0))
    journal = bench.journal(STAGE)
    assert await journal.recall((HOME + 1) % 6, attempt(0), at(0)) is None
    assert await journal.recall(HOME, attempt(0), at(0)) is not None


async def test_it_reads_as_far_back_as_the_request_is_old_and_extends_backwards(bench):
    for n in range(4):
        write(bench, ended(bench, n))
        bench.clock.advance(100)
    journal = bench.journal(STAGE)
    assert await journal.recall(HOME, attempt(3), at(300)) is not None
    assert journal.remembered == 1
    assert await journal.recall(HOME, attempt(2), at(200)) is not None
    assert journal.remembered == 2
    assert await journal.recall(HOME, attempt(3), at(250)) is not None
    assert bench.log.reads == [(1, 3), (1, 2)]
    assert await journal.recall(HOME, attempt(0), at(0)) is not None
    assert bench.log.reads == [(1, 3), (1, 2), (2, 0)]
    assert journal.remembered == 4


async def test_what_was_written_just_before_the_request_counts_too(bench):
    write(bench, ended(bench, 0))
    assert await bench.journal(STAGE).recall(HOME, attempt(0), at(4)) is not None


async def test_an_extension_reads_a_minute_at_least(bench):
    for n in range(3):
        write(bench, ended(bench, n))
        bench.clock.advance(20)
    journal = bench.journal(STAGE)
    await journal.recall(HOME, attempt(2), at(46))
    for second in range(40, 0, -1):
        await journal.recall(HOME, attempt(2), at(second))
    assert bench.log.reads == [(0, -1), (3, 0)]


async def test_an_empty_stretch_is_extended_up_to_where_it_began(bench):
    journal = bench.journal(STAGE)
    write(bench, ended(bench, 0))
    bench.clock.advance(1000)
    assert await journal.recall(HOME, attempt(1), at(1000)) is None
    await journal.ended([ended(bench, 1)])
    assert await journal.recall(HOME, attempt(0), at(0)) is not None
    assert bench.log.reads == [(0, -1), (1, 0)]
    assert await journal.recall(HOME, attempt(1), at(0)) is not None


async def test_beyond_the_horizon_nothing_is_read(bench):
    write(bench, ended(bench, 0))
    bench.clock.advance(200)
    write(bench, ended(bench, 1))
    journal = bench.journal(STAGE, horizon_s=100)
    assert await journal.recall(HOME, attempt(0), at(0)) is None
    assert await journal.recall(HOME, attempt(1), at(-500)) is not None
    assert bench.log.reads == [(1, 1)]


async def test_memory_is_cut_at_the_horizon(bench):
    journal = bench.journal(STAGE, horizon_s=100)
    await journal.recall(HOME, attempt(0), at(0))
    for n in range(6):
        await journal.ended([ended(bench, n)])
        bench.clock.advance(40)
    assert journal.remembered == 3


async def test_it_remembers_what_it_wrote_itself(bench):
    journal = bench.journal(STAGE)
    assert await journal.recall(HOME, attempt(0), at(0)) is None
    await journal.started([started(bench, 0)])
    assert await journal.recall(HOME, attempt(0), at(0)) is None
    await journal.ended([ended(bench, 0)])
    assert await journal.recall(HOME, attempt(0), at(0)) == ended(bench, 0)
    assert bench.log.reads == [(0, -1)]


async def test_what_it_wrote_before_it_was_asked_is_read_back(bench):
    journal = bench.journal(STAGE)
    await journal.ended([ended(bench, 0)])
    assert journal.remembered == 0
    assert await journal.recall(HOME, attempt(0), at(0)) == ended(bench, 0)


async def test_a_forgotten_partition_is_read_anew(bench):
    journal = bench.journal(STAGE)
    await journal.recall(HOME, attempt(0), at(0))
    write(bench, ended(bench, 0))
    assert await journal.recall(HOME, attempt(0), at(0)) is None
    journal.forget(HOME)
    journal.forget(HOME)
    assert journal.remembered == 0
    assert await journal.recall(HOME, attempt(0), at(0)) == ended(bench, 0)


async def test_the_cache_is_bounded_and_the_rest_is_fetched(bench):
    calls = [ended(bench, n, content="x" * 1000) for n in range(5)]
    write(bench, *calls)
    journal = bench.journal(STAGE, cache_bytes=3500)
    assert [await journal.recall(HOME, call.attempt_id, at(0)) for call in reversed(calls)] == calls[::-1]
    assert bench.log.fetches == 3
    assert journal._answers._bytes <= 3500
    assert journal._answers._bytes == sum(map(len, journal._answers._values.values()))


async def test_an_answer_larger_than_the_cache_is_fetched_each_time(bench):
    write(bench, ended(bench, 0, content="x" * 1000))
    journal = bench.journal(STAGE, cache_bytes=10)
    for fetches in (1, 2):
        assert (await journal.recall(HOME, attempt(0), at(0))).content == "x" * 1000
        assert bench.log.fetches == fetches
    assert journal._answers._bytes == 0


async def test_another_record_in_its_place_is_not_taken_for_the_answer(bench):
    write(bench, ended(bench, 0), ended(bench, 1))
    journal = bench.journal(STAGE, cache_bytes=0)
    assert await journal.recall(HOME, attempt(0), at(0)) is not None
    del bench.log.stored[JOURNAL, HOME][0]
    assert await journal.recall(HOME, attempt(0), at(0)) is None
    assert await journal.recall(HOME, attempt(1), at(0)) is not None


async def test_an_attempt_that_another_process_has_on_the_wire_is_looked_up_again(bench):
    write(bench, started(bench, 0), started(bench, 1), ended(bench, 1))
    journal = bench.journal(STAGE)
    assert await journal.recall(HOME, attempt(0), at(0)) is None
    assert journal.was_open(HOME, attempt(0))
    assert not journal.was_open(HOME, attempt(1))
    # The other process was only stopped, and goes on.
    write(bench, ended(bench, 0))
    assert await journal.recall(HOME, attempt(0), at(0)) == ended(bench, 0)
    assert not journal.was_open(HOME, attempt(0))
    # Nobody but its owner can end an attempt that was not open, so it costs no reading.
    reads = len(bench.log.reads)
    assert await journal.recall(HOME, attempt(5), at(0)) is None
    assert len(bench.log.reads) == reads

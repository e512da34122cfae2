"""The memory of paid calls: what is read back, how far, and what is kept."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from support.in_memory import BASE_MS, JOURNAL, SETTINGS, USAGE, Bench, new_bench

from streams.calls.attempt_log import AttemptLog, AttemptRef
from streams.config.settings import Settings
from streams.kafka.publisher import Output
from topics.journal import CallEnded, CallStarted, Purpose, attempt_id
from topics.partitioning import partition_for
from topics.registry import CALLS

STAGE = "infer:1"
HOME = partition_for("r", 6)
WINDOW_S = 3600


@pytest.fixture
async def bench() -> Bench:
    return new_bench(Settings(**SETTINGS))


def attempt(n: int, stage: str = STAGE) -> UUID:
    return attempt_id("r", 0, stage, n)


def _fields(bench: Bench, n: int, stage: str, asked_ms: int | None) -> dict[str, object]:
    now = bench.clock()
    names = {"request_id": "r", "revision": 0, "stage": stage, "n": n, "purpose": Purpose.INFER, "tier": 1}
    ids = {"call_id": attempt(99 + n), "attempt_id": attempt(n, stage), "asked_ms": asked_ms}
    return names | ids | {"provider": "fast", "model": "a", "started_at": now}


def ended(
    bench: Bench, n: int, *, stage: str = STAGE, content: str | None = None, asked_ms: int | None = BASE_MS
) -> CallEnded:
    text = content or f"answer {n}"
    return CallEnded(**_fields(bench, n, stage, asked_ms), ended_at=bench.clock(), content=text, usage=USAGE)


def started(bench: Bench, n: int, *, stage: str = STAGE, asked_ms: int | None = BASE_MS) -> CallStarted:
    return CallStarted(**_fields(bench, n, stage, asked_ms), deadline=bench.clock() + timedelta(minutes=1))


def at(seconds: float) -> int:
    return BASE_MS + int(seconds * 1000)


def write(bench: Bench, *calls: CallEnded | CallStarted) -> None:
    for call in calls:
        bench.log.append(Output(CALLS, call))


async def recall(memory: AttemptLog, n: int, asked_ms: int = BASE_MS, partition: int = HOME, **stage: Any) -> Any:
    one = AttemptRef(partition, attempt(n, **stage), asked_ms)
    await memory.cover(one)
    return await memory.first_end(one)


async def test_it_knows_what_another_process_paid_for(bench):
    write(bench, started(bench, 0), ended(bench, 0), started(bench, 1))
    memory = bench.attempts(STAGE)
    assert await recall(memory, 0) == ended(bench, 0)
    assert await recall(memory, 1) is None
    assert await recall(memory, 7) is None
    assert bench.log.reads == []
    assert memory.first_start(AttemptRef(HOME, attempt(1), BASE_MS)) == 2
    assert memory.first_start(AttemptRef(HOME, attempt(7), BASE_MS)) is None


async def test_the_calls_of_other_stages_are_passed_over(bench):
    write(bench, ended(bench, 0, stage="infer:2"), ended(bench, 0, stage="validate"))
    memory = bench.attempts(STAGE)
    assert await recall(memory, 0, stage="infer:2") is None
    assert len(memory) == 0


async def test_a_copy_that_comes_after_a_restart_finds_what_the_first_one_paid_for(bench):
    """The client sends again, and what it sends has a time of its own."""
    write(bench, started(bench, 0), ended(bench, 0))
    bench.clock.advance(WINDOW_S)
    assert await recall(bench.attempts(STAGE), 0, at(WINDOW_S)) is not None


async def test_an_id_that_is_used_anew_after_the_window_has_an_attempt_of_its_own(bench):
    write(bench, started(bench, 0), ended(bench, 0))
    bench.clock.advance(WINDOW_S + 1)
    memory, anew = bench.attempts(STAGE), at(WINDOW_S + 1)
    assert await recall(memory, 0, anew) is None
    assert memory.first_start(AttemptRef(HOME, attempt(0), anew)) is None
    write(bench, ended(bench, 0, content="another", asked_ms=anew))
    await memory.catch_up([HOME])
    assert (await recall(memory, 0, anew)).content == "another"
    assert (await recall(memory, 0, BASE_MS)).content == "answer 0"


async def test_of_two_ends_the_first_one_counts(bench):
    write(bench, ended(bench, 0, content="first", asked_ms=at(5)), ended(bench, 0, content="second"))
    assert (await recall(bench.attempts(STAGE), 0, at(9))).content == "first"


async def test_records_of_an_earlier_version_stand_for_their_own_moment(bench):
    write(bench, started(bench, 0, asked_ms=None), ended(bench, 0, asked_ms=None))
    assert await recall(bench.attempts(STAGE), 0) is not None


async def test_it_goes_back_as_far_as_a_copy_of_an_old_task_may_lie(bench):
    write(bench, ended(bench, 0))
    bench.clock.advance(2 * WINDOW_S)
    write(bench, ended(bench, 1, asked_ms=at(2 * WINDOW_S)))
    memory = bench.attempts(STAGE)
    assert await recall(memory, 1, at(2 * WINDOW_S)) is not None
    assert bench.log.reads == []
    assert await recall(memory, 0, at(10)) == ended(bench, 0).model_copy(
        update={"started_at": bench.clock() - timedelta(hours=2), "ended_at": bench.clock() - timedelta(hours=2)}
    )
    assert bench.log.reads == [(1, 0)]
    assert await recall(memory, 0, at(11)) is not None
    assert bench.log.reads == [(1, 0)]


async def test_an_extension_reads_a_minute_at_least(bench):
    write(bench, ended(bench, 0))
    bench.clock.advance(3 * WINDOW_S)
    write(bench, ended(bench, 1, asked_ms=at(3 * WINDOW_S)))
    memory = bench.attempts(STAGE)
    for second in range(45, 0, -1):
        await recall(memory, 0, at(2 * WINDOW_S + second))
    assert len(bench.log.reads) == 2


async def test_it_follows_what_is_written(bench):
    memory = bench.attempts(STAGE)
    assert await recall(memory, 0) is None
    write(bench, started(bench, 0))
    await memory.catch_up([HOME])
    assert memory.first_start(AttemptRef(HOME, attempt(0), BASE_MS)) == 0
    write(bench, ended(bench, 0))
    await memory.catch_up([HOME])
    assert await recall(memory, 0) == ended(bench, 0)


async def test_a_journal_knows_its_own_ends_at_once(bench):
    journal = bench.journal()
    assert await journal.recall(AttemptRef(HOME, attempt(0), BASE_MS)) is None
    async with bench.log.lag:
        await journal.started([started(bench, 0)])
        await journal.ended([ended(bench, 0)])
        assert await journal.recall(AttemptRef(HOME, attempt(0), BASE_MS)) == ended(bench, 0)


async def test_a_journal_waits_after_an_assignment_for_what_others_wrote(bench):
    journal = bench.journal()
    assert await journal.recall(AttemptRef(HOME, attempt(0), BASE_MS)) is None
    write(bench, started(bench, 0), ended(bench, 0))
    assert await journal.recall(AttemptRef(HOME, attempt(0), BASE_MS)) is None
    journal.assigned()
    assert await journal.recall(AttemptRef(HOME, attempt(0), BASE_MS)) == ended(bench, 0)


async def test_an_attempt_is_open_until_it_ends(bench):
    journal, memory = bench.journal(), bench.engine.attempts
    write(bench, started(bench, 0), started(bench, 1), ended(bench, 1))
    assert await journal.recall_anew(AttemptRef(HOME, attempt(0), BASE_MS)) is None
    assert journal.is_open(AttemptRef(HOME, attempt(0), BASE_MS))
    assert not journal.is_open(AttemptRef(HOME, attempt(1), BASE_MS))
    assert not journal.is_open(AttemptRef(HOME, attempt(2), BASE_MS))
    # The other process was only stopped, and goes on.
    write(bench, ended(bench, 0))
    assert await journal.recall_anew(AttemptRef(HOME, attempt(0), BASE_MS)) == ended(bench, 0)
    assert not journal.is_open(AttemptRef(HOME, attempt(0), BASE_MS))
    assert memory.has_ended(AttemptRef(HOME, attempt(0), BASE_MS))


async def test_what_nobody_asks_for_is_forgotten(bench):
    memory = bench.attempts(STAGE)
    await recall(memory, 0)
    for n in range(30):
        write(bench, ended(bench, n, asked_ms=at(n * 600)))
        await memory.catch_up([HOME])
        bench.clock.advance(600)
    # The window and the longest deadline, and what has not been looked through yet.
    assert len(memory) <= (3600 + 1800 + 2 * 450 + 600) / 600


async def test_the_cache_is_bounded_and_the_rest_is_fetched(bench):
    calls = [ended(bench, n, content="x" * 1000) for n in range(5)]
    write(bench, *calls)
    memory = bench.attempts(STAGE, answer_cache_bytes=3500)
    assert [await recall(memory, call.n) for call in reversed(calls)] == calls[::-1]
    assert bench.log.fetches == 3
    assert memory._answers._bytes <= 3500
    assert memory._answers._bytes == sum(map(len, memory._answers._values.values()))


async def test_an_answer_larger_than_the_cache_is_fetched_each_time(bench):
    write(bench, ended(bench, 0, content="x" * 1000))
    memory = bench.attempts(STAGE, answer_cache_bytes=10)
    for fetches in (1, 2):
        assert (await recall(memory, 0)).content == "x" * 1000
        assert bench.log.fetches == fetches
    assert memory._answers._bytes == 0


async def test_another_record_in_its_place_is_not_taken_for_the_answer(bench):
    write(bench, ended(bench, 0), ended(bench, 1))
    memory = bench.attempts(STAGE, answer_cache_bytes=0)
    assert await recall(memory, 0) is not None
    del bench.log.stored[JOURNAL, HOME][0]
    assert await recall(memory, 0) is None
    assert await recall(memory, 1) is not None

"""The memory of what is settled: whose copy a request is, and up to which outcome all is settled."""

import asyncio
import dataclasses
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import BASE_MS, CALL_COST, SETTINGS, Bench, home_of, new_bench, new_task
from support.record_strategies import settled

from streams.config.settings import Settings
from streams.kafka.publisher import Output
from streams.runtime.outcomes import given_up
from streams.runtime.settled_requests import SettledRequests
from topics.events import DROPPED
from topics.journal import attempt_id
from topics.registry import HOPS, SETTLED, STATUS
from topics.results import Cancelled, ResultStatus, Settled
from topics.tasks import Attempt

WINDOW_MS = 3_600_000
HOME = home_of("r1")


@pytest.fixture
async def bench() -> Bench:
    return new_bench(Settings(**SETTINGS))


def marker(asked_ms: int | None = BASE_MS, **fields: Any) -> Settled:
    return Settled(**{"request_id": "r1", "revision": 0, "digest": "d", "asked_ms": asked_ms} | fields)


def write(bench: Bench, *markers: Settled) -> None:
    for one in markers:
        bench.log.append(Output(SETTLED, one))


async def known(bench: Bench) -> SettledRequests:
    """The memory of a process that starts now."""
    made = SettledRequests(bench.settings, bench.clock, bench.log)
    bench.feed(made)
    await made.cover(HOME, int(bench.clock().timestamp() * 1000))
    return made


async def test_it_knows_pairs_and_bodies(bench):
    assert not bench.settled.knows("r1", 0, BASE_MS)
    assert not bench.settled.same_body("r1", 0, BASE_MS, "d")
    bench.settled.add(marker(), 0)
    assert bench.settled.knows("r1", 0, BASE_MS)
    assert not bench.settled.knows("r1", 1, BASE_MS)
    assert not bench.settled.knows("q", 0, BASE_MS)
    assert bench.settled.same_body("r1", 0, BASE_MS, "d")
    assert not bench.settled.same_body("r1", 0, BASE_MS, "other")


def paid(n: int) -> Attempt:
    return Attempt(
        attempt_id=attempt_id("r1", 0, "infer:1", n),
        stage="infer:1",
        tier=1,
        provider="fast",
        model="a",
        why="x",
        outcome="hedge",
        cost_usd=CALL_COST,
        provider_ms=5.0,
    )


async def test_of_a_dropped_copy_the_ledger_learns_the_attempts_and_no_cost(bench):
    task = new_task(attempts=(paid(0), paid(1)))
    bench.settled.add(marker(digest=task.digest), 0)
    [output] = bench.settled.dropped(task, "escalate")
    assert output.topic is HOPS
    assert (output.record.request_id, output.record.revision) == ("r1", 0)
    assert [(hop.stage, hop.outcome, hop.attempt_id, hop.cost_usd) for hop in output.record.hops] == [
        ("escalate", DROPPED, attempt.attempt_id, None) for attempt in task.attempts
    ]


async def test_of_a_dropped_copy_without_attempts_it_learns_nothing(bench):
    task = new_task()
    bench.settled.add(marker(digest=task.digest), 0)
    assert bench.settled.dropped(task, "infer:1") == []


async def test_another_body_is_told_besides(bench):
    bench.settled.add(marker(digest="other"), 0)
    told = bench.settled.dropped(new_task(attempts=(paid(0),)), "infer:2")
    assert [output.topic for output in told] == [STATUS, HOPS]


@pytest.mark.parametrize(("later_ms", "is_copy"), [(0, True), (WINDOW_MS, True), (WINDOW_MS + 1, False)])
async def test_a_copy_is_told_by_age_alone(bench, later_ms, is_copy):
    """Whatever else was written since, and whenever the result was settled."""
    bench.settled.add(marker(), BASE_MS + 50_000)
    assert bench.settled.knows("r1", 0, BASE_MS + later_ms) is is_copy
    assert bench.settled.knows("r1", 0, BASE_MS - later_ms) is is_copy


async def test_two_uses_of_an_id_are_known_apart(bench):
    second_ms = BASE_MS + WINDOW_MS + 1
    bench.settled.add(marker(digest="first"), 0)
    bench.settled.add(marker(second_ms, digest="second"), 0)
    assert bench.settled.same_body("r1", 0, BASE_MS, "first")
    assert not bench.settled.same_body("r1", 0, BASE_MS, "second")
    assert bench.settled.same_body("r1", 0, second_ms, "second")


async def test_a_marker_of_an_older_version_stands_for_its_own_moment(bench):
    write(bench, marker(None))
    assert (await known(bench)).knows("r1", 0, BASE_MS)


async def test_it_reads_the_window_and_goes_further_back_where_an_old_copy_comes(bench):
    write(bench, marker())
    bench.clock.advance(2 * 3600)
    memory = await known(bench)
    assert not memory.knows("r1", 0, BASE_MS)
    await memory.cover(HOME, BASE_MS)
    assert memory.knows("r1", 0, BASE_MS)


async def test_what_nobody_asks_for_is_forgotten_and_read_again(bench):
    memory = await known(bench)
    write(bench, marker())
    bench.clock.advance(2 * 3600)
    for step in range(3):
        write(bench, marker(BASE_MS + 7_200_000 + step, request_id=f"later{step}"))
        await memory.catch_up(home_of(f"later{step}"))
        bench.clock.advance(600)
    assert len(memory) < 4
    assert not memory.knows("r1", 0, BASE_MS)
    await memory.cover(HOME, BASE_MS)
    assert memory.knows("r1", 0, BASE_MS)


async def test_what_an_outage_left_behind_is_kept_while_it_is_asked_for(bench):
    write(bench, marker())
    bench.clock.advance(10 * 3600)
    memory = await known(bench)
    await memory.cover(HOME, BASE_MS)
    reads = len(bench.log.reads)
    for step in range(30):
        bench.clock.advance(60)
        write(bench, marker(BASE_MS + step, request_id="other"))
        await memory.catch_up(home_of("other"))
        await memory.cover(HOME, BASE_MS + 1000 * step)
        assert memory.knows("r1", 0, BASE_MS + 1000 * step)
    assert len(bench.log.reads) == reads


@given(settled, st.integers(0, 2**40))
def test_it_reads_markers(record, at):
    async def reads() -> None:
        bench = new_bench(Settings(**SETTINGS))
        bench.settled.note(bench_record(bench, record, at))
        asked_ms = at if record.asked_ms is None else record.asked_ms
        assert bench.settled.same_body(record.request_id, record.revision, asked_ms, record.digest)

    asyncio.run(reads())


def bench_record(bench: Bench, record: Settled, at: int) -> Any:
    place = bench.log.append(Output(SETTLED, record))
    stored = bench.log.stored["llm.settled", place.partition][place.offset]
    return dataclasses.replace(stored, timestamp=at)


async def test_what_is_no_marker_is_passed_over_without_its_text(bench, caplog):
    stored = bench_record(bench, marker(), 0)
    broken = dataclasses.replace(stored, offset=3, value=b'{"request_id": "secret text"}', headers=())
    with caplog.at_level(logging.DEBUG):
        bench.settled.note(broken)
    assert len(bench.settled) == 0
    assert "offset 3" in caplog.text
    assert "secret" not in caplog.text


class TestSettledUpTo:
    def outcome(self, bench: Bench) -> int:
        place = bench.log.append(given_up("infer:1", new_task(), (), ResultStatus.FAILED, "internal", "it is"))
        return place.offset

    async def test_the_latest_marker_says_up_to_where_all_is_settled(self, bench):
        for _ in range(3):
            write(bench, marker(outcome_offset=self.outcome(bench)))
        self.outcome(bench)
        assert await bench.settled.settled_up_to(HOME) == 3

    async def test_without_a_marker_nothing_is(self, bench):
        self.outcome(bench)
        assert await bench.settled.settled_up_to(HOME) == 0
        write(bench, marker())
        assert await bench.settled.settled_up_to(HOME) == 0

    async def test_cancellations_behind_the_marker_are_passed_over(self, bench):
        write(bench, marker(outcome_offset=self.outcome(bench)))
        bench.log.append(Output(SETTLED, Cancelled(request_id="r1", revision=0)))
        assert await bench.settled.settled_up_to(HOME) == 1

    async def test_a_marker_of_another_topic_of_that_name_says_nothing(self, bench):
        """The topic of the outcomes was deleted and made anew, and has other records at the same offsets."""
        self.outcome(bench)
        write(bench, marker(request_id="r1", revision=7, outcome_offset=0))
        assert await bench.settled.settled_up_to(HOME) == 0
        write(bench, marker(outcome_offset=5))
        assert await bench.settled.settled_up_to(HOME) == 0

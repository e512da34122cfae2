"""Parked tasks on a real broker: back after a rest or ended at the deadline, whoever dies or joins meanwhile."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiokafka import TopicPartition
from support.in_memory import BASE, USAGE, new_request, new_task

from agents.parked import Parking
from streams.admission import Gate
from streams.kafka.clock import BrokerClock, Clock, utc_now
from streams.kafka.publisher import Output, Publisher
from streams.kafka.topic_reader import TopicReader
from streams.runtime.settled_requests import SettledRequests
from topics.codec import decode
from topics.journal import attempt_id
from topics.registry import DEAD_LETTERS, HOPS, OUTCOMES, PARKED, SETTLED, tier_tasks
from topics.results import Settled
from topics.tasks import Completion, Parked

REST_S = 0.5
GRID_MS = 50
"""How much earlier than its due moment a record may leave, to leave together with others."""
HOUR_S = 3600.0


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": f"[attempts]\nparked_s = {REST_S}"}


def task_of(request_id, *, deadline_s=120.0, **fields):
    request = new_request(f"What is {request_id}?", request_id)
    return new_task(request, deadline=utc_now() + timedelta(seconds=deadline_s), **fields)


async def park(made, *tasks):
    """Park tasks as infer does; return the broker's append time of each, in ms."""
    async with Publisher(made.kafka) as publisher:
        outputs = [Output(PARKED, Parked(task=task, reason="no provider")) for task in tasks]
        return [delivered.timestamp_ms for delivered in await publisher.publish(outputs)]


async def park_junk(made, value, partition):
    async with Publisher(made.kafka) as publisher:
        await publisher.producer.send_and_wait(PARKED.full_name(made.kafka.prefix), value, partition=partition)


async def returned(made, tier, count):
    """Wait until so many tasks are back on a tier's topic; return all there are, with their append times in ms."""
    spec, reader = tier_tasks(tier), TopicReader(made.kafka)
    while True:
        made.check()
        found = [
            (decode(spec, record.value, record.headers).record, record.timestamp)
            for partition in made.partitions
            async for record in reader.read(
                TopicPartition(spec.full_name(made.kafka.prefix), partition), since_offset=0
            )
        ]
        if len(found) >= count:
            return found


async def read(made, spec, count):
    """Wait until a topic has so many records; return all there are."""
    while len(found := await made.read(spec)) < count:
        made.check()
    return found


@asynccontextmanager
async def parking(made, *, parked_s: float = REST_S, local: Clock = utc_now):
    """The role in our own process, from its assignment to its orderly stop."""
    attempts = made.settings.attempts.model_copy(update={"parked_s": parked_s})
    settings = made.settings.model_copy(update={"attempts": attempts})
    stop, ready = asyncio.Event(), asyncio.Event()
    clock = BrokerClock(local)
    settled = SettledRequests(settings, clock)
    following = asyncio.create_task(settled.run(asyncio.Event()))
    async with Publisher(made.kafka, clock=clock) as publisher:
        gate = Gate(settings, on_change=lambda _: None)
        running = asyncio.create_task(Parking(settings, publisher, gate, settled, clock).run(stop, ready.set))
        await ready.wait()
        try:
            yield gate
        finally:
            stop.set()
            await running
            following.cancel()


def names(found):
    return sorted(task.request.request_id for task, _ in found)


async def test_tasks_come_back_to_their_tier_after_a_rest(deployment):
    kept, promoted = task_of("kept", tier=2), task_of("promoted", tier=3, promoted_from=1)
    async with parking(deployment):
        parked_at = await park(deployment, kept, promoted)
        [(second, at_second)] = await returned(deployment, 2, 1)
        [(first, at_first)] = await returned(deployment, 1, 1)
    why = "back from parking: no provider"
    assert second == kept.model_copy(update={"why": why, "hops": second.hops})
    home = {"tier": 1, "promoted_from": None, "why": why}
    assert first == promoted.model_copy(update={**home, "hops": first.hops})
    assert [hop.outcome for task in (first, second) for hop in task.hops] == ["returned", "returned"]
    for at, since in zip((at_second, at_first), parked_at, strict=True):
        assert at - since >= REST_S * 1000 - GRID_MS - 1


async def test_a_task_whose_request_is_settled_is_dropped(deployment):
    done, open_ = task_of("done"), task_of("open")
    async with Publisher(deployment.kafka) as publisher:
        marker = Settled(request_id="done", revision=0, digest=done.digest, asked_ms=done.source.timestamp_ms)
        await publisher.publish([Output(SETTLED, marker)])
    async with parking(deployment):
        await park(deployment, done, open_)
        await returned(deployment, 1, 1)
        await park(deployment, task_of("later"))
        assert names(await returned(deployment, 1, 2)) == ["later", "open"]


async def test_the_deadline_ends_a_request_before_its_rest_is_over(deployment):
    best = Completion(
        attempt_id=attempt_id("short", 0, "infer:1", 0),
        tier=1,
        provider="groq",
        model="openai/gpt-oss-20b",
        content="Perhaps.",
        finish_reason="stop",
        usage=USAGE,
    )
    async with parking(deployment, parked_s=HOUR_S):
        # Those that came before have more time, and do not hold up the others of their partition.
        await park(deployment, *(task_of(f"long-{n}", deadline_s=3000) for n in range(12)))
        await park(deployment, task_of("short", deadline_s=0.4, best=best), task_of("none", deadline_s=0.4))
        await park(deployment, task_of("past", deadline_s=-60))
        found = {outcome.request_id: outcome for outcome in await read(deployment, OUTCOMES, 3)}
    assert (found["short"].status, found["short"].content) == ("degraded", "Perhaps.")
    assert (found["none"].status, found["none"].error.code) == ("expired", "deadline")
    assert found["past"].status == "expired"


async def test_what_can_not_be_served_is_a_dead_letter(deployment):
    async with parking(deployment):
        await park_junk(deployment, b"\xff", 0)
        await park_junk(deployment, b'{"task": {"request": {"request_id": "half"}}}', 1)
        await park(deployment, task_of("lost", tier=9), task_of("fine"))
        assert names(await returned(deployment, 1, 1)) == ["fine"]
        outcomes = await read(deployment, OUTCOMES, 2)
        letters = await read(deployment, DEAD_LETTERS, 3)
    assert {(outcome.request_id, outcome.status) for outcome in outcomes} == {("half", "failed"), ("lost", "failed")}
    assert {(letter.reason, letter.request_id) for letter in letters} == {
        ("not_json", None),
        ("invalid", "half"),
        ("handler_error", "lost"),
    }


async def test_what_is_held_at_a_stop_stays_for_the_next_owner(deployment):
    async with parking(deployment, parked_s=HOUR_S):
        await park(deployment, task_of("r1"), task_of("past", deadline_s=-60))
        await read(deployment, OUTCOMES, 1)
    async with parking(deployment):
        assert names(await returned(deployment, 1, 1)) == ["r1"]


async def test_a_rebalance_returns_each_task_once(deployment):
    rounds = [[task_of(f"{name}{n}") for n in range(60)] for name in "abc"]
    async with parking(deployment):
        await park(deployment, *rounds[0])
        async with parking(deployment):
            await park(deployment, *rounds[1])
            await returned(deployment, 1, 90)
        await park(deployment, *rounds[2])
        await returned(deployment, 1, 180)
    expected = sorted(task.request.request_id for tasks in rounds for task in tasks)
    assert names(await returned(deployment, 1, 180)) == expected


async def test_who_rests_on_moves_out_of_the_way_of_what_left(deployment):
    async with parking(deployment, parked_s=0.1) as gate:
        gate.order("tier:3", "open")
        first_at = await park(deployment, *(task_of(f"rests{n}", tier=3) for n in range(6)))
        await park(deployment, *(task_of(f"goes{n}") for n in range(30)))
        await returned(deployment, 1, 30)
        await read(deployment, PARKED, 36 + 6)
        moved = {record.task.request.request_id: record.since_ms for record in await moved_ones(deployment)}
        assert moved == {f"rests{n}": at for n, at in enumerate(first_at)}
    # What left has been committed: the next owner finds those that rest, and nothing before them.
    async with parking(deployment):
        assert names(await returned(deployment, 3, 6)) == sorted(moved)
    assert len(await returned(deployment, 1, 30)) == 30


async def test_who_rests_on_does_not_keep_others_from_being_read(deployment, monkeypatch):
    monkeypatch.setattr("streams.runtime.hold._HELD_RECORDS", 4)
    async with parking(deployment, parked_s=0.1) as gate:
        gate.order("tier:3", "open")
        await park(deployment, *(task_of(f"rests{n}", tier=3) for n in range(40)))
        await park(deployment, *(task_of(f"goes{n}") for n in range(6)))
        assert names(await returned(deployment, 1, 6)) == [f"goes{n}" for n in range(6)]
        gate.order("tier:3", "auto")
        assert len(set(names(await returned(deployment, 3, 40)))) == 40


async def moved_ones(made):
    return [record for record in await made.read(PARKED) if record.since_ms is not None]


async def test_a_backlog_comes_back_as_fast_as_it_may(deployment):
    """More than is held at once, all of it due."""
    count = 3 * 1000
    await park(deployment, *(task_of(f"r{n}") for n in range(count)))
    async with parking(deployment):
        assert len(names(await returned(deployment, 1, count))) == count


@pytest.mark.parametrize("wrong_by", [timedelta(days=1), timedelta(days=-1)], ids=["ahead", "behind"])
async def test_a_wrong_clock_neither_keeps_a_task_nor_sends_it_round_without_a_rest(deployment, wrong_by):
    async with parking(deployment, local=lambda: utc_now() + wrong_by):
        # The first acknowledgement tells what time it is.
        task = task_of("r1").model_copy(update={"deadline": BASE + timedelta(days=36500)})
        await park(deployment, task)
        await returned(deployment, 1, 1)
        [since] = await park(deployment, task)
        *_, at = sorted(at for _, at in await returned(deployment, 1, 2))
    assert at - since >= REST_S * 1000 - GRID_MS - 1


@pytest.mark.slow
async def test_a_killed_worker_loses_nothing(deployment):
    tasks = [task_of(f"r{n}", tier=1 + n % 3) for n in range(300)]
    worker = await deployment.start_worker()
    await park(deployment, *tasks[:150])
    parked = asyncio.create_task(park(deployment, *tasks[150:]))
    await returned(deployment, 1, 10)
    deployment.unwatch(worker).kill()
    await parked
    await deployment.start_worker()
    found = await deployment.settled([task.request.request_id for task in tasks])
    assert {(result.status, result.error) for result in found.values()} == {("ok", None)}
    assert {result.route[0].why for result in found.values()} == {"back from parking: no provider"}
    hops = [hop for record in await deployment.read(HOPS) for hop in record.hops if hop.stage == "parked"]
    assert {hop.outcome for hop in hops} == {"returned"}


async def test_what_a_killed_worker_held_comes_back(deployment):
    worker = await deployment.start_worker("parked", TIERSTREAM_ATTEMPTS__PARKED_S=str(HOUR_S))
    tasks = [task_of(f"r{n}") for n in range(50)]
    await park(deployment, *tasks)
    # These come after the others and end at once, so the others have been read by then.
    await park(deployment, *(task_of(f"x{n}", deadline_s=-1) for n in range(12)))
    await read(deployment, OUTCOMES, 12)
    deployment.unwatch(worker).kill()
    async with parking(deployment):
        assert names(await returned(deployment, 1, 50)) == sorted(task.request.request_id for task in tasks)

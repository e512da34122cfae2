"""Copies of a request, and an id that is used anew: told apart by their age, whatever was restarted or set back."""

import asyncio
import time
from collections.abc import Iterable

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from support.deployment import Deployment

from streams.kafka.publisher import Output, Publisher
from topics.events import StatusKind
from topics.messages import Message
from topics.registry import CALLS, HOPS, OUTCOMES, PARKED, REQUESTS, RESULTS, STATUS, TopicSpec, tier_tasks
from topics.requests import Request
from topics.tasks import Parked

WINDOW_S = 4
CONFIG = f"""
[delivery]
dedup_window_s = {WINDOW_S}
[deadlines]
interactive = 3
standard = 3
bulk = 3
"""


@pytest.fixture
async def short(kafka, simulator, tmp_path):
    """A deployment that takes an id for new after a few seconds."""
    options = {"commit_interval_s": 0.1}
    made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, kafka=options, config=CONFIG)
    async with made.running():
        yield made


def request(request_id: str, text: str = "What is Kafka?", **fields) -> Request:
    return Request(request_id=request_id, messages=(Message(role="user", content=text),), max_tier=1, **fields)


async def until_it_counts_as_new(deployment: Deployment) -> None:
    """Wait for the window to pass since the latest request."""
    while True:
        youngest_ms = max(result.source.timestamp_ms for result in await deployment.read(RESULTS))
        if (left_s := youngest_ms / 1000 + WINDOW_S - time.time()) < 0:
            return
        await asyncio.sleep(left_s + 0.01)


async def set_back(deployment: Deployment, stage: str, source: TopicSpec) -> None:
    """Set a stage's committed offsets to the beginning, as an operator may."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=deployment.kafka.bootstrap_servers,
        group_id=deployment.settings.group(stage),
        enable_auto_commit=False,
    )
    topic = source.full_name(deployment.kafka.prefix)
    tps = [TopicPartition(topic, partition) for partition in deployment.partitions]
    async with consumer:
        consumer.assign(tps)
        await consumer.commit(dict.fromkeys(tps, 0))


async def contents(deployment: Deployment, request_id: str) -> list[str | None]:
    found = [result for result in await deployment.read(RESULTS) if result.request_id == request_id]
    return [result.content for result in sorted(found, key=lambda result: result.settled_at)]


@pytest.mark.slow
async def test_a_copy_that_comes_after_a_restart_is_not_paid_again(deployment, simulator):
    """Its first copy was paid for and has no result yet: a backlog of settle, a judge or parking do the same."""
    worker = await deployment.start_worker("classify", "infer:1")
    await deployment.send([request("r1")])
    await simulator.served(1)
    while not (await deployment.journal()).ended:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.05)
    deployment.unwatch(worker).kill()
    await deployment.start_worker("classify", "infer:1")
    await deployment.send([request("r1")])
    while len(await deployment.read(OUTCOMES)) < 2:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.05)
    await deployment.start_worker("settle")
    await deployment.settled(["r1"])
    assert len(simulator.calls) == 1


@pytest.mark.slow
async def test_after_the_window_an_id_gets_an_answer_of_its_own(short, simulator):
    """In quiet partitions, too, where nothing else would push the old one out of a memory."""
    worker = await short.start_worker()
    await short.send([request("same"), request("other")])
    old = await short.settled(["same", "other"])
    await until_it_counts_as_new(short)
    await short.send([request("same"), request("other", "Name the capital of France, please.")])
    while len(await short.read(RESULTS)) < 4:
        short.check()
    assert len(simulator.calls) == 4

    # What is read back by a new process counts by its age as well.
    await until_it_counts_as_new(short)
    short.unwatch(worker).kill()
    await short.start_worker()
    await short.send([request("other", "Who wrote Faust?")])
    while len(await short.read(RESULTS)) < 5:
        short.check()
    first, second, third = await contents(short, "other")
    assert first == old["other"].content
    assert len({first, second, third}) == 3


@pytest.mark.slow
async def test_offsets_that_are_set_back_further_than_the_window_double_nothing(short, simulator):
    worker = await short.start_worker()
    await short.send([request(f"r{n}") for n in range(6)])
    await short.settled([f"r{n}" for n in range(6)])
    await until_it_counts_as_new(short)
    await short.send([request(f"r{n}") for n in range(6, 12)])
    ids = [f"r{n}" for n in range(12)]
    before = await short.settled(ids)
    await short.unwatch(worker).stop(timeout_s=30)
    for stage, source in (("settle", OUTCOMES), ("classify", REQUESTS), ("infer:1", tier_tasks(1))):
        await set_back(short, stage, source)
    await short.start_worker()
    assert await short.settled(ids) == before
    assert len(simulator.calls) == 12


@pytest.mark.slow
async def test_what_is_settled_is_dropped_by_every_stage(deployment, simulator):
    """Else what is delivered again would multiply from stage to stage."""
    worker = await deployment.start_worker()
    critical = {"context": {"business_impact": "critical"}}
    requests = [request(f"r{n}") for n in range(5)]
    requests += [request(f"c{n}", **critical).model_copy(update={"max_tier": None, "min_tier": 2}) for n in range(5)]
    await deployment.send(requests)
    ids = [one.request_id for one in requests]
    await deployment.settled(ids)
    before = await counts(deployment, (HOPS, CALLS, OUTCOMES))
    await deployment.unwatch(worker).stop(timeout_s=30)
    for name, source in (("classify", REQUESTS), ("infer:1", tier_tasks(1)), ("infer:2", tier_tasks(2))):
        await set_back(deployment, name, source)
    await deployment.start_worker()
    await deployment.settled(ids)
    assert await counts(deployment, (HOPS, CALLS, OUTCOMES)) == before


async def test_a_task_under_a_settled_id_but_of_another_body_is_dropped_with_a_status(deployment):
    """Its request came while the first was being settled, so classify knew of no result yet."""
    await deployment.start_worker()
    await deployment.send([request("reused")])
    await deployment.settled(["reused"])
    [task] = await deployment.read(tier_tasks(1))
    before = await counts(deployment, (HOPS, CALLS, OUTCOMES))
    other = request("reused", "Name the capital of France, please.")
    strange = task.model_copy(update={"request": other, "digest": other.digest()})
    parked = Parked(task=strange, reason="unavailable")
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(tier_tasks(1), strange), Output(PARKED, parked), Output(tier_tasks(1), task)])
    await deployment.quiet()
    events = [event.kind for status in await deployment.read(STATUS) for event in status.events]
    assert events.count(StatusKind.ID_REUSED) == 2
    assert await counts(deployment, (HOPS, CALLS, OUTCOMES)) == before


async def counts(deployment: Deployment, specs: Iterable[TopicSpec]) -> dict[str, int]:
    return {spec.name: len(await deployment.read(spec)) for spec in specs}

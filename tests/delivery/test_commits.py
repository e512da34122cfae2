"""Committed offsets on a live broker never pass work that is not finished, whatever order it finishes in."""

import asyncio
import contextlib
import dataclasses
import random

import pytest
from aiokafka import TopicPartition
from support.in_memory import new_bench

from streams.calls.journal import Journal
from streams.kafka.admin import admin_client
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from streams.kafka.topic_reader import TopicReader
from streams.runtime.stage import stage
from streams.runtime.stage_runner import StageRunner
from topics.messages import Message
from topics.registry import REQUESTS
from topics.requests import Request

RECORDS = 400


class Work:
    """A stage whose records take random times, and the memory of which are finished."""

    def __init__(self, chance):
        self.finished = set()
        self.begun = 0
        self.chance = chance
        self.stage = stage(source=REQUESTS, emits=(), in_flight=40)(self.handle)

    async def handle(self, request, ctx):
        self.begun += 1
        place = ctx.received.partition, ctx.received.offset
        # A few take a hundred times as long as the rest, so that much finishes behind them.
        await asyncio.sleep(1.5 if self.chance.random() < 0.03 else self.chance.uniform(0, 0.03))
        if self.chance.random() < 0.05:
            self.finished.add(place)
            raise ValueError("it becomes a dead letter, which finishes it")
        self.finished.add(place)
        return []


def runner(settings, work, publisher):
    """Make the runner of the stage, as one member of its group."""
    engine = dataclasses.replace(new_bench(settings).engine, clock=utc_now, publisher=publisher)
    [instance] = work.stage.instances(settings)
    journal = Journal(publisher, engine.attempts, settings.kafka.partitions)
    return StageRunner(instance, engine, journal)


@contextlib.asynccontextmanager
async def member(settings, work, publisher):
    """Run the stage as one member of its group."""
    stop, ready = asyncio.Event(), asyncio.Event()
    member = runner(settings, work, publisher)
    running = asyncio.create_task(member.run(stop, ready.set))
    try:
        await asyncio.wait([running, asyncio.create_task(ready.wait())], return_when=asyncio.FIRST_COMPLETED)
        yield member
    finally:
        stop.set()
        await running


async def committed(settings, admin):
    found = await admin.list_consumer_group_offsets(settings.group("handle"))
    return {tp.partition: entry.offset for tp, entry in found.items()}


async def send(publisher, numbers):
    for number in numbers:
        request = Request(request_id=f"r{number}", messages=(Message(role="user", content="Hello"),))
        await publisher.publish([Output(REQUESTS, request)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_no_commit_passes_unfinished_work(deployment, seed):
    settings = deployment.settings
    work = Work(random.Random(seed))
    partitions = range(settings.kafka.partitions)
    tps = [TopicPartition(REQUESTS.full_name(settings.kafka.prefix), partition) for partition in partitions]

    async def check(admin):
        """Look at the commits over and over until everything is committed."""
        looks = 0
        while True:
            offsets = await committed(settings, admin)
            for partition, offset in offsets.items():
                unfinished = [o for o in range(offset) if (partition, o) not in work.finished]
                assert not unfinished, f"partition {partition} is committed up to {offset}, unfinished: {unfinished}"
            looks += 1
            if len(work.finished) == RECORDS and sum(offsets.values()) == RECORDS:
                return looks

    async with (
        Publisher(settings.kafka) as publisher,
        admin_client(settings.kafka) as admin,
        member(settings, work, publisher),
    ):
        checking = asyncio.create_task(check(admin))
        await send(publisher, range(RECORDS // 2))
        # A second member takes some partitions over while work is in hand, and gives them back when it leaves.
        async with member(settings, work, publisher):
            await send(publisher, range(RECORDS // 2, RECORDS))
        looks = await asyncio.wait_for(checking, 120)
    reader = TopicReader(settings.kafka)
    assert sum((await reader.end_offsets(tps)).values()) == RECORDS
    assert looks > 20


class Held:
    """A stage that finishes nothing until it is told to, and the memory of what came to it."""

    def __init__(self):
        self.begun = asyncio.Queue()
        self.release = asyncio.Event()
        self.stage = stage(source=REQUESTS, emits=(), in_flight=40)(self.handle)

    async def handle(self, request, ctx):
        self.begun.put_nowait((ctx.received.partition, ctx.received.offset))
        await self.release.wait()
        return []


async def test_what_a_rebalance_drops_comes_again_even_before_the_first_commit(deployment):
    """A rebalance drops what was fetched and seeks back; a partition without a commit has to go back to its start."""
    settings = deployment.settings
    work = Held()
    async with (
        Publisher(settings.kafka) as publisher,
        admin_client(settings.kafka) as admin,
        member(settings, work, publisher) as running,
    ):
        await send(publisher, range(20))
        first = {await work.begun.get() for _ in range(20)}
        assert not await committed(settings, admin)
        await running._app.consumer.perform_seek()
        again = {await work.begun.get() for _ in range(20)}
        assert again == first
        work.release.set()

"""How long a worker needs to remember: the markers of settled requests, and the journal of paid calls."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from deployment import Deployment

from streams.clock import utc_now
from streams.journal import Journal
from streams.log_reader import LogReader
from streams.settings import Settings
from streams.settle import PartitionOwner
from streams.settled import SettledFollower
from topics.base import Record
from topics.codec import encode
from topics.journal import CallEnded, Purpose, Rates, Usage, attempt_id
from topics.partitioning import partition_for
from topics.registry import CALLS, SETTLED, TopicSpec
from topics.results import Settled

COUNT = int(os.environ.get("TIERSTREAM_BENCH_RESTORED", "100000"))
STAGE = "infer:1"
_BATCH = 500
"""Records in a transaction, as many as settle writes at most."""
_RATES = Rates(input=Decimal("0.075"), output=Decimal("0.3"), cached=Decimal("0.0375"), source="config")
_ANSWER = "The invoice was paid on the third of May. " * 10


@pytest.fixture
async def one_partition(kafka, simulator, tmp_path) -> AsyncIterator[Deployment]:
    """All in one partition, which is what the journal and the settling of a partition read at once."""
    made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, kafka={"partitions": 1})
    async with made.running():
        yield made


async def fill(settings: Settings, spec: TopicSpec[Record], records: Iterable[Record], *, transactional: bool) -> None:
    """Write many records as fast as the broker takes them."""
    kafka = settings.kafka
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        transactional_id=f"{kafka.prefix}bench-{uuid4()}" if transactional else None,
        enable_idempotence=True,
        max_batch_size=131_072,
        linger_ms=5,
    )
    topic = spec.full_name(kafka.prefix)

    async def send(batch: list[Record]) -> None:
        encoded = [(encode(record), partition_for(record.partition_key, kafka.partitions)) for record in batch]
        pending = [
            await producer.send(topic, e.value, key=e.key, partition=partition, headers=e.headers)
            for e, partition in encoded
        ]
        await asyncio.gather(*pending)

    remaining = iter(records)
    async with producer:
        while batch := [record for _, record in zip(range(_BATCH), remaining, strict=False)]:
            if transactional:
                async with producer.transaction():
                    await send(batch)
            else:
                await send(batch)


def markers() -> Iterable[Record]:
    # An id as long as a UUID with a prefix, and a digest as long as the real ones.
    return (Settled(request_id=f"req-{n:032d}", revision=0, digest=f"{n:064x}") for n in range(COUNT))


def ended_calls() -> Iterable[Record]:
    at = datetime.now(UTC)
    usage = Usage(input=400, output=100)
    for n in range(COUNT):
        request_id = f"req-{n:032d}"
        yield CallEnded(
            call_id=uuid4(),
            attempt_id=attempt_id(request_id, 0, STAGE, 0),
            request_id=request_id,
            revision=0,
            stage=STAGE,
            n=0,
            purpose=Purpose.INFER,
            tier=1,
            provider="groq",
            model="openai/gpt-oss-20b",
            started_at=at,
            ended_at=at,
            content=_ANSWER,
            finish_reason="stop",
            usage=usage,
            rates=_RATES,
            cost_usd=_RATES.cost(usage),
        )


def stopwatch() -> Callable[[], str]:
    """Start measuring; the answer is what has passed since, on the clock and in this process's CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    return lambda: f"{time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU)"


async def test_the_settled_requests_of_all_partitions(deployment):
    """What a worker that classifies waits for before it starts."""
    await fill(deployment.settings, SETTLED, markers(), transactional=True)
    follower, ready = SettledFollower(deployment.settings, utc_now), asyncio.Event()
    taken = stopwatch()
    following = asyncio.create_task(follower.run(ready))
    try:
        await ready.wait()
        print(f"\n{len(follower.memory)} settled requests of {deployment.kafka.partitions} partitions: {taken()}")
    finally:
        following.cancel()
        await asyncio.wait([following])
    assert len(follower.memory) == COUNT


async def test_the_settled_requests_of_one_partition(one_partition):
    """What a partition waits for when it gets a new owner."""
    await fill(one_partition.settings, SETTLED, markers(), transactional=True)
    owner = PartitionOwner(one_partition.settings, 0, utc_now)
    taken = stopwatch()
    await owner.open(int(time.time() * 1000))
    print(f"\n{len(owner._memory)} settled requests of one partition: {taken()}")
    await owner.close()
    assert len(owner._memory) == COUNT


async def test_the_journal_of_one_partition(one_partition):
    """What the first request after a restart waits for, once for each stage and partition."""
    settings = one_partition.settings
    began_ms = int(time.time() * 1000)
    await fill(settings, CALLS, ended_calls(), transactional=False)
    journal = Journal(
        stage=STAGE,
        publisher=None,  # type: ignore[arg-type] # it only reads
        reader=LogReader(settings.kafka),
        topic=CALLS.full_name(settings.kafka.prefix),
        horizon=timedelta(seconds=settings.delivery.dedup_window_s),
        cache_bytes=settings.delivery.answer_cache_bytes,
        clock=utc_now,
    )
    taken = stopwatch()
    found = await journal.recall(0, attempt_id(f"req-{COUNT - 1:032d}", 0, STAGE, 0), began_ms)
    print(f"\n{journal.remembered} calls of one journal partition: {taken()}")
    assert found is not None
    assert journal.remembered == COUNT

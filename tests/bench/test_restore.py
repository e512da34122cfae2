"""What a worker knows before it works: the markers of settled requests, and the journal of paid calls."""

import asyncio
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import psutil
import pytest
from aiokafka import AIOKafkaProducer

from streams.calls.attempt_log import AttemptLog
from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from streams.runtime.settled_requests import SettledRequests
from topics.base import Record
from topics.codec import encode
from topics.journal import CallStarted, Purpose, Rates, Usage, attempt_id
from topics.partitioning import partition_for
from topics.registry import CALLS, SETTLED, TopicSpec
from topics.results import Settled

COUNT = int(os.environ.get("TIERSTREAM_BENCH_RESTORED", "360000"))
"""Requests: by default those of an hour at 100 a second."""
STAGE = "infer:1"
_BATCH = 500
"""Records in a transaction, as many as settle writes at most."""
_RATES = Rates(input=Decimal("0.075"), output=Decimal("0.3"), cached=Decimal("0.0375"), source="config")
_ANSWER = "The invoice was paid on the third of May. " * 10


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
    asked_ms = int(time.time() * 1000)
    return (
        Settled(request_id=f"req-{n:032d}", revision=0, digest=f"{n:064x}", asked_ms=asked_ms, outcome_offset=n)
        for n in range(COUNT)
    )


def calls() -> Iterable[Record]:
    """Yield the start and the end of a call for each request."""
    at, usage = datetime.now(UTC), Usage(input=400, output=100)
    asked_ms = int(at.timestamp() * 1000)
    for n in range(COUNT):
        request_id = f"req-{n:032d}"
        started = CallStarted(
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
            asked_ms=asked_ms,
            deadline=at,
        )
        yield started
        yield started.end(
            ended_at=at,
            content=_ANSWER,
            finish_reason="stop",
            usage=usage,
            rates=_RATES,
            cost_usd=_RATES.cost(usage),
        )


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("spec", "records", "memory"),
    [
        (SETTLED, markers, lambda settings: SettledRequests(settings, utc_now)),
        (CALLS, calls, lambda settings: AttemptLog(settings, [STAGE], utc_now)),
    ],
    ids=["markers", "journal"],
)
async def test_what_a_worker_remembers_before_it_starts(deployment, spec, records, memory):
    await fill(deployment.settings, spec, records(), transactional=spec is SETTLED)
    made, ready = memory(deployment.settings), asyncio.Event()
    process = psutil.Process()
    wall, cpu, held = time.perf_counter(), time.process_time(), process.memory_info().rss
    following = asyncio.create_task(made.run(ready))
    try:
        await ready.wait()
        taken = f"{time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU)"
        grown = process.memory_info().rss - held
        print(f"\n{len(made)} entries of {spec.name}: {taken}, {grown / 2**20:.0f} MiB, {grown / COUNT:.0f} bytes each")
    finally:
        following.cancel()
        await asyncio.wait([following])
    assert len(made) == COUNT

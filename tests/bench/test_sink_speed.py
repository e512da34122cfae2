"""What the ledger costs: CPU time of the sink, of ClickHouse and of the broker for each row, and rows a second."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Self
from uuid import uuid4

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from support.ledger_records import call_pair, hops, result

from analytics.clickhouse import AsyncClient, open_client
from streams.config.settings import Settings
from topics.base import Record
from topics.codec import encode
from topics.events import Hops
from topics.partitioning import partition_for
from topics.registry import CALLS, HOPS, RESULTS, TopicSpec

COUNT = int(os.environ.get("TIERSTREAM_BENCH_SUNK", "30000"))
"""Requests of the backlog."""
LIGHT_S = 20
ROWS = {"requests": 1, "calls": 2, "hops": 5}
"""Rows of a request."""
_TRANSACTION = 500


def story(n: int) -> Iterator[tuple[TopicSpec[Record], Record]]:
    """The records of request n."""
    first, second = hops(n).hops
    for call in call_pair(n):
        yield CALLS, call
    yield HOPS, Hops(request_id=f"r{n}", hops=(first, second, first, second, second))
    yield RESULTS, result(n)


class Writer:
    """Writes stories: results in transactions, as settle does."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        options = {"bootstrap_servers": settings.kafka.bootstrap_servers, "max_batch_size": 131_072, "linger_ms": 5}
        self._plain = AIOKafkaProducer(**options)
        self._transactional = AIOKafkaProducer(**options, transactional_id=f"{settings.kafka.prefix}{uuid4()}")

    async def __aenter__(self) -> Self:
        await self._plain.start()
        await self._transactional.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._plain.stop()
        await self._transactional.stop()

    async def write(self, numbers: range) -> None:
        async with self._transactional.transaction():
            pending = [await self._send(spec, record) for n in numbers for spec, record in story(n)]
            await asyncio.gather(*pending)

    async def _send(self, spec: TopicSpec[Record], record: Record) -> asyncio.Future:
        encoded, producer = encode(record), self._transactional if spec is RESULTS else self._plain
        partition = partition_for(record.partition_key, self._kafka.partitions)
        topic = spec.full_name(self._kafka.prefix)
        return await producer.send(topic, encoded.value, key=encoded.key, partition=partition, headers=encoded.headers)


class Meter:
    """Processor time of some processes since it was made, in seconds."""

    def __init__(self, **pids: int) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = self._now()

    def _now(self) -> Mapping[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}

    def spent(self) -> Mapping[str, float]:
        return {name: now - self._before[name] for name, now in self._now().items()}


class Rows:
    """What the ledger holds."""

    def __init__(self, client: AsyncClient, database: str) -> None:
        self._client = client
        self._database = database

    async def until(self, wanted: Mapping[str, int]) -> None:
        """Wait until so many rows are there; each counts once."""
        await self.until_some(sum(wanted.values()))
        while await self._numbers("") != tuple(wanted.values()):  # noqa: ASYNC110 - ClickHouse tells nobody
            await asyncio.sleep(0.5)

    async def until_some(self, wanted: int) -> None:
        """Wait until so many rows are there, repeats included: to count those costs ClickHouse little."""
        while sum(await self._numbers("_log")) < wanted:  # noqa: ASYNC110 - ClickHouse tells nobody
            await asyncio.sleep(0.25)

    async def held(self) -> int:
        return sum(await self._numbers(""))

    async def _numbers(self, suffix: str) -> tuple[int, ...]:
        asked = ", ".join(f"(SELECT count() FROM {self._database}.{view}{suffix})" for view in ROWS)
        return (await self._client.query(f"SELECT {asked}")).result_rows[0]


def total(requests: int) -> Mapping[str, int]:
    return {view: rows * requests for view, rows in ROWS.items()}


@pytest.fixture
async def rows(deployment, clickhouse_url):
    async with open_client(clickhouse_url) as client:
        yield Rows(client, deployment.settings.clickhouse.database)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rate", [0, 20, 100])
async def test_a_light_load(deployment, rows, clickhouse_url, clickhouse_server, rate):
    sink = await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url)
    async with Writer(deployment.settings) as writer:
        await writer.write(range(1))
        await rows.until(total(1))
        meter, started = Meter(sink=sink.pid, clickhouse=clickhouse_server.process.pid), time.monotonic()
        count = 0
        for step in range(LIGHT_S * 10):
            if rate:
                await writer.write(range(1 + count, 1 + count + rate // 10))
                count += rate // 10
            await asyncio.sleep(max(started + (step + 1) / 10 - time.monotonic(), 0))
        written = time.monotonic()
        spent, elapsed = meter.spent(), written - started
        await rows.until(total(1 + count))
        late = time.monotonic() - written
    print(f"\n{count / elapsed:.0f} requests/s of {sum(ROWS.values())} rows, the last there after {late:.1f} s")
    for name, cpu in spent.items():
        each = f", {cpu / count * 1000:.2f} ms a request" if count else ""
        print(f"{name}: {cpu / elapsed * 100:.1f} % of a core{each}")


@pytest.mark.timeout(1200)
async def test_a_backlog_in_spite_of_a_kill(deployment, rows, clickhouse_url, kafka, clickhouse_server):
    async with Writer(deployment.settings) as writer:
        for first in range(0, COUNT, _TRANSACTION):
            await writer.write(range(first, min(first + _TRANSACTION, COUNT)))
    killed = deployment.unwatch(await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url))
    await rows.until_some(sum(total(COUNT).values()) // 3)
    os.kill(killed.pid, signal.SIGKILL)
    sink = await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url)
    meter = Meter(sink=sink.pid, clickhouse=clickhouse_server.process.pid, broker=kafka.pid)
    begun, held = time.monotonic(), await rows.held()
    await rows.until_some(sum(total(COUNT).values()))
    elapsed, spent = time.monotonic() - begun, meter.spent()
    # None is missing, and none counts twice.
    await rows.until(total(COUNT))
    written = sum(total(COUNT).values()) - held
    print(
        f"\n{held} rows held when the next sink was ready, {written} more in {elapsed:.2f} s: {written / elapsed:.0f}/s"
    )
    for name, cpu in spent.items():
        print(f"{name}: {cpu / written * 1e6:.1f} us of CPU a row, {cpu / elapsed * 100:.0f} % of a core")

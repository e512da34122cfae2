"""The sink on a full log: rows a second into ClickHouse, and whether a SIGKILL in the middle loses or doubles any."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from analytics.clickhouse import AsyncClient, open_client
from analytics.rows import Table
from streams.config.settings import Settings
from streams.kafka.publisher import started_producer
from streams.kafka.topic_reader import TopicReader, partitions_of
from tierstream.bench.deployments import SideDeployment
from tierstream.bench.kafka_load import KafkaLoad
from tierstream.bench.mock_answers import REFERENCE
from tierstream.bench.pipeline_plan import GIVE_UP_S
from tierstream.bench.provider_process import StackUnderTest
from tierstream.bench.workload import Kind, Workload
from tierstream.stack.errors import StackError
from topics.base import Record
from topics.registry import CALLS, HOPS, RESULTS, TopicSpec

_SOURCES: Final[tuple[tuple[TopicSpec[Record], Table], ...]] = (
    (RESULTS, Table.REQUESTS),
    (CALLS, Table.CALLS),
    (HOPS, Table.HOPS),
)
_RECORDS: Final = "SELECT uniqExact(partition, offset) FROM {database:Identifier}.{table:Identifier}"
_COUNTS: Final = (
    "SELECT uniqExact(partition, offset), count(), uniqExact(partition, offset, idx) "
    "FROM {database:Identifier}.{table:Identifier} FINAL"
)
_SAMPLE_RATE: Final = 40.0
_SAMPLE_S: Final = 5.0
_LINGER_MS: Final = 10
_AT_ONCE: Final = 5000
_POLL_S: Final = 0.1
_STUCK_S: Final = 120.0


class SinkSpeed(BaseModel):
    """What a sink did with a log that was full before it started."""

    model_config = ConfigDict(frozen=True)

    records: int
    rows: int
    """In the three tables once all records are there."""
    seconds: float
    """From the moment the sink was ready to the moment the last row could be read; a kill and the new start in it."""
    rows_per_s: float
    records_per_s: float
    cpu_us_a_row: float
    """Of the sink; after a kill, of the process that went on."""
    killed: bool
    lost: int
    """Records without a row."""
    doubled: int
    """Rows beyond one for each identity, as readers of the ledger see them."""


@dataclass(frozen=True)
class _Copied:
    """A record of a real request."""

    topic: str
    value: bytes
    headers: list[tuple[str, bytes]]


async def measure_sink(stack: StackUnderTest, requests: int, *, kill: bool, tell: Callable[[str], None]) -> SinkSpeed:
    """Fill the topics with copies of real records, then have a sink write them.

    Args:
        stack: On whose broker and ClickHouse it happens, beside its own topics and tables.
        requests: How many requests' records are written.
        kill: Whether the sink is killed in the middle and started again.
        tell: Is told what goes on.

    Raises:
        StackError: The sink does not start, or stops writing.
    """
    tell("taking records of real requests")
    sample = await _sample(stack.settings)
    side = SideDeployment(stack.settings, stack.folder)
    await side.prepare()
    tell(f"writing the records of {requests} requests")
    written = await _fill(side.settings, sample, requests)
    async with open_client(stack.settings.clickhouse.url or "") as client:
        tell("the sink writes")
        return await _drain(side, client, written, kill=kill)


async def _sample(settings: Settings) -> list[list[_Copied]]:
    """Route a few requests, and return what the pipeline wrote of each for the sink."""
    workload = Workload(Kind.TIER1, settings.kafka.partitions)
    async with KafkaLoad.opened(settings.kafka, workload, give_up_s=GIVE_UP_S) as load:
        await load.open_loop(_SAMPLE_RATE, _SAMPLE_S)
    found: dict[bytes, list[_Copied]] = defaultdict(list)
    reader, run = TopicReader(settings.kafka), workload.run.encode()
    for spec, _ in _SOURCES:
        async with reader.opened(partitions_of(spec, settings.kafka)) as cursor:
            ends = await cursor.ends()
            cursor.seek(await cursor.beginnings())
            async for record in cursor.until(ends):
                if (of := REFERENCE.search(record.value)) and of[0].startswith(run):
                    found[of[0]].append(_Copied(spec.name, record.value, list(record.headers)))
    return list(found.values())


async def _fill(settings: Settings, sample: Sequence[Sequence[_Copied]], requests: int) -> dict[str, int]:
    """Write copies of the sample under new ids, as fast as the broker takes them; return the records by topic."""
    kafka, workload = settings.kafka, Workload(Kind.TIER1, settings.kafka.partitions)
    written: Counter[str] = Counter()
    producer = await started_producer(kafka, linger_ms=_LINGER_MS)
    try:
        for first in range(0, requests, _AT_ONCE):
            pending = []
            for number in range(first, min(first + _AT_ONCE, requests)):
                request = workload.outgoing(number)
                for copied in sample[number % len(sample)]:
                    pending.append(
                        await producer.send(
                            f"{kafka.prefix}{copied.topic}",
                            REFERENCE.sub(request.key, copied.value),
                            key=request.key,
                            partition=request.partition,
                            headers=copied.headers,
                        )
                    )
                    written[copied.topic] += 1
            await asyncio.gather(*pending)
    finally:
        await producer.stop()
    return dict(written)


async def _drain(side: SideDeployment, client: AsyncClient, written: dict[str, int], *, kill: bool) -> SinkSpeed:
    """Have the sink write everything; in the middle it may be killed."""
    records = sum(written.values())
    sink = side.spawn("sink")
    try:
        await sink.ready()
        began, before = time.monotonic(), sink.cpu_s()
        if kill:
            await _stored(side, client, records // 2)
            sink.child.kill()
            sink, before = side.spawn("sink"), 0.0
        await _stored(side, client, records)
        seconds, spent = time.monotonic() - began, sink.cpu_s() - before
    finally:
        await sink.stop()
    found = [await _counts(side, client, table) for _, table in _SOURCES]
    rows = sum(count for _, count, _ in found)
    return SinkSpeed(
        records=records,
        rows=rows,
        seconds=round(seconds, 2),
        rows_per_s=round(rows / seconds, 1),
        records_per_s=round(records / seconds, 1),
        cpu_us_a_row=round(spent / max(1, rows) * 1e6, 2),
        killed=kill,
        lost=records - sum(stored for stored, _, _ in found),
        doubled=sum(count - different for _, count, different in found),
    )


async def _stored(side: SideDeployment, client: AsyncClient, records: int) -> None:
    """Wait until the tables have rows of so many records.

    Raises:
        StackError: No row came for a long time.
    """
    last, last_at = -1, time.monotonic()
    while (stored := sum([await _records(side, client, table) for _, table in _SOURCES])) < records:
        if stored != last:
            last, last_at = stored, time.monotonic()
        elif time.monotonic() - last_at > _STUCK_S:
            raise StackError(f"the sink has written {stored} of {records} records and no more for {_STUCK_S:g} s")
        await asyncio.sleep(_POLL_S)


async def _records(side: SideDeployment, client: AsyncClient, table: Table) -> int:
    found = await client.query(_RECORDS, parameters=_place(side, table))
    return int(found.result_rows[0][0])


async def _counts(side: SideDeployment, client: AsyncClient, table: Table) -> tuple[int, int, int]:
    """Return records, rows and different rows of a table, as readers of the ledger see them."""
    found = await client.query(_COUNTS, parameters=_place(side, table))
    records, rows, different = found.result_rows[0]
    return int(records), int(rows), int(different)


def _place(side: SideDeployment, table: Table) -> dict[str, str]:
    return {"database": side.settings.clickhouse.database, "table": table.value}

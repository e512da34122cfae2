"""The sink on a real broker and the real engine: each row once, whatever stops in the middle."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from support.ledger_records import ClickHouseProcess, breaker, call_pair, hops, result

from analytics.clickhouse import open_client
from analytics.migrate import migrate
from analytics.sink import LedgerAheadError, Sink
from streams.config.settings_sections import KafkaSettings
from streams.kafka.admin import delete_records
from topics.base import Record
from topics.codec import encode
from topics.control import BreakerOrder, BreakerState, ModelFile, PartitionCount
from topics.registry import CALLS, CONTROL, HOPS, RESULTS

PARTITIONS = 2
COUNTS = """
SELECT (SELECT count() FROM ledger.requests), (SELECT count() FROM ledger.calls), (SELECT count() FROM ledger.hops)
"""


@pytest.fixture
async def clickhouse(tmp_path: Path) -> AsyncIterator[ClickHouseProcess]:
    server = ClickHouseProcess(tmp_path)
    await server.start()
    async with open_client(server.url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
    yield server
    await server.stop()


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what a sink counts has no event
        await asyncio.sleep(0.005)


class Deployment:
    """Topics of their own under a fresh prefix, and sinks that read them."""

    def __init__(self, bootstrap_servers: str, clickhouse: ClickHouseProcess) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.prefix = f"sink{uuid.uuid4().hex[:8]}."
        self.clickhouse = clickhouse

    async def create_topics(self) -> None:
        async with self.admin() as admin:
            await admin.create_topics(
                [
                    NewTopic(
                        spec.full_name(self.prefix),
                        PARTITIONS,
                        1,
                        topic_configs={"message.timestamp.type": "LogAppendTime", "cleanup.policy": spec.cleanup},
                    )
                    for spec in (RESULTS, CALLS, HOPS, CONTROL)
                ]
            )

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def produce(self, topic: str, records: Iterable[Record]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap_servers, linger_ms=5) as producer:
            futures = [await self._send(producer, topic, record) for record in records]
            await asyncio.gather(*futures)

    async def produce_results(self, records: Iterable[Record], *, topic: str = "results", abort: bool = False) -> None:
        transactional_id = f"{self.prefix}{uuid.uuid4()}"
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, transactional_id=transactional_id
        ) as producer:
            await producer.begin_transaction()
            futures = [await self._send(producer, topic, record) for record in records]
            await asyncio.gather(*futures)
            await (producer.abort_transaction() if abort else producer.commit_transaction())

    async def _send(self, producer: AIOKafkaProducer, topic: str, record: Record) -> asyncio.Future:
        written = encode(record)
        return await producer.send(self.prefix + topic, written.value, key=written.key, headers=written.headers)

    async def produce_story(self, numbers: range) -> None:
        """All records of these requests, and results whose transaction is aborted."""
        await self.produce("calls", [call for n in numbers for call in call_pair(n)])
        await self.produce("hops", [hops(n) for n in numbers])
        await self.produce_results([result(n + 1_000_000) for n in numbers], abort=True)
        await self.produce_results([result(n) for n in numbers])

    def sink(self, **options) -> Sink:
        defaults = {"batch_rows": 100, "flush_interval_s": 0.05}
        return Sink(
            bootstrap_servers=self.bootstrap_servers,
            prefix=self.prefix,
            clickhouse_url=self.clickhouse.url,
            database="ledger",
            **{**defaults, **options},
        )

    @asynccontextmanager
    async def running(self, sink: Sink, *, kill: bool = False) -> AsyncIterator[Sink]:
        stop, ready = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(sink.run(stop, ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        try:
            yield sink
        finally:
            if kill:
                task.cancel()
                await asyncio.wait({task})
            else:
                stop.set()
                await task

    async def until(self, requests: int, calls: int, hop_rows: int) -> None:
        """Wait until the views hold these numbers of rows."""
        async with open_client(self.clickhouse.url) as client:
            while (found := (await client.query(COUNTS)).result_rows[0]) != (requests, calls, hop_rows):
                assert all(have <= want for have, want in zip(found, (requests, calls, hop_rows), strict=True))
                await asyncio.sleep(0.05)

    async def breakers(self, rows: int) -> list[datetime]:
        """Wait for so many rows about breakers; return when each was said."""
        async with open_client(self.clickhouse.url) as client:
            while True:
                found = await client.query("SELECT said_at FROM ledger.breakers ORDER BY said_at")
                if len(found.result_rows) >= rows:
                    return [said_at for (said_at,) in found.result_rows]
                await asyncio.sleep(0.05)

    async def until_read(self, topic: str) -> None:
        """Wait until the group has committed the end of each partition: nothing is shown as lag."""
        tps = [TopicPartition(self.prefix + topic, partition) for partition in range(PARTITIONS)]
        async with self.admin() as admin, AIOKafkaConsumer(bootstrap_servers=self.bootstrap_servers) as consumer:
            ends = {tp: end for tp, end in (await consumer.end_offsets(tps)).items() if end}
            while True:
                committed = await admin.list_consumer_group_offsets(f"{self.prefix}sink", partitions=list(ends))
                # The marker of an aborted transaction may be the last offset; no reader counts it.
                if all(committed[tp].offset >= end - 1 for tp, end in ends.items()):
                    return
                await asyncio.sleep(0.05)

    async def assert_story(self, numbers: range) -> None:
        """Every record of these requests is there, once, and nothing else."""
        await self.until(len(numbers), 2 * len(numbers), 2 * len(numbers))
        async with open_client(self.clickhouse.url) as client:
            requests = await client.query("SELECT request_id, cost_usd, latency_ms, settled_at FROM ledger.requests")
            expected = [result(n) for n in numbers]
            assert sorted(requests.result_rows) == sorted(
                (r.request_id, r.cost_usd, r.latency_ms, r.settled_at) for r in expected
            )
            calls = await client.query("SELECT call_id, toString(event), cost_usd, input_tokens FROM ledger.calls")
            ended = [call_pair(n)[1] for n in numbers]
            assert sorted(calls.result_rows) == sorted(
                row
                for call in ended
                for row in ((call.call_id, "ended", call.cost_usd, call.usage.input), (call.call_id, "started", 0, 0))
            )
            steps = await client.query("SELECT request_id, idx, stage, started_at FROM ledger.hops")
            assert sorted(steps.result_rows) == sorted(
                (f"r{n}", idx, hop.stage, hop.started_at) for n in numbers for idx, hop in enumerate(hops(n).hops)
            )


@pytest.fixture
async def deployment(kafka, clickhouse: ClickHouseProcess) -> Deployment:
    made = Deployment(kafka.bootstrap_servers, clickhouse)
    await made.create_topics()
    return made


async def test_each_row_comes_once_though_the_sink_is_killed_in_the_middle(deployment):
    numbers = range(400)
    await deployment.produce_story(numbers)
    for _ in range(3):
        async with deployment.running(deployment.sink(batch_rows=50), kill=True) as sink:
            await eventually(lambda sink=sink: sink.stats.batches >= 2)
    async with deployment.running(deployment.sink()) as sink:
        await deployment.assert_story(numbers)
        assert sink.stats.records < 4 * len(numbers)
    async with deployment.running(deployment.sink()) as again:
        await deployment.produce("hops", [hops(1000)])
        await deployment.until(len(numbers), 2 * len(numbers), 2 * len(numbers) + 2)
        assert again.stats.records == 1


async def test_two_sinks_that_write_the_same_rows_do_not_count_them_twice(deployment):
    numbers = range(100)
    await deployment.produce_story(numbers)
    # Another group is what an owner is that has not yet noticed that it lost its partitions.
    zombie = deployment.sink()
    zombie._group += "-zombie"
    async with deployment.running(zombie), deployment.running(deployment.sink()):
        await deployment.assert_story(numbers)
        await deployment.produce_story(range(100, 200))
        await deployment.assert_story(range(200))


@pytest.mark.slow
async def test_two_sinks_of_a_group_share_the_partitions(deployment):
    await deployment.produce_story(range(50))
    async with deployment.running(deployment.sink()):
        async with deployment.running(deployment.sink()):
            await deployment.produce_story(range(50, 100))
            await deployment.assert_story(range(100))
        await deployment.produce_story(range(100, 150))
        await deployment.assert_story(range(150))


async def test_records_that_come_one_by_one_are_written_together(deployment):
    count = 60
    async with deployment.running(deployment.sink(flush_interval_s=1.0)) as sink:
        async with AIOKafkaProducer(bootstrap_servers=deployment.bootstrap_servers) as producer:
            for n in range(count):
                await (await deployment._send(producer, "hops", hops(n)))
        await deployment.until(0, 0, 2 * count)
        # Even on a machine that takes a second for ten of them.
        assert sink.stats.batches <= count / 5


async def test_an_outage_of_clickhouse_delays_rows_and_loses_none(deployment, caplog):
    numbers = range(300)
    sink = deployment.sink(batch_rows=20, retention_ms=1)
    async with deployment.running(sink):
        await deployment.clickhouse.stop()
        with caplog.at_level(logging.WARNING):
            await deployment.produce_story(numbers)
            await eventually(lambda: "trying again" in caplog.text and sink._is_full())
        assert len(sink._buffer) <= 2 * 20
        await deployment.clickhouse.start()
        await deployment.assert_story(numbers)
    assert "behind" in caplog.text
    assert "answer" not in caplog.text


async def test_the_sink_waits_for_a_clickhouse_that_starts_later(deployment):
    await deployment.produce_story(range(5))
    await deployment.clickhouse.stop()
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(deployment.sink().run(stop, ready.set))
    await deployment.clickhouse.start()
    await deployment.assert_story(range(5))
    assert ready.is_set()
    stop.set()
    await task


async def test_it_stops_when_clickhouse_is_ahead_of_kafka(deployment):
    await deployment.produce_story(range(20))
    async with deployment.running(deployment.sink()):
        await deployment.assert_story(range(20))
    async with deployment.admin() as admin:
        await admin.delete_topics([f"{deployment.prefix}hops"])
        while f"{deployment.prefix}hops" in await admin.list_topics():  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.05)
        await admin.create_topics([NewTopic(f"{deployment.prefix}hops", PARTITIONS, 1)])
    with pytest.raises(LedgerAheadError, match=r"holds offset \d+ of .*hops-\d, but the topic ends at 0"):
        async with deployment.running(deployment.sink()):
            pass


async def test_records_that_left_kafka_unseen_are_reported_as_a_gap(deployment, caplog):
    await deployment.produce("hops", [hops(1) for _ in range(10)])
    topic = f"{deployment.prefix}hops"
    kafka = KafkaSettings(bootstrap_servers=deployment.bootstrap_servers)
    await delete_records(kafka, {TopicPartition(topic, p): -1 for p in (0, 1)})
    await deployment.produce("hops", [hops(1)])
    async with deployment.running(deployment.sink()):
        await deployment.until(0, 0, 2)
    assert "The ledger has a gap: 10 offsets" in caplog.text


async def test_breaker_states_are_rows_though_their_topic_has_gaps_and_other_records(deployment, caplog):
    """Offsets that no reader gets to see stand for those that compaction took."""
    order = BreakerOrder(target="groq/small", order="auto", by="ann", at=breaker(0).at)
    shown = [breaker(n) for n in range(0, 20, 2)]
    await deployment.produce("control", [PartitionCount(partitions=PARTITIONS)])
    for status in shown:
        await deployment.produce("control", [status, order])
        await deployment.produce_results([breaker(99)], topic="control", abort=True)
    model = ModelFile(version="0" * 12, file=b"", classifier="c", outcomes=1, by="ann", at=order.at)
    await deployment.produce("control", [order, model, PartitionCount(partitions=PARTITIONS)])
    async with AIOKafkaProducer(bootstrap_servers=deployment.bootstrap_servers) as producer:
        await producer.send_and_wait(f"{deployment.prefix}control", None, key=model.partition_key.encode())
    # Nothing deletes what is old on a compacted topic, so to be late there is no danger.
    async with deployment.running(deployment.sink(retention_ms=1)) as sink:
        assert await deployment.breakers(len(shown)) == [status.at for status in shown]
        await deployment.until_read("control")
        assert sink.stats.records == 2 * len(shown) + 4
        assert sink.stats.rows == len(shown)
        assert not sink.stats.skipped
    assert "behind" not in caplog.text
    assert "gap" not in caplog.text
    last = breaker(30, state=BreakerState.CLOSED)
    async with deployment.running(deployment.sink()) as again:
        await deployment.produce("control", [last])
        assert await deployment.breakers(len(shown) + 1) == [status.at for status in [*shown, last]]
        assert again.stats.rows == 1


async def test_unreadable_records_are_skipped_and_counted(deployment, caplog):
    async with AIOKafkaProducer(bootstrap_servers=deployment.bootstrap_servers) as producer:
        for value in (b'{"secret": ', b'{"request_id": "x", "secret": 1}', None):
            await producer.send_and_wait(f"{deployment.prefix}hops", value, key=b"x", partition=0)
    await deployment.produce("hops", [hops(1)])
    async with deployment.running(deployment.sink()) as sink:
        await deployment.until(0, 0, 2)
        await eventually(lambda: sum(sink.stats.skipped.values()) == 3)
    assert sink.stats.skipped == {"not_json": 1, "invalid": 1, "empty": 1}
    assert "secret" not in caplog.text


async def test_a_time_that_no_calendar_has_costs_only_its_own_record(deployment, caplog):
    """The first can't be a date at all, the second is one that no column holds."""
    source = result(1).source
    lost = [
        result(n).model_copy(update={"source": source.model_copy(update={"timestamp_ms": timestamp_ms})})
        for n, timestamp_ms in enumerate((2**63 - 1, 99_999_999_999_999))
    ]
    await deployment.produce_results([*lost, result(2)])
    async with deployment.running(deployment.sink()) as sink:
        await deployment.until(1, 0, 0)
        await eventually(lambda: sum(sink.stats.skipped.values()) == len(lost))
        assert sink.stats.skipped == {"out_of_range": len(lost)}
    assert caplog.text.count("a value fits no column") == len(lost)

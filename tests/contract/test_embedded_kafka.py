"""The embedded broker is Apache Kafka: records, transactions, size limits, and its return after SIGKILL."""

import asyncio
import logging
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from support.embedded_kafka import EmbeddedKafka, running_kafka

from tierstream.stack.errors import StackError
from tierstream.stack.health import kafka_answers
from tierstream.stack.kafka import KafkaProcess
from tierstream.stack.ports import free_port


async def _create(kafka: EmbeddedKafka, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def _send(kafka: EmbeddedKafka, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, acks="all", max_request_size=8 * 1024 * 1024 + 1024
    )
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def _read(kafka: EmbeddedKafka, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        isolation_level="read_committed",
        max_partition_fetch_bytes=9 * 1024 * 1024,
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_a_record_of_the_largest_size_goes_through(kafka: EmbeddedKafka) -> None:
    await _create(kafka, "embedded-large")
    value = b"x" * (8 * 1024 * 1024)
    await _send(kafka, "embedded-large", value)
    assert await _read(kafka, "embedded-large", 1) == [value]


async def test_aborted_transactions_are_not_read(kafka: EmbeddedKafka) -> None:
    await _create(kafka, "embedded-transactions")
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id="embedded-tx")
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait("embedded-transactions", b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait("embedded-transactions", b"committed")
    finally:
        await producer.stop()
    assert await _read(kafka, "embedded-transactions", 1) == [b"committed"]


async def test_a_topic_that_was_not_created_does_not_appear(kafka: EmbeddedKafka) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
    await consumer.start()
    try:
        assert "embedded-missing" not in await consumer.topics()
    finally:
        await consumer.stop()


async def test_group_join_is_not_delayed_and_short_sessions_are_allowed(kafka: EmbeddedKafka) -> None:
    await _create(kafka, "embedded-group")
    await _send(kafka, "embedded-group", b"one")
    consumer = AIOKafkaConsumer(
        "embedded-group",
        bootstrap_servers=kafka.bootstrap_servers,
        group_id="embedded-group",
        auto_offset_reset="earliest",
        session_timeout_ms=1000,
        heartbeat_interval_ms=300,
    )
    await consumer.start()
    try:
        assert (await consumer.getone()).value == b"one"
    finally:
        await consumer.stop()


@pytest.mark.slow
async def test_acknowledged_records_survive_sigkill_on_the_same_port(tmp_path: Path) -> None:
    async with running_kafka(tmp_path) as kafka:
        address = kafka.bootstrap_servers
        await _create(kafka, "survivors")
        await _send(kafka, "survivors", b"one", b"two")
        kafka.kill()
        assert not await kafka_answers(address)
        await kafka.restart()
        assert kafka.bootstrap_servers == address
        assert await _read(kafka, "survivors", 2) == [b"one", b"two"]


@pytest.mark.slow
async def test_the_same_data_can_be_served_on_other_ports(tmp_path: Path) -> None:
    async with running_kafka(tmp_path) as first:
        await _create(first, "moved")
        await _send(first, "moved", b"one")
    async with running_kafka(tmp_path) as second:
        assert second.bootstrap_servers != first.bootstrap_servers
        assert await _read(second, "moved", 1) == [b"one"]


@pytest.mark.slow
async def test_a_folder_beyond_ascii_keeps_its_data_in_the_c_locale(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    folder = tmp_path / "données, ü 你好 🗂"
    async with running_kafka(folder) as first:
        await _create(first, "kept")
        await _send(first, "kept", b"one")
    async with running_kafka(folder) as second:
        assert await _read(second, "kept", 1) == [b"one"]
    # A name that Java could not spell would be another folder.
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == [folder]


async def test_a_storage_that_can_not_be_formatted_says_why(tmp_path: Path) -> None:
    port = free_port()
    broker = KafkaProcess(data_dir=tmp_path, port=port, controller_port=port)
    with pytest.raises(StackError, match=r"could not format its storage .*: Caused by: .* listeners on the same port"):
        await broker.prepare(lambda: None)


async def test_an_unreachable_broker_is_told_without_noise(caplog: pytest.LogCaptureFixture) -> None:
    level = logging.getLogger("aiokafka").level
    with caplog.at_level(logging.DEBUG):
        assert not await kafka_answers(f"127.0.0.1:{free_port()}")
    assert not [record for record in caplog.records if record.name.startswith("aiokafka")]
    assert logging.getLogger("aiokafka").level == level


async def test_something_else_that_listens_is_not_kafka() -> None:
    connections = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert not await kafka_answers(f"127.0.0.1:{port}", timeout_s=0.5)
        await asyncio.gather(*connections)

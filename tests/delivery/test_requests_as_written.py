"""Requests as producers write them: in any codec, in transactions that end either way, and damaged on disk."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from support.deployment import Deployment
from support.embedded_kafka import EmbeddedKafka, running_kafka
from support.log_segments import CODECS, StoredBatch, stored_batches
from typer.testing import CliRunner

from streams.kafka.admin import admin_client
from tierstream.cli import app
from topics.registry import DEAD_LETTERS, REQUESTS, RESULTS, STATUS
from topics.results import ResultStatus


def body(request_id: str) -> bytes:
    return json.dumps(
        {"request_id": request_id, "messages": [{"role": "user", "content": f"What is a partition? {request_id}" * 20}]}
    ).encode()


def requests_topic(made: Deployment) -> str:
    return REQUESTS.full_name(made.kafka.prefix)


@asynccontextmanager
async def producer(made: Deployment, **options: object) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=made.kafka.bootstrap_servers, **options) as opened:
        yield opened


def transactional_producer(made: Deployment) -> AbstractAsyncContextManager[AIOKafkaProducer]:
    return producer(made, transactional_id=f"{made.kafka.prefix}producer")


async def write(writer: AIOKafkaProducer, made: Deployment, partition: int, ids: Sequence[str]) -> None:
    """Write requests as one batch, and wait until the broker has it."""
    batch = writer.create_batch()
    for request_id in ids:
        assert batch.append(key=None, value=body(request_id), timestamp=None) is not None
    await (await writer.send_batch(batch, requests_topic(made), partition=partition))


def batches(kafka: EmbeddedKafka, made: Deployment, partition: int) -> list[StoredBatch]:
    return list(stored_batches(kafka.log_dir / f"{requests_topic(made)}-{partition}"))


async def classified_up_to(made: Deployment) -> dict[int, int]:
    async with admin_client(made.kafka) as admin:
        offsets = await admin.list_consumer_group_offsets(made.settings.group("classify"))
    return {tp.partition: entry.offset for tp, entry in offsets.items()}


async def test_each_codec_is_read(kafka, deployment):
    await deployment.start_worker()
    for codec in CODECS:
        async with producer(deployment, compression_type=None if codec == "none" else codec) as writer:
            await write(writer, deployment, 0, [f"{codec}-1", f"{codec}-2"])
    results = await deployment.settled([f"{codec}-{number}" for codec in CODECS for number in (1, 2)])
    assert {result.status for result in results.values()} == {ResultStatus.OK}
    assert [batch.codec for batch in batches(kafka, deployment, 0)] == list(CODECS)
    assert await deployment.read(DEAD_LETTERS) == []


@pytest.mark.slow
async def test_what_is_aborted_is_not_served_and_commits_pass_it(deployment):
    """Each partition begins and ends with what was aborted."""
    async with (
        producer(deployment) as plain,
        producer(deployment, transactional_id=f"{deployment.kafka.prefix}p") as own,
    ):

        async def transaction(partition: int, name: str, *, aborted: bool) -> None:
            await own.begin_transaction()
            await write(own, deployment, partition, [f"{name}-{partition}-1", f"{name}-{partition}-2"])
            await (own.abort_transaction() if aborted else own.commit_transaction())

        for partition in deployment.partitions:
            await transaction(partition, "aborted", aborted=True)
            await write(plain, deployment, partition, [f"plain-{partition}"])
            await transaction(partition, "aborted again", aborted=True)
            await transaction(partition, "committed", aborted=False)
            await transaction(partition, "aborted last", aborted=True)
        wanted = {
            name for p in deployment.partitions for name in (f"plain-{p}", f"committed-{p}-1", f"committed-{p}-2")
        }
        worker = await deployment.start_worker()
        await deployment.settled(wanted)
        # Aborted: 0 and 1, marker 2; plain: 3; aborted: 4 and 5, marker 6; committed: 7 and 8, marker 9; aborted: 10
        # and 11, marker 12.
        while await classified_up_to(deployment) != dict.fromkeys(deployment.partitions, 13):
            deployment.check()

        await deployment.unwatch(worker).stop(30)
        await deployment.start_worker()
        for partition in deployment.partitions:
            await write(plain, deployment, partition, [f"later-{partition}"])
            wanted.add(f"later-{partition}")
        await deployment.settled(wanted)
    journal = await deployment.journal()
    assert len(journal.started) == len(wanted)
    for records in (await deployment.read(RESULTS), await deployment.read(STATUS), journal.records):
        assert {record.request_id for record in records} == wanted
    assert await deployment.read(DEAD_LETTERS) == []


async def test_what_is_aborted_is_passed_also_where_nothing_was_read_before_it(deployment):
    """A commit may come between two aborted transactions at the beginning of a partition."""
    worker = await deployment.start_worker()
    async with (
        producer(deployment) as plain,
        producer(deployment, transactional_id=f"{deployment.kafka.prefix}p") as own,
    ):

        async def abort(request_id: str) -> None:
            await own.begin_transaction()
            await write(own, deployment, 0, [request_id])
            await own.abort_transaction()

        # Aborted: 0, marker 1; aborted again: 2, marker 3; served: 4.
        await abort("aborted")
        while (await classified_up_to(deployment)).get(0) != 2:
            deployment.check()
        await abort("aborted again")
        await write(plain, deployment, 0, ["served"])
        await deployment.settled(["served"])
        while (await classified_up_to(deployment))[0] != 5:
            deployment.check()
    await deployment.unwatch(worker).stop(30)


async def test_an_open_transaction_holds_its_partition_back_until_it_ends(deployment):
    await deployment.start_worker()
    held = ["open", "behind"]
    async with (
        producer(deployment) as plain,
        producer(deployment, transactional_id=f"{deployment.kafka.prefix}p") as own,
    ):
        await own.begin_transaction()
        await write(own, deployment, 0, held[:1])
        await write(plain, deployment, 0, held[1:])
        await write(plain, deployment, 1, ["elsewhere"])
        await deployment.settled(["elsewhere"])
        assert {result.request_id for result in await deployment.read(RESULTS)} == {"elsewhere"}
        await own.commit_transaction()
        await deployment.settled(["elsewhere", *held])


@pytest.mark.slow
async def test_of_a_batch_that_is_damaged_on_disk_each_record_is_a_dead_letter(simulator, tmp_path):
    async with running_kafka(tmp_path / "broker") as kafka:
        made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url)
        async with made.running():
            async with producer(made, compression_type="zstd") as writer:
                for ids in (["before-1", "before-2"], ["lost-1", "lost-2", "lost-3"], ["behind-1", "behind-2"]):
                    await write(writer, made, 0, ids)
            await kafka.stop()
            _, damaged, _ = batches(kafka, made, 0)
            flip_last_byte(damaged)
            await kafka.start()

            await made.start_worker()
            served = ["before-1", "before-2", "behind-1", "behind-2"]
            await made.settled(served)
            assert {result.request_id for result in await made.read(RESULTS)} == set(served)
            letters = await made.read(DEAD_LETTERS)
            assert sorted(letter.offset for letter in letters) == [2, 3, 4]
            assert {(letter.reason, letter.topic, letter.partition) for letter in letters} == {
                ("damaged", requests_topic(made), 0)
            }
            assert await classified_up_to(made) == {0: 7}
            # It is watched: had it ended, this would fail.
            made.check()
            verified = await asyncio.to_thread(
                CliRunner().invoke, app, ["--config", str(made.config), "verify", "--json"]
            )
            report = json.loads(verified.stdout)
            assert report["ok"], report
            assert report["counts"]["unreadable_requests"] == report["counts"]["dead_letters"] == 3


def flip_last_byte(batch: StoredBatch) -> None:
    stored = bytearray(batch.file.read_bytes())
    stored[batch.end - 1] ^= 0xFF
    batch.file.write_bytes(stored)

"""Batches as other clients write them: every codec, transactions that end either way, and damage on the disk."""

import json
import random
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from deployment import Deployment

from streams.log_reader import LogReader
from streams.topic_admin import admin_client
from tierstream.stack.kafka import EmbeddedKafka
from tierstream.verify.run import VerifyOptions, verify
from topics.codec import DecodeError, decode
from topics.registry import DEAD_LETTERS, REQUESTS

CODECS = (None, "gzip", "snappy", "lz4", "zstd")


def body(request_id):
    return json.dumps({"request_id": request_id, "messages": [{"role": "user", "content": "Hello?"}]}).encode()


@asynccontextmanager
async def producing(deployment, **options):
    producer = AIOKafkaProducer(bootstrap_servers=deployment.kafka.bootstrap_servers, linger_ms=50, **options)
    async with producer:
        yield producer


async def produce(deployment, ids, *, partition=0, **options):
    """Produce requests as one batch, and return where they lie."""
    topic = REQUESTS.full_name(deployment.kafka.prefix)
    async with producing(deployment, **options) as producer:
        sent = [await producer.send(topic, body(request_id), partition=partition) for request_id in ids]
        return [(await one).offset for one in sent]


async def transact(deployment, ids, *, commit, partition=0):
    topic = REQUESTS.full_name(deployment.kafka.prefix)
    async with producing(deployment, transactional_id=f"{deployment.kafka.prefix}{random.random()}") as producer:
        await producer.begin_transaction()
        for sent in [await producer.send(topic, body(request_id), partition=partition) for request_id in ids]:
            await sent
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def committed_by_classify(deployment, partition):
    async with admin_client(deployment.kafka) as admin:
        offsets = await admin.list_consumer_group_offsets(deployment.settings.group("classify"))
    return offsets[TopicPartition(REQUESTS.full_name(deployment.kafka.prefix), partition)].offset


async def assert_nothing_else(deployment, simulator, ids):
    assert len(simulator.calls) == len(ids)
    assert await deployment.read(DEAD_LETTERS) == []
    verdict = await verify(deployment.settings, VerifyOptions(), lambda *_: None)
    assert verdict.findings.ok, verdict.as_json()
    assert verdict.counts["distinct_requests"] == verdict.counts["results"] == len(ids)


async def test_requests_in_every_codec_are_served(deployment, simulator):
    ids = [f"{codec}-{n}" for codec in CODECS for n in range(3)]
    for codec in CODECS:
        await produce(deployment, [f"{codec}-{n}" for n in range(3)], compression_type=codec)
    await deployment.start_worker()
    await deployment.settled(ids)
    await assert_nothing_else(deployment, simulator, ids)


async def test_aborted_requests_are_not_served_and_hold_no_commit_back(deployment, simulator):
    # Partition 0 begins and ends with aborted records, 1 has no others, 2 ends with a committed transaction's mark.
    await transact(deployment, ["a0", "a1", "a2"], commit=False)
    await transact(deployment, ["b0"], commit=False, partition=1)
    await deployment.start_worker()
    ids = ["c0", "c1", "d0", "e0", "e1"]
    await transact(deployment, ["c0", "c1"], commit=True)
    await transact(deployment, ["a3"], commit=False)
    await produce(deployment, ["d0"])
    await transact(deployment, ["a4", "a5"], commit=False)
    await transact(deployment, ["e0", "e1"], commit=True, partition=2)

    await deployment.settled(ids)  # waits until every commit is at the end of its partition
    assert [await committed_by_classify(deployment, partition) for partition in range(3)] == [13, 2, 3]
    await assert_nothing_else(deployment, simulator, ids)

    # Another owner goes on from there.
    await produce(deployment, ["f0"])
    await deployment.settled([*ids, "f0"])
    await assert_nothing_else(deployment, simulator, [*ids, "f0"])


@pytest.fixture
async def broker(tmp_path):
    """A broker of the test's own, to be stopped."""
    running = EmbeddedKafka(tmp_path / "kafka")
    await running.start()
    yield running
    await running.stop()


def overwrite(broker, topic, marked, *, keep_crc):
    """Damage the stored batch that holds these bytes; with `keep_crc` the payload alone is no longer what it was."""
    [segment] = (broker._settings._log_dir / f"{topic}-0").glob("*.log")
    log = bytearray(segment.read_bytes())
    start = 0
    while start < len(log):
        end = start + 12 + int.from_bytes(log[start + 8 : start + 12])
        if int.from_bytes(log[start : start + 8]) == marked:
            log[end - 30 : end - 10] = random.Random(1).randbytes(20)
            if keep_crc:
                from aiokafka.record.util import calc_crc32c

                log[start + 17 : start + 21] = calc_crc32c(bytes(log[start + 21 : end])).to_bytes(4)
        start = end
    segment.write_bytes(log)


async def test_damage_on_the_disk_becomes_dead_letters_and_nothing_behind_it_is_lost(broker, simulator, tmp_path):
    made = Deployment(broker.bootstrap_servers, tmp_path, simulator_url=simulator.url, kafka={"partitions": 1})
    topic = REQUESTS.full_name(made.kafka.prefix)
    async with made.running():
        await produce(made, ["before"], compression_type="gzip")
        damaged = [
            *(await produce(made, [f"crc-{n}" for n in range(3)])),
            *(await produce(made, [f"codec-{n}" for n in range(2)], compression_type="lz4")),
        ]
        await produce(made, ["between"], compression_type="zstd")
        last = await produce(made, ["last-0", "last-1"], compression_type="snappy")
        await broker.stop()
        overwrite(broker, topic, damaged[0], keep_crc=False)
        overwrite(broker, topic, damaged[3], keep_crc=True)
        overwrite(broker, topic, last[0], keep_crc=False)
        await broker.start()

        reader = LogReader(made.kafka)
        read = [record async for record in reader.read(TopicPartition(topic, 0))]
        assert [record.offset for record in read] == list(range(9))
        for record in (read[offset] for offset in (*damaged, *last)):
            with pytest.raises(DecodeError, match="can't be read"):
                decode(REQUESTS, record.value, record.headers)

        await made.start_worker()
        await made.settled(["before", "between"])
        letters = await made.read(DEAD_LETTERS)
        assert sorted(letter.offset for letter in letters) == [*damaged, *last]
        assert {(letter.reason, letter.stage, letter.topic) for letter in letters} == {("damaged", "classify", topic)}

        await produce(made, ["after"])
        await made.settled(["before", "between", "after"])
        verdict = await verify(made.settings, VerifyOptions(), lambda *_: None)
        assert verdict.findings.ok, verdict.as_json()
        assert (verdict.counts["unreadable_requests"], verdict.counts["results"]) == (7, 3)

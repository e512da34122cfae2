"""What any service may rely on: a producer and a consumer that know the topics and nothing of our code."""

import asyncio
import hashlib
import json
import os
from collections import Counter

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.deployment import Deployment

from streams.kafka.admin import admin_client
from tierstream.simulator.server import running_simulator
from topics.registry import DEAD_LETTERS, STATUS

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator():
    async with running_simulator(time_scale=0) as running:
        running.set_behaviour(judge_error_rate=0)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(kafka, simulator, tmp_path_factory):
    made = Deployment(kafka.bootstrap_servers, tmp_path_factory.mktemp("contract"), simulator_url=simulator.url)
    async with made.running():
        await made.start_worker()
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def producer(deployment):
    async with AIOKafkaProducer(
        bootstrap_servers=deployment.kafka.bootstrap_servers, max_request_size=16 * MIB
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def results(deployment):
    """A consumer of results from now on, as section 2 of the design describes it."""
    consumer = AIOKafkaConsumer(
        f"{deployment.kafka.prefix}results",
        bootstrap_servers=deployment.kafka.bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="latest",
    )
    await consumer.start()
    # Its positions are looked up at the first fetch, which must not be after the first result.
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)
    yield consumer
    await consumer.stop()


def body(request_id, **more):
    return json.dumps({"request_id": request_id, "messages": [{"role": "user", "content": "Hello?"}], **more}).encode()


async def next_results(consumer, count):
    return [json.loads((await consumer.getone()).value) for _ in range(count)]


async def everything_left(consumer):
    """All results up to the end of the log as it is now."""
    ends = await consumer.end_offsets(consumer.assignment())
    found = []
    while any([await consumer.position(tp) < end for tp, end in ends.items()]):
        batches = await consumer.getmany(timeout_ms=200)
        found += [json.loads(record.value) for records in batches.values() for record in records]
    return found


async def letter_at(deployment, metadata):
    """Wait for the dead letter of a record, by the place where the broker put it."""
    await deployment.quiet()
    place = (metadata.topic, metadata.partition, metadata.offset)
    letters = await deployment.read(DEAD_LETTERS)
    [found] = [letter for letter in letters if (letter.topic, letter.partition, letter.offset) == place]
    return found


async def test_a_producer_that_knows_only_the_contract_gets_each_result_once(deployment, simulator, producer, results):
    topic, ids = f"{deployment.kafka.prefix}requests", [f"contract-{n}" for n in range(100)]
    sent = [
        await producer.send(topic, body(request_id), key=None if n % 3 == 0 else f"user-{n % 5}".encode())
        for n, request_id in enumerate(ids)
    ]
    # A resend under another key may meet the first one at any stage.
    sent += [await producer.send(topic, body(request_id), key=b"again") for request_id in ids[:10]]
    await asyncio.gather(*sent)

    found = await next_results(results, 100)
    await deployment.quiet()
    assert await everything_left(results) == []
    assert sorted(result["request_id"] for result in found) == sorted(ids)
    assert {result["status"] for result in found} == {"ok"}
    assert all(result["revision"] == 0 and result["content"] and result["route"] for result in found)
    assert {result["source"]["topic"] for result in found} == {topic}

    journal = await deployment.journal()
    assert len(simulator.calls) == len(journal.started) == len(journal.ended) == 100
    assert {call["call_id"] for call in simulator.calls} == {str(call) for call in journal.started}

    # What is settled is recognised, whoever sends it again.
    await asyncio.gather(*[await producer.send(topic, body(request_id), key=b"later") for request_id in ids[:10]])
    await deployment.quiet()
    assert await everything_left(results) == []
    assert len(simulator.calls) == 100


async def test_an_id_with_another_body_is_not_served(deployment, simulator, producer, results):
    topic = f"{deployment.kafka.prefix}requests"
    await producer.send_and_wait(topic, body("reused"))
    [first] = await next_results(results, 1)
    # From here on classify knows of the result; tests of copies have what comes before.
    await deployment.quiet()
    calls = len(simulator.calls)
    await producer.send_and_wait(topic, body("reused", user_id="somebody else"))
    await deployment.quiet()
    assert await everything_left(results) == []
    assert first["user_id"] is None
    assert len(simulator.calls) == calls
    kinds = Counter(
        event.kind
        for status in await deployment.read(STATUS)
        if status.request_id == "reused"
        for event in status.events
    )
    assert kinds == {"accepted": 1, "routed": 1, "settled": 1, "id_reused": 1}


async def test_unknown_fields_are_named(deployment, producer, results):
    await producer.send_and_wait(f"{deployment.kafka.prefix}requests", body("typo", min_teir=3))
    assert (await next_results(results, 1))[0]["status"] == "ok"
    await deployment.quiet()
    accepted = [
        event
        for status in await deployment.read(STATUS)
        for event in status.events
        if status.request_id == "typo" and event.kind == "accepted"
    ]
    assert [event.unknown_fields for event in accepted] == [("min_teir",)]


FILLER = "x" * (2 * MIB)
BAD = {
    "random bytes": (os.urandom(600), "not_json", False),
    "a tombstone": (None, "empty", False),
    "no object": (b"[1, 2]", "invalid", False),
    "no messages": (json.dumps({"request_id": "bad-messages"}).encode(), "invalid", True),
    "too large": (body("bad-large", tags=[FILLER]), "too_large", True),
    "too large, no JSON": (FILLER.encode(), "too_large", False),
    "bad schema": (body("bad-schema", response_schema={"type": "no such type"}), "invalid", True),
    "tiers crossed": (body("bad-tiers", min_tier=3, max_tier=1), "invalid", True),
    "tier above all": (body("bad-tier", min_tier=9), "invalid", True),
    "deadline too far": (body("bad-deadline", deadline="2999-01-01T00:00:00Z"), "invalid", True),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_a_dead_letter(deployment, simulator, producer, results, case):
    value, reason, has_id = BAD[case]
    topic, calls = f"{deployment.kafka.prefix}requests", len(simulator.calls)
    headers = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    bad = await producer.send_and_wait(topic, value, key=b"any", partition=1, headers=headers)
    good = f"after {case}"
    await producer.send_and_wait(topic, body(good), partition=1)

    found = {result["request_id"]: result for result in await next_results(results, 1 + has_id)}
    assert found[good]["status"] == "ok"
    letter = await letter_at(deployment, bad)
    assert (letter.stage, letter.reason, letter.key) == ("classify", reason, b"any")
    assert dict(letter.headers) == dict(headers)
    assert letter.value == (None if value is None else value[:MIB])
    assert letter.size == len(value or b"")
    assert letter.truncated == (len(value or b"") > MIB)
    assert letter.sha256 == hashlib.sha256(value or b"").hexdigest()
    if has_id:
        rejected = found[letter.request_id]
        assert letter.request_id == json.loads(value)["request_id"]
        assert (rejected["status"], rejected["error"]["code"]) == ("rejected", reason)
        assert rejected["error"]["message"] == letter.message
        assert (rejected["source"]["partition"], rejected["source"]["offset"]) == (bad.partition, bad.offset)
    assert len(simulator.calls) == calls + 1


async def test_an_unknown_schema_version_is_a_dead_letter(deployment, producer, results):
    topic = f"{deployment.kafka.prefix}requests"
    bad = await producer.send_and_wait(topic, body("from the future"), headers=[("schema", b"request/9")])
    [rejected] = await next_results(results, 1)
    assert (rejected["request_id"], rejected["status"]) == ("from the future", "rejected")
    assert (await letter_at(deployment, bad)).reason == "unknown_schema"


async def test_bad_input_leaves_no_lag(deployment):
    group, topic = f"{deployment.kafka.prefix}classify", f"{deployment.kafka.prefix}requests"
    await deployment.quiet()
    consumer = AIOKafkaConsumer(bootstrap_servers=deployment.kafka.bootstrap_servers)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic, p) for p in deployment.partitions])
    finally:
        await consumer.stop()
    async with admin_client(deployment.kafka) as admin:
        committed = await admin.list_consumer_group_offsets(group)
    assert {tp: committed[tp].offset for tp in ends} == ends

"""Bad records on every topic that a stage reads, listed ones and mutated ones: each becomes what it has to.

Nothing crashes or stays behind.
"""

import copy
import json
import os
import random

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.bad_records import RECORD_MAX_BYTES, REQUEST_MAX_BYTES, rows
from support.deployment import Deployment

from topics.codec import DecodeError, decode
from topics.messages import Message
from topics.registry import DEAD_LETTERS, ESCALATIONS, OUTCOMES, PARKED, REQUESTS, RESULTS, VALIDATION, tier_tasks
from topics.requests import Request, RequestContext

RECORDS = int(os.environ.get("TIERSTREAM_FUZZ_RECORDS", "1500"))
SOURCES = (REQUESTS, tier_tasks(1), tier_tasks(2), tier_tasks(3), VALIDATION, ESCALATIONS, PARKED, OUTCOMES)
JUNK = (None, True, -1, 10**30, 1.5e308, "", "x" * 300, "\x00", [], {}, [[]], {"": None}, "NaN", "1e400")


def mutated(value: bytes, chance: random.Random) -> bytes:
    """Change a valid record: bytes, length, or the values and fields of its JSON."""
    if chance.random() < 0.35:
        data = bytearray(value)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data[: chance.randint(1, len(data))]) if chance.random() < 0.3 else bytes(data)
    document = json.loads(value)
    for _ in range(chance.randint(1, 4)):
        change(document, chance)
    return json.dumps(document).encode()


def change(document, chance):
    """Replace, drop or add something at a random depth."""
    node = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.7:
            node = node[key]
            continue
        if isinstance(node, dict) and chance.random() < 0.3:
            del node[key]
        else:
            node[key] = copy.deepcopy(chance.choice(JUNK))
        return


def asked():
    """Requests that between them pass through every stage."""
    for number in range(12):
        context = RequestContext(business_impact="critical") if number % 3 == 0 else RequestContext()
        schema = {"type": "object", "required": ["a"]} if number % 4 == 0 else None
        messages = (Message(role="user", content=f"What is {number} and why?"),)
        yield Request(request_id=f"seed-{number}", messages=messages, context=context, response_schema=schema)


async def seeds(deployment):
    """Serve some requests and return the values that this put on each source topic."""
    requests = list(asked())
    await deployment.send(requests)
    await deployment.settled([request.request_id for request in requests])
    return {spec.name: await values(deployment, spec) for spec in SOURCES}


async def values(deployment, spec):
    kafka = deployment.kafka
    tps = [TopicPartition(spec.full_name(kafka.prefix), number) for number in range(kafka.partitions)]
    found = []
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=None) as consumer:
        consumer.assign(tps)
        for tp, end in (await consumer.end_offsets(tps)).items():
            consumer.seek(tp, 0)
            while await consumer.position(tp) < end:
                found += [record.value for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, ())]
    return found


def is_bad(spec, value):
    try:
        decode(spec, value, [])
    except DecodeError:
        return True
    return False


@pytest.mark.slow
async def test_mutated_records(deployment, simulator):
    await deployment.start_worker()
    chance = random.Random(7)
    simulator.set_behaviour(rate_empty=0.3)
    known = await seeds(deployment)
    simulator.reset()
    pool = known["tier1"] + known["tier2"]
    known["parked"] = [json.dumps({"task": json.loads(task), "reason": "no provider"}).encode() for task in pool]
    bad = []
    async with AIOKafkaProducer(bootstrap_servers=deployment.kafka.bootstrap_servers, linger_ms=5) as producer:
        for number in range(RECORDS):
            spec = SOURCES[number % len(SOURCES)]
            value = mutated(chance.choice(known[spec.name] or pool), chance)
            topic = spec.full_name(deployment.kafka.prefix)
            delivery = await producer.send(topic, value)
            if is_bad(spec, value):
                bad.append((topic, delivery))
        await producer.flush()
    places = {(topic, delivery.result().partition, delivery.result().offset) for topic, delivery in bad}
    await deployment.quiet()
    deployment.check()
    letters = {(letter.topic, letter.partition, letter.offset) for letter in await deployment.read(DEAD_LETTERS)}
    assert len(places) > RECORDS / 10
    assert places <= letters
    # The stream goes on as if nothing had been.
    after = Request(request_id="after", messages=(Message(role="user", content="Are you there?"),))
    await deployment.send([after])
    assert (await deployment.settled(["after"]))["after"].status == "ok"


async def test_each_bad_record_becomes_what_the_table_says(kafka, simulator, tmp_path):
    limits = {"request_max_bytes": REQUEST_MAX_BYTES, "record_max_bytes": RECORD_MAX_BYTES}
    made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, kafka=limits)
    table = {f"bad-{number:03}": row for number, row in enumerate(rows())}
    async with made.running():
        await made.start_worker()
        places = await sent(made, table)
        await made.quiet()
        made.check()
        letters = {(found.topic, found.partition, found.offset): found for found in await made.read(DEAD_LETTERS)}
        results = await made.read(RESULTS)
    assert len(results) == len({result.request_id for result in results})
    by_id = {result.request_id: result for result in results}
    for request_id, row in table.items():
        letter, result = letters.pop(places[request_id], None), by_id.pop(request_id, None)
        found = (letter.reason if letter else "served", result.status.value if result else None)
        assert found == (row.reason, row.status), f"{row.group}: {row.what}: {result and result.error}"
        if letter and result:
            assert letter.message.startswith(row.names)
            assert (result.error.code, result.error.message) == (row.reason, letter.message)
    assert not letters
    assert not by_id


async def sent(made, table):
    """Send all rows together; return where each came to lie."""
    pending = {}
    async with AIOKafkaProducer(
        bootstrap_servers=made.kafka.bootstrap_servers, linger_ms=5, max_request_size=8 * 1024 * 1024
    ) as producer:
        for request_id, row in table.items():
            value, headers = row.value_of(request_id), list(row.headers)
            topic = made.kafka.prefix + row.topic
            pending[request_id] = await producer.send(topic, value, key=row.key, headers=headers)
        await producer.flush()
    done = {request_id: delivery.result() for request_id, delivery in pending.items()}
    return {request_id: (where.topic, where.partition, where.offset) for request_id, where in done.items()}

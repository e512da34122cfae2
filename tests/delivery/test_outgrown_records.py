"""Records of which something comes that no topic takes: their requests end, and what is behind them is served."""

from decimal import Decimal

from aiokafka import AIOKafkaProducer
from support.bad_records import RECORD_MAX_BYTES, REQUEST_MAX_BYTES
from support.deployment import Deployment
from support.in_memory import BASE_MS, new_request, new_task

from streams.kafka.clock import utc_now
from topics.codec import encode
from topics.partitioning import partition_for
from topics.registry import DEAD_LETTERS, ESCALATIONS, OUTCOMES, PARKED, tier_tasks
from topics.results import Outcome, ResultStatus
from topics.tasks import Escalation, Parked, Source

LIMITS = {"request_max_bytes": REQUEST_MAX_BYTES, "record_max_bytes": RECORD_MAX_BYTES}
GROWS = {"default": [1e15] * 19_000}
HEADERS_AND_KEY = 110
"""Bytes of an outcome's record besides its value; its result has some more in the value, and does not fit."""


def task(request_id):
    request = new_request(request_id=request_id, response_schema=GROWS)
    deadline = utc_now().replace(year=utc_now().year + 1)
    return new_task(request, deadline=deadline)


def outcome(request_id):
    made = Outcome(
        request_id=request_id,
        status=ResultStatus.OK,
        content="",
        tier=1,
        cost_usd=Decimal("0.25"),
        source=Source(topic="t", partition=0, offset=0, timestamp_ms=BASE_MS),
        digest="d",
        stage="s",
        tags=("a",),
    )
    room = RECORD_MAX_BYTES - HEADERS_AND_KEY - len(encode(made).value)
    return made.model_copy(update={"content": "x" * room})


async def test_what_no_topic_takes_ends_its_request(kafka, simulator, tmp_path):
    made = Deployment(
        kafka.bootstrap_servers,
        tmp_path,
        simulator_url=simulator.url,
        kafka=LIMITS,
        config="[attempts]\nparked_s = 0.1",
    )
    sources = {
        "escalated": (ESCALATIONS, Escalation(task=task("escalated"), reason="r")),
        "parked": (PARKED, Parked(task=task("parked"), reason="r")),
        "promoted": (tier_tasks(1), task("promoted")),
        "settled": (OUTCOMES, outcome("settled")),
    }
    async with made.running():
        simulator.set_behaviour(rate_empty=1)
        await made.start_worker()
        async with AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, max_request_size=2 * RECORD_MAX_BYTES
        ) as producer:
            for spec, record in sources.values():
                await send(producer, made, spec, record)
        found = await made.settled(sources)
        simulator.reset()
        behind = new_request(request_id="behind")
        await made.send([behind])
        assert (await made.settled(["behind"]))["behind"].status == ResultStatus.OK
        letters = {letter.request_id: letter for letter in await made.read(DEAD_LETTERS)}
    assert letters.keys() == sources.keys()
    for request_id, result in found.items():
        assert (result.status, result.error.code, result.content) == (ResultStatus.FAILED, "too_large", None)
        assert letters[request_id].reason == "too_large"
        assert letters[request_id].message == result.error.message
        assert letters[request_id].topic == sources[request_id][0].full_name(made.kafka.prefix)
    # What was paid is kept.
    assert found["settled"].cost_usd == Decimal("0.25")


async def send(producer, made, spec, record):
    """Send a record as another writer may have spelled its numbers, so that it is smaller than when we write it."""
    encoded = encode(record)
    await producer.send_and_wait(
        spec.full_name(made.kafka.prefix),
        encoded.value.replace(b"1000000000000000.0", b"1e15"),
        key=encoded.key,
        partition=partition_for(record.partition_key, made.kafka.partitions),
        headers=encoded.headers,
    )

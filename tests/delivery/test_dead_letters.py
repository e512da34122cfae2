"""Dead letters on a real broker: made by a worker that refuses or fails, then listed, sent again and purged."""

import asyncio
import json
from datetime import timedelta

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from support.deployment import Deployment
from support.in_memory import new_request, new_task
from typer.testing import CliRunner

from streams.kafka.admin import delete_records
from streams.kafka.clock import utc_now
from tierstream.cli import app
from tierstream.client.record_reader import RecordReader
from tierstream.operations.dead_letters import DeadLetters
from tierstream.simulator.server import running_simulator
from topics.codec import encode
from topics.partitioning import partition_for
from topics.registry import REQUESTS, RESULTS, tier_tasks
from topics.results import ResultStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 2048
RAISED = 2 * 1024 * 1024
HUGE = 1_200_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(kafka, tmp_path_factory):
    """A worker with a limit that was too low for what is in the topic already, replaced by one with a higher limit."""
    async with running_simulator(time_scale=0) as simulator:
        made = Deployment(
            kafka.bootstrap_servers,
            tmp_path_factory.mktemp("letters"),
            simulator_url=simulator.url,
            kafka={"request_max_bytes": LIMIT},
        )
        async with made.running():
            strict = await made.start_worker("classify", "settle")
            for request_id, size in (("large", 3000), ("huge", HUGE), ("edited", 3000)):
                await produce(made, REQUESTS, body(request_id, size), headers=[("team", b"blue")])
            await letters(made, 3)
            await made.results(["large", "huge", "edited"])
            await made.unwatch(strict).stop(30)
            await made.start_worker(TIERSTREAM_KAFKA__REQUEST_MAX_BYTES=str(RAISED))
            yield made


@pytest_asyncio.fixture(loop_scope="module")
async def idle(kafka, tmp_path):
    """Topics without a worker, so that letters stay as they are put there."""
    made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url="http://127.0.0.1:1")
    async with made.running():
        yield made


def body(request_id, size=0):
    return json.dumps(
        {"request_id": request_id, "messages": [{"role": "user", "content": "What is 2 + 2?"}], "padding": "x" * size}
    ).encode()


async def produce(made, spec, value, *, key=b"own key", partition=None, headers=()):
    async with AIOKafkaProducer(
        bootstrap_servers=made.kafka.bootstrap_servers, max_request_size=8 * 1024 * 1024
    ) as producer:
        return await producer.send_and_wait(
            spec.full_name(made.kafka.prefix), value, key=key, partition=partition, headers=list(headers)
        )


async def produce_record(made, spec, record):
    encoded = encode(record)
    partition = partition_for(record.partition_key, made.kafka.partitions)
    return await produce(made, spec, encoded.value, key=encoded.key, partition=partition, headers=encoded.headers)


async def letters(made, count, *, of=lambda letter: True):
    """Wait until so many letters are there; return them, oldest first."""
    while True:
        made.check()
        found = [entry for entry in await DeadLetters(made.settings).entries() if of(entry.letter)]
        if len(found) >= count:
            return found


async def letter_of(made, request_id, *, count=1):
    found = await letters(made, count, of=lambda letter: letter.request_id == request_id)
    assert len(found) == count
    return str(found[-1].id)


async def results_of(made, request_id, revision):
    """Wait for the result of a revision; return all results of the request by revision."""
    found = {}
    async with RecordReader(RESULTS, made.kafka, start="beginning", keep=request_id.__eq__) as reader:
        while revision not in found:
            made.check()
            for result in await reader.poll():
                assert result.revision not in found
                found[result.revision] = result
    return found


async def run(made, *arguments, **options):
    command = ["--config", str(made.config), "dead-letters", *map(str, arguments)]
    return await asyncio.to_thread(CliRunner().invoke, app, command, **options)


async def run_json(made, *arguments):
    result = await run(made, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def assert_failed(result, *words):
    assert result.exit_code == 1, result.output
    line = result.stderr.strip()
    assert line.startswith("error: ")
    assert "\n" not in line
    for word in words:
        assert word in line


async def test_a_request_that_was_too_large_goes_through_as_the_next_revision(deployment):
    letter = await letter_of(deployment, "large")
    planned = await run_json(deployment, "retry", letter, "--dry-run")
    assert planned["retried"][0]["revision"] == 1
    assert (await run_json(deployment, "show", letter))["state"] == "open"

    sent = await run_json(deployment, "retry", letter)
    assert (sent["retried"][0]["request_id"], sent["retried"][0]["retries"]) == ("large", 1)
    found = await results_of(deployment, "large", 1)
    assert (found[0].status, found[0].error.code) == (ResultStatus.REJECTED, "too_large")
    assert found[1].status is ResultStatus.OK
    assert (found[1].source.partition, found[1].source.offset) == (
        sent["retried"][0]["partition"],
        sent["retried"][0]["offset"],
    )
    shown = await run_json(deployment, "show", letter)
    assert shown["state"] == "retried"
    assert shown["notes"][0]["revision"] == 1

    assert_failed(await run(deployment, "retry", letter), letter, "--again")
    assert (await run_json(deployment, "retry", letter, "--again"))["retried"][0]["revision"] == 2
    assert (await results_of(deployment, "large", 2)).keys() == {0, 1, 2}


async def test_a_truncated_letter_is_read_back_from_its_source(deployment, tmp_path):
    letter = await letter_of(deployment, "huge")
    raw = tmp_path / "huge.json"
    assert (await run(deployment, "show", letter, "--raw", raw)).exit_code == 0
    assert raw.read_bytes() == body("huge", HUGE)
    await run_json(deployment, "retry", letter)
    assert (await results_of(deployment, "huge", 1))[1].status is ResultStatus.OK


async def test_an_edited_request_goes_in_the_place_of_the_original(deployment, tmp_path):
    letter = await letter_of(deployment, "edited")
    edit = tmp_path / "edited.json"
    edit.write_bytes(b'{"request_id": "edited"}')
    assert_failed(await run(deployment, "retry", letter, "--edit", edit), "messages")
    edit.write_bytes(body("edited"))
    await run_json(deployment, "retry", letter, "--edit", edit)
    assert (await results_of(deployment, "edited", 1))[1].status is ResultStatus.OK


async def test_a_task_whose_handler_failed_is_issued_again(deployment, tmp_path):
    """There is no tier 9, which the stage of tier 1 stumbles over."""
    task = new_task(new_request(request_id="task"), deadline=utc_now() + timedelta(seconds=60))
    await produce_record(deployment, tier_tasks(1), task.model_copy(update={"tier": 9}))
    assert (await results_of(deployment, "task", 0))[0].status is ResultStatus.FAILED
    letter = await letter_of(deployment, "task")
    shown = await run(deployment, "show", letter)
    assert "Traceback" in shown.stdout
    assert "IndexError" in shown.stdout

    await run_json(deployment, "retry", letter)
    assert (await results_of(deployment, "task", 1))[1].status is ResultStatus.FAILED
    second = await letter_of(deployment, "task", count=2)
    assert (await run_json(deployment, "show", second))["retries"] == 1

    edit = tmp_path / "task.json"
    edit.write_bytes(encode(task.model_copy(update={"request": new_request(request_id="other")})).value)
    assert_failed(await run(deployment, "retry", second, "--edit", edit), "another request")
    edit.write_bytes(encode(task).value)
    sent = await run_json(deployment, "retry", second, "--edit", edit)
    assert (sent["retried"][0]["revision"], sent["retried"][0]["retries"]) == (2, 2)
    assert (await results_of(deployment, "task", 2))[2].status is ResultStatus.OK


async def test_what_has_no_readable_id_is_sent_as_it_is_and_counted(deployment):
    forged = [("revision", b"7"), ("team", b"red")]
    await produce(deployment, REQUESTS, b"not JSON", headers=forged)
    is_it = {"of": lambda letter: letter.reason == "not_json"}
    [first] = await letters(deployment, 1, **is_it)
    sent = await run_json(deployment, "retry", first.id)
    assert (sent["retried"][0]["request_id"], sent["retried"][0]["revision"]) == (None, None)
    _, second = await letters(deployment, 2, **is_it)
    assert second.letter.retries == 1
    loaded = (await DeadLetters(deployment.settings).load(second)).letter
    assert (loaded.key, loaded.value) == (b"own key", b"not JSON")
    assert dict(loaded.headers) == {"team": b"red", "dead-letter": str(first.id).encode(), "dead-letter-retries": b"1"}


async def test_a_producer_may_not_pick_a_revision(deployment):
    await produce(deployment, REQUESTS, body("forged"), headers=[("revision", b"7")])
    assert (await results_of(deployment, "forged", 0)).keys() == {0}


async def test_the_list_has_all_and_filters(deployment):
    listed = (await run_json(deployment, "list"))["letters"]
    assert len(listed) >= 3
    assert all(row["at"] for row in listed)
    large = (await run_json(deployment, "list", "--reason", "too_large", "--stage", "classify"))["letters"]
    assert {row["request_id"] for row in large} == {"large", "huge", "edited"}
    assert (await run_json(deployment, "list", "--limit", 1))["letters"] == listed[-1:]
    assert (await run_json(deployment, "list", "--since", "2999-01-01"))["letters"] == []
    lines = (await run(deployment, "list")).stdout.splitlines()
    assert lines[0].startswith("letter")
    assert len(lines) == 1 + len(listed)


async def put_letters(made, request_id, values):
    """Refuse these requests as the runtime would, all under one id and so in one partition."""
    from streams.kafka.publisher import Output, Publisher
    from streams.runtime.stage import Received
    from topics.codec import DecodeError
    from topics.dead_letters import dead_letter
    from topics.registry import DEAD_LETTERS

    async with Publisher(made.kafka) as publisher:
        for value in values:
            at = await produce(made, REQUESTS, value, partition=0)
            received = Received(at.topic, 0, at.offset, at.timestamp, b"own key", value, (), 1)
            error = DecodeError("invalid", "messages: Field required", request_id)
            letter = dead_letter("classify", error, received, topic=at.topic, partition=0, at=utc_now())
            await publisher.publish([Output(DEAD_LETTERS, letter)])
    return [str(entry.id) for entry in await letters(made, len(values))]


async def test_purged_letters_are_deleted_when_nothing_open_lies_before_them(idle):
    first, second, third = await put_letters(idle, "r", [b"1", b"2", b"3"])
    assert (await run_json(idle, "purge", second, "--yes"))["deleted"] == 0
    listed = (await run_json(idle, "list"))["letters"]
    assert [row["state"] for row in listed] == ["open", "purged", "open"]
    assert_failed(await run(idle, "retry", second, "--again"), second, "purged")

    refused = await run(idle, "purge", first, input="n\n")
    assert refused.exit_code == 1
    await run_json(idle, "purge", first, "--yes")
    assert [row["letter"] for row in (await run_json(idle, "list"))["letters"]] == [third]
    for arguments in (["show", first], ["retry", second], ["purge", first, "--yes"], ["show", "99:0"]):
        assert_failed(await run(idle, *arguments), "no dead letter", arguments[1])

    assert (await run_json(idle, "purge", "--all", "--before", "1h", "--yes"))["purged"] == []
    assert await run_json(idle, "purge", "--all", "--yes") == {
        "purged": [third],
        "deleted": 1,
        "first_offsets": {third.partition(":")[0]: int(third.partition(":")[2]) + 1},
    }
    assert (await run(idle, "list")).stdout == "no dead letters\n"


async def test_all_are_sent_but_those_whose_bytes_are_gone(idle, tmp_path):
    huge, small = await put_letters(idle, "r", [b"x" * HUGE, b"{}"])
    gone = TopicPartition(REQUESTS.full_name(idle.kafka.prefix), 0)
    await delete_records(idle.kafka, {gone: 1})
    assert_failed(await run(idle, "retry", huge), huge, "no longer there")
    raw = tmp_path / "raw"
    assert_failed(await run(idle, "show", huge, "--raw", raw), "incomplete")
    assert raw.read_bytes() == b"x" * 1024 * 1024

    assert (await run(idle, "retry", "--all", input="n\n")).exit_code == 1
    result = await run(idle, "retry", "--all", "--yes", "--json")
    assert_failed(result, huge)
    told = json.loads(result.stdout)
    assert [row["letter"] for row in told["retried"]] == [small]
    assert [row["letter"] for row in told["problems"]] == [huge]

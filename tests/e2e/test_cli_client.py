"""The client commands on a real broker, with a stand-in for the stages that answers each request once."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.topics import created_topics
from typer.testing import CliRunner

from streams.config.settings import load
from tierstream.cli import app
from tierstream.client.record_reader import RecordReader, find_result
from tierstream.client.request_producer import RequestProducer
from tierstream.client.request_run import run_requests
from topics.codec import decode, encode
from topics.messages import Message
from topics.partitioning import partition_for
from topics.registry import REQUESTS, RESULTS
from topics.requests import Request
from topics.results import Result, ResultStatus
from topics.tasks import Source

PARTITIONS = 3
HOUR = timedelta(hours=1)


@pytest.fixture
def config(kafka, tmp_path, monkeypatch):
    """A settings file with topics of its own."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    path = tmp_path / "tierstream.toml"
    path.write_text(
        f"""
        [kafka]
        bootstrap_servers = "{kafka.bootstrap_servers}"
        prefix = "cli-{uuid4().hex[:8]}."
        partitions = {PARTITIONS}
        """
    )
    return path


@pytest.fixture
async def settings(config):
    loaded = load(config)
    async with created_topics(loaded):
        yield loaded


@pytest.fixture
async def settler(settings):
    async with Settler(settings) as running:
        yield running


class Settler:
    """Answers every request id once, each batch in a transaction, as the real one does."""

    def __init__(self, settings):
        self.settings = settings
        self.received = Counter()
        self.answered = set()
        self.ignore = set()
        self.repeat = set()
        self.fail = set()
        self.limit = None
        self.held = []
        self.reached_limit = asyncio.Event()
        self.has_received = asyncio.Condition()

    async def __aenter__(self):
        kafka = self.settings.kafka
        self.consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=None)
        self.producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{kafka.prefix}settler"
        )
        await self.consumer.start()
        await self.producer.start()
        partitions = [TopicPartition(REQUESTS.full_name(kafka.prefix), n) for n in range(PARTITIONS)]
        self.consumer.assign(partitions)
        for partition in partitions:
            self.consumer.seek(partition, 0)
        self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *error):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.consumer.stop()
        await self.producer.stop()

    async def run(self):
        while True:
            batches = await self.consumer.getmany(timeout_ms=100, max_records=50)
            requests = [decode(REQUESTS, r.value, r.headers).record for batch in batches.values() for r in batch]
            self.received.update(request.request_id for request in requests)
            async with self.has_received:
                self.has_received.notify_all()
            done = self.answered | self.ignore
            asked = {r.request_id: r for r in self.held + requests if r.request_id not in done}
            await self.answer(list(asked.values()))

    async def answer(self, requests):
        allowed = len(requests) if self.limit is None else max(0, self.limit - len(self.answered))
        answers, self.held = requests[:allowed], requests[allowed:]
        if answers:
            async with self.producer.transaction():
                for request in answers:
                    for _ in range(1 + (request.request_id in self.repeat)):
                        await self.publish(request)
        # A transaction that is given up leaves results that no reader may see.
        await self.abort(answers[:1])
        self.answered |= {request.request_id for request in answers}
        if self.limit is not None and len(self.answered) >= self.limit:
            self.reached_limit.set()

    async def abort(self, requests):
        if requests:
            await self.producer.begin_transaction()
            await self.publish(requests[0])
            await self.producer.abort_transaction()

    async def publish(self, request):
        status = ResultStatus.FAILED if request.request_id in self.fail else ResultStatus.OK
        kafka = self.settings.kafka
        encoded = encode(
            Result(
                request_id=request.request_id,
                status=status,
                content=f"about {request.question}" if status == ResultStatus.OK else None,
                tier=1,
                provider="groq",
                model="m",
                cost_usd=Decimal("0.000001"),
                source=Source(topic="requests", partition=0, offset=0, timestamp_ms=0),
                latency_ms=12.0,
                settled_at=datetime.now(UTC),
            )
        )
        await self.producer.send(
            RESULTS.full_name(kafka.prefix),
            encoded.value,
            key=encoded.key,
            partition=partition_for(request.request_id, PARTITIONS),
            headers=encoded.headers,
        )


async def cli(config, *arguments, **options):
    words = ["--config", str(config), *(str(argument) for argument in arguments)]
    return await asyncio.to_thread(CliRunner().invoke, app, words, **options)


async def start_process(config, *arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tierstream",
        "--config",
        str(config),
        *(str(argument) for argument in arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"},
    )


def write_requests(path, count):
    path.write_text("".join(f'{{"prompt": "question {n}"}}\n' for n in range(count)))
    return path


def read_ids(path):
    return [json.loads(line)["request_id"] for line in path.read_text().splitlines()]


def request(request_id):
    return Request(request_id=request_id, messages=(Message(role="user", content="Hi"),))


async def test_topics_create_and_check(config):
    assert (await cli(config, "topics", "check")).exit_code == 1
    missing = await cli(config, "send", "hi")
    assert missing.exit_code == 2
    assert "run `tierstream topics create`" in missing.stderr
    created = await cli(config, "topics", "create", "--json")
    assert created.exit_code == 0
    assert len(json.loads(created.stdout)["created"]) == 25
    assert (await cli(config, "topics", "check")).exit_code == 0
    assert (await cli(config, "topics", "create")).stdout == "all topics exist\n"
    config.write_text(config.read_text().replace(f"partitions = {PARTITIONS}", "partitions = 4"))
    checked = await cli(config, "topics", "check", "--json")
    assert checked.exit_code == 1
    assert any("partitions" in problem for problem in json.loads(checked.stdout)["problems"])
    refused = await cli(config, "send", "hi")
    assert refused.exit_code == 2
    assert f"set kafka.partitions = {PARTITIONS}" in refused.stderr


async def test_send_and_wait(config, settler):
    answered = await cli(config, "send", "--wait", "--id", "one", "--user", "ann", "Hello")
    assert answered.exit_code == 0, answered.output
    assert answered.stdout == "about Hello\n"
    # Sent again it is not answered again, and its result is found all the same.
    again = await cli(config, "send", "--wait", "--json", "--id", "one", "--user", "ann", "Hello")
    assert json.loads(again.stdout)["request_id"] == "one"
    settler.fail.add("two")
    failed = await cli(config, "send", "--wait", "--id", "two", "Hello")
    assert failed.exit_code == 1
    settler.ignore.add("three")
    silent = await cli(config, "send", "--wait", "--timeout", "0.5", "--id", "three", "Hello")
    assert silent.exit_code == 1
    assert "no result within 0.5 s: three" in silent.stderr


async def test_send_a_file_and_read_the_results(config, settings, settler, tmp_path):
    lines = '{"request_id": "a", "prompt": "A"}\n\n{"request_id": "b", "prompt": "B", "min_teir": 3}\n'
    sent = await cli(config, "send", "--input", "-", input=lines)
    assert sent.exit_code == 0, sent.output
    assert sent.stdout == "a\nb\n"
    assert "min_teir (line 3)" in sent.stderr
    for request_id in ("a", "b"):
        found = await cli(config, "results", "--request", request_id, "--json")
        assert json.loads(found.stdout)["content"] == f"about {request_id.upper()}"
    shown = await cli(config, "results", "--json")
    assert sorted(json.loads(line)["request_id"] for line in shown.stdout.splitlines()) == ["a", "b"]
    assert len((await cli(config, "results", "--from-beginning", "--limit", "1")).stdout.splitlines()) == 1
    followed = await cli(config, "results", "--follow", "--since", "1h", "--limit", "2")
    assert "about A" in followed.stdout
    nothing = await cli(config, "results", "--request", "c", "--timeout", "0")
    assert nothing.exit_code == 1
    assert "no result of c" in nothing.stderr


async def test_run_answers_everything_once(config, settler, tmp_path):
    source, target = write_requests(tmp_path / "in.jsonl", 300), tmp_path / "out" / "results.jsonl"
    settler.fail.add("odd")
    with source.open("a") as lines:
        lines.write('{"request_id": "odd", "prompt": "?"}\n')
    done = await cli(config, "run", "--input", source, "--output", target, "--in-flight", "50", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["requests"] == report["produced"] == report["results"] == 301
    assert report["by_status"] == {"failed": 1, "ok": 300}
    assert report["by_tier"] == {"1": 300}
    assert Decimal(report["cost_usd"]) == Decimal("0.000301")
    assert report["missing"] == report["duplicates"] == 0
    assert report["latency_ms"] == {"p50": 12.0, "p95": 12.0}
    assert len(set(read_ids(target))) == len(read_ids(target)) == 301

    before = target.read_bytes()
    again = await cli(config, "run", "--input", source, "--output", target, "--strict", "--json")
    assert again.exit_code == 1
    assert "1 results are not ok" in again.stderr
    assert json.loads(again.stdout)["produced"] == 0
    assert json.loads(again.stdout)["by_status"] == report["by_status"]
    assert target.read_bytes() == before

    # Another output of the same input: the ids were answered within the window and are not sent again.
    other = await cli(config, "run", "--input", source, "--output", tmp_path / "other.jsonl", "--json")
    assert json.loads(other.stdout)["produced"] == 0
    assert sorted(read_ids(tmp_path / "other.jsonl")) == sorted(read_ids(target))
    assert max(settler.received.values()) == 1


async def test_run_names_what_is_missing_and_a_later_run_finds_it(config, settler, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f'{{"request_id": "r{n}", "prompt": "x"}}\n' for n in range(20)))
    settler.ignore |= {f"r{n}" for n in range(7)}
    done = await cli(config, "run", "--input", source, "--output", target, "--timeout", "1", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["missing"] == 7
    assert "7 without a result" in done.stderr
    assert "and 2 more" in done.stderr
    settler.ignore.clear()
    again = await cli(config, "run", "--input", source, "--output", target, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["produced"] == 7
    assert sorted(read_ids(target)) == sorted(f"r{n}" for n in range(20))


async def test_run_tells_of_second_results(config, settler, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f'{{"request_id": "r{n}", "prompt": "x"}}\n' for n in range(5)))
    settler.repeat |= {"r1", "r3"}
    done = await cli(config, "run", "--input", source, "--output", target, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["duplicates"] == 2
    assert sorted(read_ids(target)) == [f"r{n}" for n in range(5)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_a_run_goes_on_where_it_was_stopped(config, settler, tmp_path, number):
    source, target = write_requests(tmp_path / "in.jsonl", 400), tmp_path / "out.jsonl"
    settler.limit = 150
    process = await start_process(config, "run", "--input", source, "--output", target, "--in-flight", "200")
    try:
        await asyncio.wait_for(settler.reached_limit.wait(), 60)
        while not target.exists() or target.read_bytes().count(b"\n") < 100:  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)
    finally:
        process.send_signal(number)
        _, stderr = await process.communicate()
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert number != signal.SIGINT or b"the same command goes on from there" in stderr
    assert b"Traceback" not in stderr

    # As if it had been killed in the middle of a line.
    target.write_bytes(target.read_bytes()[:-20])
    settler.limit = None
    done = await cli(config, "run", "--input", source, "--output", target, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["results"] == 400
    assert report["duplicates"] == 0
    assert len(set(read_ids(target))) == len(read_ids(target)) == 400


async def test_results_into_a_closed_pipe_end_quietly(config, settings, settler):
    await cli(config, "send", "--wait", "--id", "one", "Hello")
    process = await start_process(config, "results", "--follow", "--since", "1h")
    try:
        await asyncio.wait_for(process.stdout.readline(), 60)
        process.stdout._transport.close()
        # The command notices at the next line that it writes.
        await cli(config, "send", "--wait", "--id", "two", "Hello")
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_run_requests_keeps_the_pace_and_the_limit(settings, settler):
    settler.limit = 0
    seen = []
    running = asyncio.create_task(
        run_requests(
            settings,
            (request(f"r{n}") for n in range(30)),
            on_result=seen.append,
            timeout_s=60,
            rate=1000,
            in_flight=10,
        )
    )
    async with settler.has_received:
        await settler.has_received.wait_for(lambda: len(settler.received) >= 10)
    assert len(settler.received) == 10
    settler.limit = None
    report = await running
    assert report.results == len(seen) == 30
    assert report.missing == ()


async def test_the_reader_starts_where_it_is_told(settings, settler):
    async with RequestProducer(settings.kafka) as producer:
        for n in range(25):
            await producer.send(request(f"r{n}"))
    assert producer.delivered == 25
    for n in range(25):
        assert await find_result(settings.kafka, f"r{n}", lookback=HOUR, timeout_s=30) is not None

    async def count(start, **options):
        async with RecordReader(RESULTS, settings.kafka, start=start, **options) as reader:
            return len([result async for result in reader.until_end()])

    assert await count("beginning") == 25
    assert await count("end") == 0
    assert await count(datetime.now(UTC) - HOUR) == 25
    assert await count(datetime.now(UTC) + HOUR) == 0
    assert await count("beginning", keep=lambda request_id: request_id == "r3") == 1
    by_partition = [await count("beginning", partitions=[n]) for n in range(PARTITIONS)]
    assert sum(by_partition) == 25
    assert 25 not in by_partition

"""The commands that show text as it arrives, on a real broker: what counts, what is void, and how it ends."""

import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from support.deployment import clean_environment
from support.topics import created_topics
from typer.testing import CliRunner

from streams.config.settings import load
from tierstream.cli import app
from tierstream.cli.render.stream import NamedPage
from topics.codec import encode
from topics.events import Chunk
from topics.journal import CallEnded, CallStarted, Purpose, attempt_id
from topics.partitioning import partition_for
from topics.registry import CALLS, CHUNKS, RESULTS
from topics.results import Result, ResultError, ResultStatus
from topics.tasks import Source

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODELS = ("groq/a", "together/b")


@pytest.fixture
async def topics(kafka, tmp_path):
    """A settings file with topics of its own, and what the stages would publish there."""
    config = tmp_path / "tierstream.toml"
    config.write_text(
        f"""
        [kafka]
        bootstrap_servers = "{kafka.bootstrap_servers}"
        prefix = "stream-{uuid4().hex[:8]}."
        partitions = 3
        """
    )
    settings = load(config, overrides={"kafka": {"bootstrap_servers": kafka.bootstrap_servers}})
    async with created_topics(settings), AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        yield Topics(config, settings, producer)


class Topics:
    """The topics of a deployment without workers."""

    def __init__(self, config, settings, producer):
        self.config = config
        self.settings = settings
        self.producer = producer

    async def publish(self, spec, record):
        encoded = encode(record)
        kafka = self.settings.kafka
        partition = partition_for(record.partition_key, kafka.partitions)
        await self.producer.send_and_wait(
            spec.full_name(kafka.prefix), encoded.value, key=encoded.key, partition=partition, headers=encoded.headers
        )

    async def start(self, request_id, n=0):
        call = Call(self, request_id, n)
        await self.publish(CALLS, CallStarted(**call.identity, deadline=NOW))
        return call

    async def no_answer(self, request_id):
        error = ResultError(code="deadline", message="too late")
        await self.publish(RESULTS, result_of(request_id, status=ResultStatus.EXPIRED, error=error))

    async def cli(self, *arguments):
        words = ["--config", str(self.config), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    async def open(self, *arguments):
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tierstream", "--config", str(self.config), *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=clean_environment(),
        )


class Call:
    """One call of a request's n-th attempt, step by step."""

    def __init__(self, topics, request_id, n):
        provider, _, model = MODELS[n].partition("/")
        self.topics = topics
        self.text = ""
        self.seq = 0
        self.identity = {
            "call_id": uuid4(),
            "attempt_id": attempt_id(request_id, 0, "infer:1", n),
            "request_id": request_id,
            "revision": 0,
            "stage": "infer:1",
            "n": n,
            "purpose": Purpose.INFER,
            "tier": 1,
            "provider": provider,
            "model": model,
            "started_at": NOW,
        }

    async def say(self, text, kind="text"):
        names = ("request_id", "revision", "attempt_id", "call_id")
        identity = {name: self.identity[name] for name in names}
        await self.topics.publish(CHUNKS, Chunk(**identity, seq=self.seq, kind=kind, text=text, at=NOW))
        self.text += text
        self.seq += 1
        if kind != "text":
            first_token_ms = 42.0 if kind == "done" else None
            await self.topics.publish(CALLS, CallEnded(**self.identity, ended_at=NOW, first_token_ms=first_token_ms))

    async def win(self, content=None):
        names = ("attempt_id", "tier", "provider", "model")
        winner = {name: self.identity[name] for name in names}
        answer = self.text if content is None else content
        await self.topics.publish(RESULTS, result_of(self.identity["request_id"], content=answer, **winner))


def result_of(request_id, **fields):
    known = {"status": ResultStatus.OK, "cost_usd": Decimal("0.000012"), "latency_ms": 321.4, "settled_at": NOW}
    source = Source(topic="requests", partition=0, offset=0, timestamp_ms=0)
    return Result.model_validate({"request_id": request_id, "source": source, **known, **fields})


CONFIRMED = "ok: T1 together/b, $0.000012, 321 ms (first token of the attempt after 42 ms)"


async def one(topics, request_id):
    """What is shown of one request whose records are all there."""
    done = await topics.cli("results", "--request", request_id, "--stream")
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr.strip()


async def test_a_stream_that_breaks_off_is_void_and_the_result_confirms_the_next(topics):
    groq = await topics.start("r")
    await groq.say("Kafka ")
    await groq.say("is", "broken")
    together = await topics.start("r", 1)
    await together.say("A log.\nIt ")
    await together.say("is kept.", "done")
    await together.win()
    stdout, stderr = await one(topics, "r")
    assert stdout.splitlines() == [
        "Kafka is",
        "[T1 groq/a broke off: the text above is void]",
        "[attempt 2: T1 together/b starts again]",
        "A log.",
        "It is kept.",
    ]
    assert stderr == CONFIRMED


async def test_a_stream_whose_worker_was_lost_begins_anew_and_the_lost_one_is_not_heard(topics):
    lost = await topics.start("r", 1)
    await lost.say("Kafka")
    again = await topics.start("r", 1)
    await again.say("A log")
    await lost.say(" goes on")
    await again.say(".", "done")
    await again.win()
    stdout, stderr = await one(topics, "r")
    assert stdout.splitlines() == [
        "Kafka",
        "[attempt 1: the text above is void, its worker was lost; T1 together/b starts again]",
        "A log.",
    ]
    assert stderr == CONFIRMED


async def test_an_answer_that_was_not_accepted_is_void_unless_it_is_the_best_there_is(topics):
    weak = await topics.start("r")
    await weak.say("Perhaps.", "done")
    strong = await topics.start("r", 1)
    await strong.say("I can't say.", "done")
    await weak.win()
    stdout, stderr = await one(topics, "r")
    assert stdout.splitlines() == [
        "Perhaps.",
        "[attempt 2: the text above is void, it was not accepted; T1 together/b starts again]",
        "I can't say.",
        "[the answer is another one:]",
        "Perhaps.",
    ]
    assert stderr.startswith("ok: T1 groq/a,")


async def test_text_without_an_answer_is_void(topics):
    call = await topics.start("r")
    await call.say("Kaf")
    await topics.no_answer("r")
    stdout, stderr = await one(topics, "r")
    assert stdout.splitlines() == ["Kaf", "[there is no answer: the text above is void]"]
    assert stderr == "expired: $0.000012, 321 ms - deadline: too late"


async def test_control_characters_do_not_reach_the_terminal(topics):
    call = await topics.start("r", 1)
    await call.say("a\x1b[2Jb\tc", "done")
    await call.win()
    assert (await one(topics, "r"))[0] == "a[2Jb\tc\n"


async def test_text_grows_as_it_arrives(topics):
    process = await topics.open("results", "--request", "r", "--stream")
    try:
        call = await topics.start("r", 1)
        for piece in ("Kafka", " is", " a\nlog"):
            await call.say(piece)
            assert await asyncio.wait_for(process.stdout.readexactly(len(piece)), 60) == piece.encode()
        await call.say("", "done")
        await call.win()
        stdout, stderr = await process.communicate()
        assert (stdout, stderr.decode().strip(), process.returncode) == (b"\n", CONFIRMED, 0)
    finally:
        await stop(process)


@pytest.mark.parametrize("which", [("--follow", "--since", "1h"), ("--request", "r")])
async def test_ctrl_c_ends_cleanly(topics, which):
    call = await topics.start("r")
    await call.say("Kafka\nis")
    process = await topics.open("results", *which, "--stream")
    try:
        assert b"Kafka" in await asyncio.wait_for(process.stdout.readline(), 60)
        process.send_signal(signal.SIGINT)
        stdout, stderr = await process.communicate()
        # What was held back for a whole line is shown, and the prompt does not stand behind it.
        assert stdout.endswith(b"is\n")
        assert (stderr, process.returncode) == (b"", 130)
    finally:
        await stop(process)


async def stop(process):
    if process.returncode is None:
        process.kill()
        await process.wait()


async def tell_two_stories(topics):
    first, second = await topics.start("first"), await topics.start("second-of-two-long-names", 1)
    await first.say("one\ntw")
    await second.say("eins\nzw")
    await first.say("o")
    await second.say("ei\n", "done")
    await first.say("", "done")
    await second.win()
    await first.win()
    await topics.publish(RESULTS, result_of("plain", content="not streamed"))


async def test_several_streams_stay_readable(topics):
    await tell_two_stories(topics)
    done = await topics.cli("results", "--follow", "--since", "1h", "--stream", "--limit", "3")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    told = {name: [line[19:] for line in lines if line.startswith(name)] for name in ("first ", "second-o…ng-names ")}
    assert told["first "][:2] == ["one", "two"]
    assert told["second-o…ng-names "] == ["eins", "zwei", f"[{CONFIRMED}]"]
    assert told["first "][2].startswith("[ok: T1 groq/a,")
    [plain] = [line for line in lines if line.startswith("plain ")]
    assert plain.endswith("not streamed")
    assert len(lines) == 7


async def test_json_has_a_line_for_each_chunk_and_each_result(topics):
    await tell_two_stories(topics)
    done = await topics.cli("results", "--follow", "--since", "1h", "--stream", "--limit", "3", "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    chunks = [record for record in records if "seq" in record]
    results = [record for record in records if "status" in record]
    assert (len(chunks), len(results), len(records)) == (5, 3, 8)
    for result in results:
        text = "".join(chunk["text"] for chunk in chunks if chunk["request_id"] == result["request_id"])
        assert text == (result["content"] if result["request_id"] != "plain" else "")


async def test_a_request_without_a_sign_is_given_up(topics):
    done = await topics.cli("results", "--request", "nobody", "--stream", "--timeout", "0")
    assert done.exit_code == 1
    assert "no result of nobody within 0 s" in done.stderr
    silent = await topics.cli("send", "--wait", "--stream", "--timeout", "0.1", "--id", "nobody", "Hello")
    assert silent.exit_code == 1
    assert "no result within 0.1 s: nobody" in silent.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("results", "--stream"), "--stream goes with --follow or --request"),
        (("results", "--stream", "--since", "1h"), "--stream goes with --follow or --request"),
        (("send", "--stream", "--input", "-"), "--input goes with"),
    ],
)
async def test_options_that_do_not_go_together(topics, words, problem):
    done = await topics.cli(*words)
    assert done.exit_code == 2
    assert problem in " ".join(done.output.replace("│", " ").split())


async def test_send_shows_the_answer_of_real_stages(deployment):
    await deployment.start_worker()
    words = ["--config", str(deployment.config), "send", "--wait", "--stream", "--min-tier", "1", "What is Kafka?"]
    for given in (["--id", "r"], ["--id", "r"], []):
        done = await asyncio.to_thread(CliRunner().invoke, app, [*words, *given])
        assert done.exit_code == 0, done.output
        assert "first token" in done.stderr
    whole = await asyncio.to_thread(CliRunner().invoke, app, [*words[:2], "results", "--request", "r"])
    assert whole.stdout == done.stdout


def test_a_terminal_gets_lines_that_fit(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "49")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    page = NamedPage()
    page.write("r", "A line that has to be broken where ")
    page.write("r", "the window ends, and" + "x" * 40)
    page.note("r", "[note]")
    lines = [line[19:] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["A line that has to be broken", "where the window ends,", "and" + "x" * 27, "x" * 13, "[note]"]

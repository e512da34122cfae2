"""Streams of the door while a door, a worker or the broker dies: each client goes on where it was, and pays once.

`TIERSTREAM_DOOR_STREAMS` says how many streams there are at once, and `TIERSTREAM_DOOR_STREAM_S` how long each is.
"""

import asyncio
import os
import time
from collections import Counter
from contextlib import asynccontextmanager
from itertools import count, islice

import httpx
import pytest
from support.door_clients import StreamClient
from support.embedded_kafka import running_kafka
from support.supervised import Supervised

from tierstream.simulator import chat
from tierstream.simulator.answers import ScriptEntry
from tierstream.simulator.filler import generic_text
from tierstream.simulator.server import running_simulator
from tierstream.simulator.tokens import count_tokens
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify

STREAMS = int(os.environ.get("TIERSTREAM_DOOR_STREAMS", "20"))
STREAM_S = float(os.environ.get("TIERSTREAM_DOOR_STREAM_S", "8"))
TOKENS, PIECES = 120, 60
VICTIMS = (("door-1",), ("worker",), ("broker",), ("door-1", "worker", "broker"))
TIMEOUT_S = 3 * STREAM_S + 20
CONFIG = f"""
[serve]
heartbeat_s = 1
timeout_s = {3 * TIMEOUT_S}

[[tiers]]
name = "one"
models = [
    {{ provider = "groq", model = "openai/gpt-oss-20b", timeout_s = {TIMEOUT_S} }},
    {{ provider = "together", model = "openai/gpt-oss-120b", timeout_s = {TIMEOUT_S} }},
]

[[tiers]]
name = "two"
models = [{{ provider = "openai", model = "gpt-6-luna", timeout_s = {TIMEOUT_S} }}]
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(20 * STREAM_S + 300)]


@pytest.fixture
async def kafka(tmp_path):
    """A broker of the test's own, which it may kill."""
    async with running_kafka(tmp_path / "broker") as running:
        yield running


@pytest.fixture
async def simulator(monkeypatch):
    """Answers in many pieces, as models write them."""
    monkeypatch.setattr(chat, "MAX_PIECES", PIECES)
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=300, tokens_per_second=TOKENS / STREAM_S, jitter=0, reasoning_share=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


def questions(number):
    """Questions whose answers take about as long as each other."""
    asked = (f"What is there to say about subject {n}?" for n in count())
    return list(islice((one for one in asked if 0.9 < count_tokens(generic_text(one)) / TOKENS < 1.1), number))


async def assert_whole(deployment, simulator, clients):
    """Each client was shown the one answer of its key, event by event, and only what was on the wire is paid again.

    Returns how many calls are.
    """
    results = await deployment.settled({client.key for client in clients})
    for client in clients:
        result = results[client.key]
        assert (result.status, client.end["status"]) == ("ok", "completed")
        assert client.text == result.content == generic_text(client.body["input"])
        assert client.numbers == list(range(len(client.events)))
        assert client.end["output"][0]["content"][0]["text"] == result.content
    journal, served = await deployment.journal(), {call["call_id"] for call in simulator.calls}
    journal.assert_paid_once(served)
    paid = Counter(record.attempt_id for call, record in journal.started.items() if str(call) in served)
    again = sum(paid.values()) - len(results)
    assert again <= len(journal.on_the_wire)
    verification = await verify(deployment.settings, VerifyOptions(served_url=simulator.url), lambda *_: None)
    assert verification.findings.ok, verification.findings.as_json()
    assert not verification.findings.counts[Check.PENDING]
    return again


@asynccontextmanager
async def running(deployment):
    """Run a worker and two doors; yields what keeps them running, the URLs of the doors, and what asks them."""
    async with Supervised(deployment) as processes, httpx.AsyncClient(timeout=20, limits=httpx.Limits()) as http:
        _, *doors = await asyncio.gather(processes.worker(), processes.door("door-1"), processes.door("door-2"))
        yield processes, doors, http


@pytest.mark.parametrize("victims", VICTIMS, ids="-".join)
async def test_streams_go_on_whatever_dies(deployment, kafka, simulator, victims):
    async with running(deployment) as (processes, doors, http):
        clients = [
            StreamClient(http, doors, {"model": "tier-1", "input": question}, f"stream-{n}")
            for n, question in enumerate(questions(STREAMS))
        ]
        began = time.monotonic()
        async with asyncio.TaskGroup() as streaming:
            for client in clients[::2]:
                streaming.create_task(client.run())
            await asyncio.gather(*(client.begun.wait() for client in clients[::2]))
            # The other half has had no event yet, or has not even asked.
            for client in clients[1::2]:
                streaming.create_task(client.run())
            for victim in victims:
                if victim == "broker":
                    kafka.kill()
                else:
                    await processes.kill(victim)
            await kafka.start()
        took_s = time.monotonic() - began
        again = await assert_whole(deployment, simulator, clients)
    if victims == ("door-1",):
        assert not again
    if "broker" not in victims:
        # What is written while there is no broker comes as one piece.
        assert min(len(client.pieces) for client in clients) > PIECES / 2
    resumed = sum(bool(client.resumed) for client in clients)
    asked_again = sum(client.posts > 1 for client in clients)
    assert (resumed > 0) == ("door-1" in victims)
    print(f"{' and '.join(victims)}: {STREAMS} streams of {STREAM_S:g} s ended after {took_s:.1f} s; ", end="")  # noqa: T201
    print(f"{resumed} taken up, {asked_again} asked again, {again} calls paid again")  # noqa: T201


async def test_a_repeat_in_the_middle_is_shown_what_came_before_and_taken_up_like_any_other(deployment, simulator):
    [question] = questions(1)
    asked = {"model": "tier-1", "input": question}
    async with running(deployment) as (_, (door, other), http):
        first, repeat = (StreamClient(http, [url], asked, "the-key") for url in (door, other))
        asking = asyncio.create_task(first.run())
        await first.begun.wait()
        await repeat.run()
        await asking
        await assert_whole(deployment, simulator, [first, repeat])
        assert len(repeat.pieces) > PIECES / 2
        for known in (1, 6, len(repeat.events) - 2):
            again = StreamClient(http, [door], asked, "the-key")
            again.events = repeat.events[:known]
            await again.run()
            assert [(event["type"], event.get("delta")) for event in again.events] == [
                (event["type"], event.get("delta")) for event in repeat.events
            ]
            assert again.numbers == repeat.numbers
    assert len(simulator.calls) == 1


async def test_who_is_shown_what_another_model_does_not_say_gets_the_result_under_the_same_key(deployment, simulator):
    said = {"openai/gpt-oss-20b": generic_text("one"), "openai/gpt-oss-120b": generic_text("another")}
    simulator.script.add(ScriptEntry("Which one?", label=1, answer="", answers=said))
    simulator.set_behaviour(tokens_per_second=200)
    simulator.set_behaviour("groq", rate_cut=1.0)
    asked = {"model": "tier-1", "input": "Which one?"}
    async with running(deployment) as (_, doors, http):
        client, repeat = (StreamClient(http, doors, asked, "the-key") for _ in range(2))
        await client.run()
        assert client.end["status"] == "failed"
        assert "same Idempotency-Key" in client.end["error"]["message"]
        assert said["openai/gpt-oss-20b"].startswith(client.text)
        assert client.numbers == list(range(len(client.events)))
        await repeat.run()
        [result] = (await deployment.settled(["the-key"])).values()
    assert (repeat.text, repeat.end["status"]) == (said["openai/gpt-oss-120b"], "completed")
    assert result.content == repeat.text
    assert len(simulator.calls) == 2

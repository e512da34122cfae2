"""Streams of the door while a door, a worker or the broker dies: each client goes on where it was, and pays once.

`TIERSTREAM_DOOR_STREAMS` says how many streams there are at once, and `TIERSTREAM_DOOR_STREAM_S` how long each is.
"""

import asyncio
import os
import time
from collections import Counter
from itertools import count, islice

import httpx
import pytest
from support.door_clients import StreamClient
from support.embedded_kafka import running_kafka
from support.supervised import Supervised

from tierstream.simulator.filler import generic_text
from tierstream.simulator.server import running_simulator
from tierstream.simulator.tokens import count_tokens
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify

STREAMS = int(os.environ.get("TIERSTREAM_DOOR_STREAMS", "20"))
STREAM_S = float(os.environ.get("TIERSTREAM_DOOR_STREAM_S", "8"))
TOKENS = 120
TIMEOUT_S = 3 * STREAM_S + 20
CONFIG = f"""
[serve]
heartbeat_s = 1
timeout_s = {3 * TIMEOUT_S}

[[tiers]]
name = "one"
models = [{{ provider = "groq", model = "openai/gpt-oss-20b", timeout_s = {TIMEOUT_S} }}]

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
async def simulator():
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


async def assert_whole(deployment, simulator, clients, *, paid_again):
    """Every client was shown the one answer of its key, event by event, and each answer was paid for once."""
    results = await deployment.settled([client.key for client in clients])
    for client in clients:
        result = results[client.key]
        assert (result.status, client.end["status"]) == ("ok", "completed")
        assert client.text == result.content == generic_text(client.body["input"])
        assert client.numbers == list(range(len(client.events)))
        assert client.end["output"][0]["content"][0]["text"] == result.content
    journal, served = await deployment.journal(), {call["call_id"] for call in simulator.calls}
    journal.assert_paid_once(served)
    paid = Counter(record.attempt_id for call, record in journal.started.items() if str(call) in served)
    again = sum(paid.values()) - len(clients)
    assert again <= paid_again
    verification = await verify(deployment.settings, VerifyOptions(served_url=simulator.url), lambda *_: None)
    assert verification.findings.ok, verification.findings.as_json()
    assert not verification.findings.counts[Check.PENDING]
    return again


@pytest.mark.parametrize("victim", ["door", "worker", "broker"])
async def test_streams_go_on_when_something_dies(deployment, kafka, simulator, victim):
    async with Supervised(deployment) as processes, httpx.AsyncClient(timeout=20, limits=httpx.Limits()) as http:
        worker, *doors = await asyncio.gather(processes.worker(), processes.door("door-1"), processes.door("door-2"))
        clients = [
            StreamClient(http, doors, {"model": "tier-1", "input": question}, f"stream-{n}")
            for n, question in enumerate(questions(STREAMS))
        ]
        began = time.monotonic()
        async with asyncio.TaskGroup() as running:
            for client in clients[::2]:
                running.create_task(client.run())
            await asyncio.gather(*(client.begun.wait() for client in clients[::2]))
            # The other half has had no event yet, or is not even asked.
            for client in clients[1::2]:
                running.create_task(client.run())
            match victim:
                case "door":
                    processes.kill("door-1")
                case "worker":
                    processes.kill(worker)
                case "broker":
                    kafka.kill()
                    await kafka.start()
        took_s = time.monotonic() - began
        again = await assert_whole(
            deployment, simulator, clients, paid_again={"door": 0, "worker": STREAMS, "broker": STREAMS}[victim]
        )
    resumed = sum(bool(client.resumed) for client in clients)
    asked_again = sum(client.posts > 1 for client in clients)
    assert resumed if victim == "door" else not resumed + asked_again
    print(f"{victim}: {STREAMS} streams of {STREAM_S:g} s ended after {took_s:.1f} s; ", end="")  # noqa: T201
    print(f"{resumed} taken up, {asked_again} asked again, {again} calls paid again")  # noqa: T201

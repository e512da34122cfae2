"""Requests that two clients send at once under one key while doors die: each key has one answer, and one bill.

`TIERSTREAM_DOOR_POSTS` says how many requests there are in all; three in ten are repeats.
"""

import asyncio
import os
import time
from collections import Counter

import httpx
import pytest
from support.door_clients import answer_of
from support.supervised import Supervised

from tierstream.simulator.filler import generic_text
from tierstream.simulator.server import running_simulator
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify
from topics.registry import REQUESTS

POSTS = int(os.environ.get("TIERSTREAM_DOOR_POSTS", "100"))
REPEATED = POSTS * 3 // 10
KEYS = POSTS - REPEATED
KILLS = 3
AT_ONCE = 40
"""Clients that wait at a time, so that there are some to come at each kill."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(POSTS + 200)]


@pytest.fixture
async def simulator():
    """Calls that take some time, so that a kill meets many who wait."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=400, tokens_per_second=100, jitter=0.3, reasoning_share=0, judge_error_rate=0)
        yield running


def body(number):
    """Of a key: every third one streams."""
    content = f"What is there to say about subject {number}?"
    return {"model": "tier-1", "stream": not number % 3, "messages": [{"role": "user", "content": content}]}


async def test_a_key_has_one_answer_and_one_bill_whatever_dies(deployment, simulator):
    # A repeat begins its doors at the other end, and is sent right behind its first.
    posts = [(n, n % 2 == turn) for n in range(KEYS) for turn in range(2 if n < REPEATED else 1)]
    places, answers = asyncio.Semaphore(AT_ONCE), []
    async with (
        Supervised(deployment) as processes,
        httpx.AsyncClient(timeout=60, limits=httpx.Limits()) as http,
    ):
        _, *doors = await asyncio.gather(processes.worker(), processes.door("door-1"), processes.door("door-2"))

        async def ask(number, *, is_turned):
            async with places:
                order = doors[::-1] if is_turned else doors
                answers.append((number, await answer_of(http, order, body(number), f"key-{number}")))

        began = time.monotonic()
        async with asyncio.TaskGroup() as asking:
            for number, is_turned in posts:
                asking.create_task(ask(number, is_turned=is_turned))
            for kill in range(1, KILLS + 1):
                await simulator.served(KEYS * kill // (KILLS + 1))
                await processes.kill("door-1")
        took_s = time.monotonic() - began
        results = await deployment.settled([f"key-{number}" for number in range(KEYS)])
        verification = await verify(deployment.settings, VerifyOptions(served_url=simulator.url), lambda *_: None)
    assert Counter(number for number, _ in answers) == Counter(number for number, _ in posts)
    for number, answer in answers:
        assert answer == results[f"key-{number}"].content == generic_text(body(number)["messages"][0]["content"])
    # No worker was killed: not even what was on the wire is paid for again.
    assert len(simulator.calls) == KEYS
    (await deployment.journal()).assert_paid_once({call["call_id"] for call in simulator.calls})
    assert verification.findings.ok, verification.findings.as_json()
    assert not verification.findings.counts[Check.PENDING]
    sent = len(await deployment.read(REQUESTS))
    print(f"{POSTS} requests under {KEYS} keys, {sent} on Kafka with those asked again: ", end="")  # noqa: T201
    print(f"{len(results)} results, {len(simulator.calls)} calls, {took_s:.1f} s")  # noqa: T201

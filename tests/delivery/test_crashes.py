"""Processes that die, stall or leave under load, and a broker that does: each result once, and no call paid twice."""

import asyncio
import json
import os
import signal
from collections import Counter

import pytest
from support.deployment import Deployment
from support.embedded_kafka import running_kafka
from support.supervised import Supervised

from streams.config.settings import Settings
from tierstream.simulator.server import running_simulator
from topics.requests import Request

CONCURRENCY = {"groq": 16, "together": 4, "openai": 4, "anthropic": 4}
ON_THE_WIRE = sum(CONCURRENCY.values())
"""The most calls that one process can have on the wire."""
CONFIG = "\n".join(f"[providers.{name}]\nmax_concurrency = {most}" for name, most in CONCURRENCY.items())


@pytest.fixture
async def simulator():
    """Calls that take some time, so that a crash meets many of them on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=100, tokens_per_second=100_000, jitter=0.5, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    # The default commit interval leaves more finished work uncommitted for a crash to deliver again.
    options = {"session_timeout_s": 4, "commit_interval_s": Settings.model_fields["kafka"].default.commit_interval_s}
    return {"kafka": options, "config": CONFIG}


def traffic(simulator, numbers):
    """Requests of which a few are judged and a few escalate."""
    requests, script = [], []
    for n in numbers:
        prompt = f"What is number {n}?"
        context = {"business_impact": "critical"} if n % 10 == 0 else {"self_validating": True}
        if n % 10 == 1:
            script.append({"prompt": prompt, "label": 2, "answer": f"It is {n}.", "failure": "hedge"})
        fields = {"request_id": f"r{n}", "messages": [{"role": "user", "content": prompt}]}
        requests.append(Request.model_validate({**fields, "context": context, "service_class": "bulk"}))
    simulator.script.add_lines("\n".join(json.dumps(entry) for entry in script), "test")
    return requests


def ids(requests):
    return [request.request_id for request in requests]


async def assert_accounts_agree(deployment, simulator, *, may_be_lost):
    """What the provider served is what the journal says, but for the calls that a dead process had on the wire."""
    journal = await deployment.journal()
    served = Counter(call["call_id"] for call in simulator.calls)
    journal.assert_paid_once(served)
    assert set(served.values()) == {1}
    assert served.keys() <= {str(call) for call in journal.started}
    unrecorded = served.keys() - {str(call) for call in journal.ended}
    assert unrecorded <= journal.on_the_wire
    assert len(unrecorded) <= may_be_lost
    # A call may also end in our own process: for want of a slot, or of time.
    assert {str(call) for call, ended in journal.ended.items() if ended.error is None} <= served.keys()
    # Only what was on the wire when a process died or stalled was paid again.
    paid = Counter(record.attempt_id for call, record in journal.started.items() if str(call) in served)
    assert sum(count - 1 for count in paid.values()) <= may_be_lost
    return journal


async def test_a_killed_worker_loses_nothing_and_pays_for_nothing_twice(deployment, simulator):
    requests = traffic(simulator, range(300))
    worker = await deployment.start_worker()
    await deployment.send(requests)
    await simulator.served(100)
    deployment.unwatch(worker).kill()
    await deployment.start_worker()
    found = await deployment.settled(ids(requests))
    assert {result.status for result in found.values()} == {"ok"}
    journal = await assert_accounts_agree(deployment, simulator, may_be_lost=ON_THE_WIRE)
    assert journal.on_the_wire


@pytest.mark.slow
async def test_a_worker_that_stalls_does_not_pay_for_work_that_it_no_longer_owns(deployment, simulator):
    killed, stalled = await asyncio.gather(deployment.start_worker(), deployment.start_worker())
    first = traffic(simulator, range(100))
    await deployment.send(first)
    await simulator.served(40)
    deployment.unwatch(killed).kill()
    await deployment.start_worker()

    second = traffic(simulator, range(100, 300))
    await deployment.send(second)
    await simulator.served(len(simulator.calls) + 50)
    os.kill(deployment.unwatch(stalled).pid, signal.SIGSTOP)
    old = ids(first + second)
    # The other worker has to be given the stalled one's partitions for that.
    await deployment.settled(old)
    before = await deployment.journal()

    os.kill(stalled.pid, signal.SIGCONT)
    while await deployment.members("infer:1") < 2 and stalled.exit_code is None:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.1)
    third = traffic(simulator, range(300, 350))
    await deployment.send(third)
    await deployment.settled(old + ids(third))
    after = await assert_accounts_agree(deployment, simulator, may_be_lost=2 * ON_THE_WIRE)
    served = {call["call_id"] for call in simulator.calls}
    late = {call for call in after.started.keys() - before.started.keys() if str(call) in served}
    assert {after.started[call].request_id for call in late} == set(ids(third))


@pytest.mark.slow
async def test_a_worker_that_is_asked_to_stop_finishes_what_it_has_begun(deployment, simulator):
    requests = traffic(simulator, range(300))
    leaving, _ = await asyncio.gather(deployment.start_worker(), deployment.start_worker())
    await deployment.send(requests)
    await simulator.served(60)
    os.kill(deployment.unwatch(leaving).pid, signal.SIGTERM)
    assert await leaving.wait() == 0
    await deployment.settled(ids(requests))
    journal = await assert_accounts_agree(deployment, simulator, may_be_lost=0)
    assert not journal.on_the_wire


@pytest.mark.slow
async def test_a_killed_broker_loses_nothing(simulator, tmp_path):
    async with running_kafka(tmp_path / "broker") as kafka:
        made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, config=CONFIG)
        async with made.running(), Supervised(made) as processes:
            await processes.worker()
            requests = traffic(simulator, range(200))
            await made.send(requests)
            await simulator.served(60)
            kafka.kill()
            await kafka.start()
            await made.settled(ids(requests))
            (await made.journal()).assert_paid_once({call["call_id"] for call in simulator.calls})

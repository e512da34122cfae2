"""Votes on requests while processes die, stall and meet copies: one decision for each request, paid for once."""

import asyncio
import json
import os
import signal
from collections import defaultdict
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from support.deployment import Deployment

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from analytics.reports.ledger import ledger as ledger_report
from tierstream.simulator.server import running_simulator
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify
from topics.codec import encode
from topics.journal import CallEnded, CallStarted, Purpose
from topics.registry import CALLS, REQUESTS, tier_tasks
from topics.requests import Request

AFTERWARDS = ("infer", "validate", "escalate", "parked", "settle")
"""The stages that take over what was classified; they run on while classify dies and stalls."""
SLOW_MS = 300
"""So long that a fault meets many calls on the wire."""
LLM = """
[routing]
classifier = "llm"
rules = []
[routing.llm]
budget_ms = {budget_ms}
"""


@pytest.fixture
async def simulator():
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(
            ttft_ms=20, classify_ttft_ms=SLOW_MS, tokens_per_second=100_000, jitter=0.3, judge_error_rate=0
        )
        yield running


@pytest.fixture
def deployed(kafka, simulator, tmp_path):
    """Make a deployment that asks a language model about every request."""

    @asynccontextmanager
    async def deployed(*, budget_ms=5_000, more=""):
        config = LLM.format(budget_ms=budget_ms) + more
        options = {"session_timeout_s": 3}
        made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, kafka=options, config=config)
        async with made.running():
            yield made

    return deployed


def traffic(simulator, numbers, **fields):
    """Requests that look plain, half of which are not: what the local classifier thinks of them is another tier."""
    requests, script = [], []
    for n in numbers:
        prompt = f"What is number {n}?"
        script.append({"prompt": prompt, "label": 1 + n % 2, "answer": f"It is {n}."})
        made = {"request_id": f"r{n}", "messages": [{"role": "user", "content": prompt}]}
        requests.append(Request.model_validate(made | fields))
    simulator.script.add_lines("\n".join(map(json.dumps, script)), "test")
    return requests


def ids(requests):
    return [request.request_id for request in requests]


async def classifications(deployment):
    return [call for call in await deployment.read(CALLS) if call.purpose is Purpose.CLASSIFY]


async def classified(deployment, count):
    """Wait until that many classifications have ended."""
    while sum(isinstance(call, CallEnded) for call in await classifications(deployment)) < count:
        deployment.check()
        await asyncio.sleep(0.05)


async def on_the_wire(deployment, count):
    """Wait until that many classifications have started and not ended."""
    while True:
        calls = await classifications(deployment)
        started = {call.attempt_id for call in calls if isinstance(call, CallStarted)}
        if len(started - {call.attempt_id for call in calls if isinstance(call, CallEnded)}) >= count:
            return
        deployment.check()
        await asyncio.sleep(0.05)


async def assert_decided_once(deployment, simulator, requests):
    """Each request has one decision, which is what the first end in the journal says, and one paid call at most."""
    by_attempt = defaultdict(list)
    for call in await classifications(deployment):
        by_attempt[call.request_id, call.revision].append(call)
    decisions = defaultdict(set)
    for tier in range(1, deployment.settings.top_tier + 1):
        for task in await deployment.read(tier_tasks(tier)):
            decision, asked = task.decision, [(line.outcome, line.cost_usd) for line in task.attempts[:1]]
            decisions[task.request.request_id].add((decision.tier, decision.classifier, *asked))
    assert {request_id for request_id, _ in by_attempt} == set(ids(requests)) <= decisions.keys()
    for (request_id, _), calls in by_attempt.items():
        ends = [call for call in calls if isinstance(call, CallEnded)]
        [(_, classifier, asked)] = decisions[request_id]
        assert asked == (ends[0].error.kind if ends[0].error else "ok", ends[0].cost_usd)
        assert ("classify/1" in classifier) == (ends[0].error is None)
        # Only who started first may have called.
        assert {end.call_id for end in ends if end.has_left} <= {calls[0].call_id}
    verdict = await verify(deployment.settings, VerifyOptions(served_url=simulator.url), lambda *_: None)
    assert verdict.findings.ok, verdict.as_json()
    assert verdict.findings.counts[Check.UNRECORDED] == 0
    return [call for calls in by_attempt.values() for call in calls]


@pytest.mark.slow
async def test_killed_workers_ask_nobody_twice_and_the_books_agree(deployed, simulator, clickhouse_url):
    requests = traffic(simulator, range(150))
    async with deployed() as deployment:
        worker, _ = await asyncio.gather(deployment.start_worker("classify"), deployment.start_worker(*AFTERWARDS))
        await deployment.send(requests[:100])
        for done, more in ((20, requests[100:125]), (60, requests[125:])):
            await classified(deployment, done)
            await deployment.send(more)
            await on_the_wire(deployment, 3)
            deployment.unwatch(worker).kill()
            worker = await deployment.start_worker("classify")
        found = await deployment.settled(ids(requests))
        assert {result.status for result in found.values()} == {"ok"}
        calls = await assert_decided_once(deployment, simulator, requests)
        assert any(isinstance(call, CallEnded) and call.content for call in calls)
        assert any(isinstance(call, CallEnded) and not call.has_left for call in calls)
        await assert_the_ledger_agrees(deployment, simulator, clickhouse_url, found)


async def assert_the_ledger_agrees(deployment, simulator, clickhouse_url, found):
    await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url)
    clickhouse = deployment.settings.clickhouse.model_copy(update={"url": clickhouse_url})
    settings = deployment.settings.model_copy(update={"clickhouse": clickhouse})
    options = VerifyOptions(served_url=simulator.url, wait_s=60)
    verdict = await verify(settings, options, lambda *_: None)
    assert verdict.findings.ok, verdict.as_json()
    async with open_client(clickhouse_url) as client:
        report = await ledger_report(LedgerWindow(client, clickhouse.database))
    assert (report.money.unexplained_usd, report.money.unsettled_cost_usd) == (0, 0)
    assert report.money.results_cost_usd == sum(result.cost_usd for result in found.values())
    of_votes = [group for group in report.calls if group.purpose == "classify"]
    assert {"ok", "error"} <= {group.outcome for group in of_votes}
    routed = sum(line.cost_usd for result in found.values() for line in result.route if line.stage == "classify")
    assert sum(group.cost_usd for group in of_votes) >= routed > 0


async def send_copies(deployment, requests):
    """Send each request to every partition, as if under other keys, so that each worker has a copy."""
    topic = REQUESTS.full_name(deployment.kafka.prefix)
    async with AIOKafkaProducer(bootstrap_servers=deployment.kafka.bootstrap_servers) as producer:
        for request in requests:
            made = encode(request)
            for partition in deployment.partitions:
                await producer.send(topic, made.value, partition=partition, headers=made.headers)


@pytest.mark.slow
async def test_copies_in_two_workers_are_decided_alike_even_if_one_stalls_while_it_asks(deployed, simulator):
    first, second = traffic(simulator, range(80)), traffic(simulator, range(80, 100))
    async with deployed() as deployment:
        stalled, _, _ = await asyncio.gather(
            deployment.start_worker("classify"),
            deployment.start_worker("classify"),
            deployment.start_worker(*AFTERWARDS),
        )
        simulator.set_behaviour(classify_ttft_ms=2_500)
        await send_copies(deployment, first)
        await on_the_wire(deployment, 20)
        os.kill(deployment.unwatch(stalled).pid, signal.SIGSTOP)
        simulator.set_behaviour(classify_ttft_ms=SLOW_MS)
        # The other worker has to be given the stalled one's partitions for that.
        await deployment.settled(ids(first))
        os.kill(stalled.pid, signal.SIGCONT)
        while await deployment.members("classify") < 2 and stalled.exit_code is None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.1)
        await send_copies(deployment, second)
        await deployment.settled(ids(first + second))
        await assert_decided_once(deployment, simulator, first + second)


@pytest.mark.slow
async def test_without_a_vote_the_local_classifier_decides(deployed, simulator):
    open_ = traffic(simulator, range(20))
    closed = traffic(simulator, range(20, 40), context={"data_class": "restricted"})
    late, failing = traffic(simulator, range(40, 60)), traffic(simulator, range(60, 80))
    async with deployed(budget_ms=3_000) as deployment:
        await deployment.start_worker()

        async def routes(requests):
            await deployment.send(requests)
            found = await deployment.settled(ids(requests))
            assert {result.status for result in found.values()} == {"ok"}
            return {request_id: result.route for request_id, result in found.items()}

        of_all = await routes([request for pair in zip(open_, closed, strict=True) for request in pair])
        await assert_only_seen_by_whom_it_may_be(deployment, simulator, open_, closed)
        assert all(of_all[request_id][0].outcome == "ok" for request_id in ids(open_))

        simulator.set_behaviour(classify_ttft_ms=30_000)
        of_late = await routes(late)
        assert {"timeout"} <= {route[0].outcome for route in of_late.values()} <= {"timeout", "unavailable"}
        # The same model answers users as before.
        assert {route[1].provider for route in of_late.values() if route[1].tier == 1} == {"groq"}

        simulator.set_behaviour("groq", rate_500=1)
        of_failing = await routes(failing)
        assert {route[0].outcome for route in of_failing.values()} <= {"server_error", "timeout", "unavailable"}
        await assert_decided_once(deployment, simulator, open_ + late + failing)


async def assert_only_seen_by_whom_it_may_be(deployment, simulator, open_, closed):
    journal = await deployment.read(CALLS)
    assert {call.request_id for call in journal if call.purpose is Purpose.CLASSIFY} == set(ids(open_))
    of_closed = {str(call.call_id) for call in journal if call.request_id in ids(closed)}
    assert {call["provider"] for call in simulator.calls if call["call_id"] in of_closed} == {"anthropic"}
    # Nobody else's question went along with those that the journal names.
    classifications = {str(call.call_id): call for call in journal if isinstance(call, CallEnded)}
    served = [classifications[call["call_id"]] for call in simulator.calls]
    assert sum(call.shares for call in served if call.purpose is Purpose.CLASSIFY) == len(open_)

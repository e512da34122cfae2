"""Candidates on a real broker: a shadow that changes no result and is paid for once, and a canary that is stopped."""

import asyncio
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from support.deployment import Deployment
from typer.testing import CliRunner

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from tierstream.cli import app
from tierstream.operations.shadow_report import shadows_report
from tierstream.simulator.server import RunningSimulator, running_simulator
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify
from topics.events import Hop
from topics.journal import CallEnded, CallStarted, Purpose
from topics.registry import CALLS, HOPS, RESULTS
from topics.requests import Request

INCUMBENT, CANDIDATE = "openai/gpt-oss-20b", "gpt-6-luna"
CONFIG = f"""
[[shadow]]
name = "luna"
tier = 1
model = {{ provider = "openai", model = "{CANDIDATE}" }}
share = 1
budget_usd_per_day = 1000000000
judges = [{{ provider = "anthropic", model = "claude-haiku-5-5" }}]

[[canary]]
name = "luna"
tier = 2
model = {{ provider = "openai", model = "gpt-6.1-terra" }}
share = 0.999999
"""
KINDS = ("faq", "code", "summary")
"""The candidate is better on the first, worse on the second, and gives the same answer on the third."""


@pytest.fixture
async def simulator():
    """Calls that take some time, so that a crash meets some of them on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=100, tokens_per_second=100_000, jitter=0.5, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


def traffic(simulator: RunningSimulator, count: int) -> list[Request]:
    """Requests for the first tier; whose answer there is right, and whose is wrong, goes by their kind."""
    requests, script = [], []
    for n in range(count):
        kind, prompt = KINDS[n % len(KINDS)], f"What is number {n}?"
        given = {"faq": ("Nothing.", "It is."), "code": ("It is.", "Nothing."), "summary": ("It is.", "It is.")}[kind]
        answers = dict(zip((INCUMBENT, CANDIDATE), (f"{text} {n}" for text in given), strict=True))
        script.append({"prompt": prompt, "label": 1, "answer": f"It is. {n}", "answers": answers})
        fields = {"request_id": f"r{n}", "messages": [{"role": "user", "content": prompt}], "query_type": kind}
        requests.append(Request.model_validate({**fields, **CHEAP}))
    simulator.script.add_lines("\n".join(json.dumps(entry) for entry in script), "test")
    return requests


CHEAP = {"context": {"self_validating": True}, "service_class": "bulk"}
"""What the rules send to the first tier, whatever the classifier thinks."""


async def shadow_hops(deployment: Deployment) -> dict[str, list[Hop]]:
    found: dict[str, list[Hop]] = {}
    for record in await deployment.read(HOPS):
        found.setdefault(record.request_id, []).extend(hop for hop in record.hops if hop.stage == "shadow")
    return found


@pytest.mark.slow
async def test_a_shadow_changes_no_result_and_a_killed_worker_pays_for_none_twice(
    deployment, simulator, clickhouse_url
):
    requests = traffic(simulator, 60)
    expected = {request.request_id: simulator.script.find(request.question).answers for request in requests}
    await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url)
    worker = await deployment.start_worker()
    await deployment.send(requests)
    while (begun := await shadow_calls(deployment)) < 20:
        deployment.check()
    deployment.unwatch(worker).kill()
    await deployment.start_worker()
    results = await deployment.settled([request.request_id for request in requests])
    assert begun < await shadow_calls(deployment)

    for name, result in results.items():
        assert (result.status, result.content, result.model) == ("ok", expected[name][INCUMBENT], INCUMBENT)
        assert [line.stage for line in result.route] == ["infer:1"]
        assert result.cost_usd == result.route[0].cost_usd
    told = {
        name: {hop.outcome for hop in hops} - {"compared"} for name, hops in (await shadow_hops(deployment)).items()
    }
    wanted = dict(zip(KINDS, ("win", "loss", "tie"), strict=True))
    assert told == {request.request_id: {wanted[request.query_type]} for request in requests}
    served = {call["call_id"] for call in simulator.calls}
    (await deployment.journal()).assert_paid_once(served)
    calls = await deployment.read(CALLS)
    paid = [call for call in calls if isinstance(call, CallEnded) and call.purpose is Purpose.SHADOW]
    # The candidate for each, and a judge twice where the texts differ.
    attempts = Counter(call.request_id for call in {call.attempt_id: call for call in paid}.values())
    assert attempts == {request.request_id: 1 if request.query_type == "summary" else 3 for request in requests}

    clickhouse = deployment.settings.clickhouse.model_copy(update={"url": clickhouse_url})
    settings = deployment.settings.model_copy(update={"clickhouse": clickhouse})
    options = VerifyOptions(served_url=simulator.url, wait_s=60)
    verification = await verify(settings, options, lambda *_: None)
    assert verification.findings.ok, verification.as_json()
    assert not verification.findings.counts[Check.UNROUTED]
    cost = sum((call.cost_usd for call in paid), start=Decimal(0))
    assert verification.shadows_cost_usd == cost > 0
    assert verification.counts["shadow_calls"] == len(paid)
    async with open_client(clickhouse_url) as client:
        found = await shadows_report(LedgerWindow(client, settings.clickhouse.database), settings)
    [shadow] = found.shadows
    assert (shadow.wins, shadow.ties, shadow.losses) == (20, 20, 20)
    assert {kind.query_type: kind.difference for kind in shadow.types} == {"faq": 1, "code": -1, "summary": 0}
    assert shadow.decision == "stay"
    [spent] = found.costs
    assert spent.candidate_cost_usd + spent.judge_cost_usd == cost


async def shadow_calls(deployment: Deployment) -> int:
    """How many calls were begun for comparisons."""
    calls = await deployment.read(CALLS)
    return sum(isinstance(call, CallStarted) and call.purpose is Purpose.SHADOW for call in calls)


async def test_a_canary_is_stopped_and_resumed_by_an_operator(deployment):
    def order(*arguments: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["--config", str(deployment.config), "canary", *arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    async def model_of(number: int) -> str | None:
        fields = {"request_id": f"c{number}", "messages": [{"role": "user", "content": "Hello?"}]}
        await deployment.send([Request.model_validate({**fields, "min_tier": 2, "max_tier": 2})])
        return (await deployment.results([f"c{number}"]))[f"c{number}"].model

    await deployment.start_worker()
    assert await model_of(0) == "gpt-6.1-terra"
    stopped = await asyncio.to_thread(order, "stop", "luna")
    assert (stopped["state"], stopped["model"]) == ("stopped", "openai/gpt-6.1-terra")
    number = 1
    while await model_of(number) == "gpt-6.1-terra":
        number += 1
    [listed] = (await asyncio.to_thread(order, "list"))["canaries"]
    assert (listed["name"], listed["tier"], listed["state"], listed["said"]["reason"]) == (
        "luna",
        2,
        "stopped",
        "ordered",
    )
    await asyncio.to_thread(order, "resume", "luna")
    while await model_of(number := number + 1) != "gpt-6.1-terra":
        pass
    results = {result.request_id: result for result in await deployment.read(RESULTS)}
    assert [line.why.endswith(", canary luna") for line in results["c0"].route] == [True]
    refused = await asyncio.to_thread(
        CliRunner().invoke, app, ["--config", str(deployment.config), "canary", "stop", "nobody"]
    )
    assert refused.exit_code == 2
    assert "there is no canary 'nobody': there are luna" in " ".join(refused.output.split())

"""Hard budgets under load and crashes: never passed by more than what is on the wire, and the same as the ledger."""

import asyncio
import json
import sys
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from analytics.clickhouse import open_client
from streams.budgets.money import usd_of
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from tierstream.operations.budgets import read_budgets
from tierstream.simulator.server import running_simulator
from topics.budgets import BudgetSnapshot, Payer, Reservation, Spending
from topics.journal import CallEnded
from topics.registry import ALERTS, BUDGETS, CALLS
from topics.requests import Request

LIMIT = Decimal("0.01")
CONFIG = """
[[budgets]]
name = "users"
by = "user"
usd = 0.01
window = "1h"
hard = "reject"

[[budgets]]
name = "everybody"
by = "all"
usd = 100
window = "1d"
hard = "reject"

[prices."groq/openai/gpt-oss-20b"]
input = 1
output = 10

[prices."together/openai/gpt-oss-20b"]
input = 1
output = 10
"""


@pytest.fixture
async def simulator():
    """Calls that take some time, so that a crash meets many of them on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=150, tokens_per_second=100_000, jitter=0.5, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


def requests(n, user="ann"):
    return [
        Request.model_validate(
            {
                "request_id": f"{user}{i}",
                "messages": [{"role": "user", "content": f"What is number {i}?"}],
                "user_id": user,
                "params": {"max_tokens": 40},
                "context": {"self_validating": True},
                "max_tier": 1,
            }
        )
        for i in range(n)
    ]


async def budget_sums(deployment):
    view = await read_budgets(deployment.settings, utc_now())
    return {(a.plan.name, a.key): usd_of(amount) for a, amount in view.state.sums(view.now_ms)}


async def ledger_sum(deployment, client, calls):
    """What SQL says, once the sink has written every call that the journal has."""
    ledger = f"{deployment.settings.clickhouse.database}.call_ledger"
    while True:
        [(rows, cost)] = (await client.query(f"SELECT count(ended_at), sum(cost_usd) FROM {ledger}")).result_rows
        if rows == calls:
            return cost
        deployment.check()
        await asyncio.sleep(0.1)


async def command(deployment, clickhouse_url, *arguments):
    """Run a command; return its exit code and its JSON."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tierstream",
        *arguments,
        env=deployment.environment(CLICKHOUSE_URL=clickhouse_url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out, err.decode()
    return process.returncode, json.loads(out)


@pytest.mark.slow
async def test_a_budget_holds_under_concurrency_and_a_killed_worker(deployment, simulator, clickhouse_url):
    asked = requests(200)
    killed, _ = await asyncio.gather(deployment.start_worker(), deployment.start_worker())
    await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url)
    await deployment.send(asked)
    await simulator.served(10)
    deployment.unwatch(killed).kill()
    await deployment.start_worker()
    found = await deployment.settled([request.request_id for request in asked])
    statuses = Counter((result.status.value, result.error and result.error.code) for result in found.values())
    assert statuses.keys() == {("ok", None), ("rejected", "budget")}, statuses

    journal = await deployment.journal()
    ended = [record for record in await deployment.read(CALLS) if isinstance(record, CallEnded)]
    spent = sum((record.cost_usd for record in ended), start=Decimal(0))
    dearest = max(record.cost_usd for record in ended)
    # Used up as far as whole calls go, and passed by one at the most.
    assert LIMIT - dearest < spent < LIMIT + dearest
    assert await budget_sums(deployment) == {("users", "ann"): spent, ("everybody", ""): spent}
    async with open_client(clickhouse_url) as client:
        assert await ledger_sum(deployment, client, len(ended)) == spent
    assert (await command(deployment, clickhouse_url, "budgets", "--check", "--json"))[0] == 0
    code, verified = await command(deployment, clickhouse_url, "verify", "--json", "--wait", "30")
    assert code == 0, verified
    # What the providers have served beyond that was on the wire when the worker died.
    served = {call["call_id"] for call in simulator.calls}
    assert served - {str(call) for call in journal.ended} <= journal.on_the_wire
    kinds = [alert.kind for alert in await deployment.read(ALERTS)]
    assert sorted(kinds) == sorted(set(kinds) & {"budget_soft", "budget_exhausted"})


@pytest.mark.slow
async def test_the_command_shows_what_is_spent_and_where_the_ledger_differs(deployment, clickhouse_url):
    await asyncio.gather(deployment.start_worker(), deployment.start("sink", CLICKHOUSE_URL=clickhouse_url))
    asked = [*requests(4, "ann"), *requests(2, "bob")]
    await deployment.send(asked)
    await deployment.settled([request.request_id for request in asked])
    code, shown = await command(deployment, clickhouse_url, "budgets", "--check", "--json")
    assert (code, shown["differences"]) == (0, [])
    by_key = {(one["budget"], one["key"]): one for one in shown["budgets"]}
    assert by_key.keys() == {("users", "user:ann"), ("users", "user:bob"), ("everybody", "all")}
    ended = [record for record in await deployment.read(CALLS) if isinstance(record, CallEnded)]
    assert Decimal(by_key["everybody", "all"]["spent_usd"]) == sum(record.cost_usd for record in ended)

    phantom = Spending(
        call_id=uuid4(),
        request_id="nobody",
        revision=0,
        payer=Payer(user_id="bob"),
        cost_usd=Decimal("0.009"),
        ended_at=utc_now() - timedelta(seconds=30),
    )
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(BUDGETS, phantom)])
    code, shown = await command(deployment, clickhouse_url, "budgets", "--check", "--json")
    assert code == 1
    assert {(one["budget"], one["key"]) for one in shown["differences"]} == {
        ("users", "user:bob"),
        ("everybody", "all"),
    }


@pytest.mark.slow
async def test_a_spending_that_its_worker_did_not_live_to_write_is_written_once(deployment, clickhouse_url):
    await asyncio.gather(deployment.start_worker(), deployment.start("sink", CLICKHOUSE_URL=clickhouse_url))
    asked = [*requests(2, "ann"), *requests(1, "bob")]
    await deployment.send(asked)
    await deployment.settled([request.request_id for request in asked])
    ended = [record for record in await deployment.read(CALLS) if isinstance(record, CallEnded)]
    # Another worker had it on the wire too, and died between the journal and the log of budgets.
    lost = next(one for one in ended if one.request_id == "ann0").model_copy(
        update={"call_id": uuid4(), "ended_at": utc_now()}
    )
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(CALLS, lost)])
    # What ended just now is not compared yet.
    while (await command(deployment, clickhouse_url, "budgets", "--check", "--json"))[0] == 0:
        deployment.check()

    code, shown = await command(deployment, clickhouse_url, "budgets", "--check", "--repair", "--json")
    assert (code, shown["differences"]) == (0, [])
    assert [(one["call_id"], one["payer"]["user_id"]) for one in shown["written"]] == [(str(lost.call_id), "ann")]
    code, shown = await command(deployment, clickhouse_url, "budgets", "--check", "--repair", "--json")
    assert (code, shown["written"]) == (0, [])
    spendings = [record for record in await deployment.read(BUDGETS) if isinstance(record, Spending)]
    assert sorted(one.call_id for one in spendings) == sorted(one.call_id for one in [*ended, lost])
    assert (await budget_sums(deployment))["everybody", ""] == sum(one.cost_usd for one in [*ended, lost])


@pytest.mark.slow
async def test_budgets_survive_that_everybody_dies(deployment, simulator):
    """With other users beside the one whose budget is used up: a restart neither forgets nor invents anything."""
    asked = [request for user in ("ann", "bob", "eve") for request in requests(25, user)]
    worker = await deployment.start_worker()
    await deployment.send(asked)
    await simulator.served(20)
    deployment.unwatch(worker).kill()
    await deployment.start_worker()
    await deployment.settled([request.request_id for request in asked])
    ended = [record for record in await deployment.read(CALLS) if isinstance(record, CallEnded)]
    log = await deployment.read(BUDGETS)
    assert {type(record) for record in log} >= {BudgetSnapshot, Reservation, Spending}
    sums = await budget_sums(deployment)
    for user in ("ann", "bob", "eve"):
        own = sum((r.cost_usd for r in ended if r.request_id.startswith(user)), start=Decimal(0))
        assert sums["users", user] == own
    assert sums["everybody", ""] == sum(record.cost_usd for record in ended)

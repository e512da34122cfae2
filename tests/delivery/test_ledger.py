"""The ledger against the providers' own log and the topics: every call at its price, every row once."""

import asyncio
import json
from collections import Counter
from decimal import Decimal

import pytest

from analytics.clickhouse import open_client
from streams.calls.pricing import PriceBook
from streams.kafka.clock import utc_now
from tierstream.client.request_run import run_requests
from topics.journal import CallEnded, Usage
from topics.registry import CALLS, HOPS, RESULTS
from topics.requests import Request


@pytest.fixture
async def clickhouse(clickhouse_url):
    async with open_client(clickhouse_url) as client:
        yield clickhouse_url, client


def requests(simulator):
    """Plain ones, judged ones, and some that escalate for each of the reasons."""
    script, made = [], []
    failures = ("wrong", "hedge", "truncated", "empty")
    for n in range(200):
        prompt = f"What is entry {n}?"
        fields = {"request_id": f"r{n}", "user_id": f"user-{n % 7}", "feature": "chat"}
        if n % 5 == 0:
            script.append({"prompt": prompt, "label": 3, "answer": f"It is {n}.", "failure": failures[n // 5 % 4]})
        impact = "critical" if n % 4 == 0 else "normal"
        fields |= {"messages": [{"role": "user", "content": prompt}], "context": {"business_impact": impact}}
        made.append(Request.model_validate(fields))
    simulator.script.add_lines("\n".join(map(json.dumps, script)), "test")
    return made


def billed(call, prices):
    """What a provider charges for a call in its log."""
    usage = call["usage"]
    if usage is None:
        return Decimal(0)
    tokens = Usage(input=usage["input_tokens"], output=usage["output_tokens"], cached=usage["cached_tokens"])
    return prices.rates(call["provider"], call["model"], utc_now()).cost(tokens)


async def rows(client, query):
    return (await client.query(query)).result_rows


async def test_the_ledger_agrees_with_the_providers_and_the_topics(deployment, simulator, clickhouse):
    url, client = clickhouse
    # Tokens that are billed without an answer, and failures that are not billed.
    simulator.set_behaviour("groq", rate_empty=0.05, rate_500=0.05, rate_malformed=0.05)
    await deployment.start_worker()
    await deployment.start("sink", CLICKHOUSE_URL=url)
    report = await run_requests(deployment.settings, requests(simulator), on_result=lambda _: None, timeout_s=120)
    assert (report.results, report.duplicates, report.missing) == (200, 0, ())
    await deployment.quiet()

    database = deployment.settings.clickhouse.database
    calls, results = await deployment.read(CALLS), await deployment.read(RESULTS)
    hops = [(record.request_id, hop) for record in await deployment.read(HOPS) for hop in record.hops]
    wanted = (len(results), len(calls), len(hops))
    counts = ", ".join(f"(SELECT count() FROM {database}.{table})" for table in ("requests", "calls", "hops"))
    while (await rows(client, f"SELECT {counts}"))[0] != wanted:
        deployment.check()
        await asyncio.sleep(0.1)

    ended = [call for call in calls if isinstance(call, CallEnded)]
    served = simulator.calls
    assert {str(call.call_id) for call in ended} >= {call["call_id"] for call in served}
    # A breaker that opens just before a call leaves keeps it back; it is on the books, and costs nothing.
    not_served = {str(call.call_id) for call in ended} - {call["call_id"] for call in served}
    assert all(call.error and not call.cost_usd for call in ended if str(call.call_id) in not_served)
    prices = PriceBook(deployment.settings.prices, deployment.settings.providers)
    bill = sum((billed(call, prices) for call in served), start=Decimal(0))
    assert bill > 0
    assert await rows(client, f"SELECT sum(cost_usd) FROM {database}.calls") == [(bill,)]
    assert await rows(client, f"SELECT sum(cost_usd) FROM {database}.requests") == [(bill,)]

    found = await rows(client, f"SELECT request_id, status, tier, cost_usd, `route.outcome` FROM {database}.requests")
    assert sorted((i, status, tier, cost, tuple(route)) for i, status, tier, cost, route in found) == sorted(
        (r.request_id, r.status.value, r.tier, r.cost_usd, tuple(attempt.outcome for attempt in r.route))
        for r in results
    )
    found = await rows(client, f"SELECT call_id, cost_usd, input_tokens FROM {database}.calls WHERE event = 'ended'")
    assert sorted(found) == sorted((c.call_id, c.cost_usd, c.usage.input if c.usage else 0) for c in ended)
    found = await rows(client, f"SELECT request_id, stage, outcome FROM {database}.hops")
    assert Counter(found) == Counter((request_id, hop.stage, hop.outcome) for request_id, hop in hops)
    assert {"escalated", "judge_fail", "hedge", "truncated", "empty"} <= {outcome for _, _, outcome in found}

"""A batch of the door whose lines are answered by batches of providers, at half the price; workers and the door die.

`TIERSTREAM_BATCH_LINES` makes it as large as one likes.
"""

import os
from collections import Counter

import httpx
import pytest
from support.bulk_requests import assert_submitted_once, batch_calls, config, made_at_provider
from support.door_batches import REFUSED, content, door, ended, made

from streams.calls.pricing import PriceBook
from tierstream.simulator.server import running_simulator
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify
from topics.registry import RESULTS

LINES = int(os.environ.get("TIERSTREAM_BATCH_LINES", "300"))


@pytest.fixture
async def simulator():
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=1, tokens_per_second=100_000, jitter=0, judge_error_rate=0, batch_s=5)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": config(wait_s=1)}


@pytest.fixture
async def http(deployment):
    async with door(deployment) as client:
        yield client


@pytest.mark.slow
async def test_each_line_is_submitted_once_and_costs_half_though_worker_and_door_are_killed(
    deployment, simulator, http
):
    worker = await deployment.start_worker()
    url, killed = await deployment.start_door()
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as client:
        batch_id = await made(client, LINES)
    deployment.unwatch(killed).kill()
    # Each partition has one at least.
    for batches in (1, deployment.kafka.partitions):
        await made_at_provider(simulator, batches)
        deployment.unwatch(worker).kill()
        worker = await deployment.start_worker()
    batch = await ended(http, deployment, batch_id)

    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": LINES, "completed": LINES - 2, "failed": 2}
    answers, errors = await content(http, batch["output_file_id"]), await content(http, batch["error_file_id"])
    assert [line["custom_id"] for line in errors] == [f"c{n}" for n in REFUSED]
    assert [line["custom_id"] for line in answers] == [f"c{n}" for n in range(LINES) if n not in REFUSED]
    await deployment.quiet()
    results = await deployment.read(RESULTS)
    asked = {f"{batch_id}-{n}" for n in range(LINES) if n not in REFUSED}
    assert Counter(result.request_id for result in results) == dict.fromkeys(asked, 1)

    await assert_submitted_once(deployment, simulator)
    calls = await batch_calls(deployment)
    prices = PriceBook(deployment.settings.prices, deployment.settings.providers)
    for call in calls.values():
        usual = prices.rates(call.provider, call.model, call.started_at, call.usage).cost(call.usage)
        assert call.cost_usd == usual / 2
    # Lines of a tier above come there by an answer that was not good enough, and wait there too.
    assert calls.keys() == asked
    verification = await verify(deployment.settings, VerifyOptions(served_url=simulator.url), lambda *_: None)
    assert verification.findings.ok, verification.findings.as_json()
    assert not verification.findings.counts[Check.PENDING]

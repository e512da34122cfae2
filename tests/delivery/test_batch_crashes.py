"""A batch of some hundred lines whose workers are killed: each line is answered once, paid once and counted once.

`TIERSTREAM_BATCH_LINES` makes it as large as one likes.
"""

import os
from collections import Counter

import httpx
import pytest
from support.door_batches import REFUSED, content, door, ended, made

from tierstream.simulator.server import running_simulator
from topics.registry import REQUESTS, RESULTS

LINES = int(os.environ.get("TIERSTREAM_BATCH_LINES", "300"))
CONCURRENCY = {"groq": 16, "together": 4, "openai": 4, "anthropic": 4}
ON_THE_WIRE = sum(CONCURRENCY.values())
"""The most calls that one process can have on the wire."""
CONFIG = "\n".join(
    [
        *(f"[providers.{name}]\nmax_concurrency = {most}" for name, most in CONCURRENCY.items()),
        "[batches]\nin_flight = 60\nprogress_s = 0.2",
    ]
)


@pytest.fixture
async def simulator():
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=100, tokens_per_second=100_000, jitter=0.5, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


@pytest.fixture
async def http(deployment):
    async with door(deployment) as client:
        yield client


@pytest.mark.slow
async def test_each_line_is_answered_and_paid_once_though_worker_and_door_are_killed(deployment, simulator, http):
    worker = await deployment.start_worker()
    url, killed = await deployment.start_door()
    async with httpx.AsyncClient(base_url=f"{url}/v1", timeout=60) as client:
        batch_id = await made(client, LINES)
    deployment.unwatch(killed).kill()
    for served in (LINES // 5, LINES // 2):
        await simulator.served(served)
        deployment.unwatch(worker).kill()
        worker = await deployment.start_worker()
    batch = await ended(http, deployment, batch_id)

    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": LINES, "completed": LINES - 2, "failed": 2}
    answers, errors = await content(http, batch["output_file_id"]), await content(http, batch["error_file_id"])
    assert [line["custom_id"] for line in errors] == ["c7", "c200"]
    assert [line["custom_id"] for line in answers] == [f"c{n}" for n in range(LINES) if n not in REFUSED]

    await deployment.quiet()
    results = Counter(result.request_id for result in await deployment.read(RESULTS))
    assert results == {f"{batch_id}-{n}": 1 for n in range(LINES) if n not in REFUSED}
    journal = await deployment.journal()
    served = Counter(call["call_id"] for call in simulator.calls)
    assert set(served.values()) == {1}
    journal.assert_paid_once(served)
    paid = Counter(record.request_id for call, record in journal.started.items() if str(call) in served)
    assert paid.keys() == results.keys()
    # Only what was on the wire when a process died was paid again.
    assert sum(count - 1 for count in paid.values()) <= 2 * ON_THE_WIRE


@pytest.mark.slow
async def test_a_batch_goes_on_while_workers_come_and_leave(deployment, simulator, http):
    first = await deployment.start_worker()
    batch_id = await made(http, LINES)
    await simulator.served(40)
    await deployment.start_worker()
    await simulator.served(120)
    await deployment.unwatch(first).stop(timeout_s=60)
    batch = await ended(http, deployment, batch_id)

    assert batch["request_counts"] == {"total": LINES, "completed": LINES - 2, "failed": 2}
    assert len(await content(http, batch["output_file_id"])) == LINES - 2
    served = Counter(call["call_id"] for call in simulator.calls)
    (await deployment.journal()).assert_paid_once(served)


@pytest.mark.slow
async def test_no_line_is_sent_after_a_batch_was_cancelled(deployment, simulator, http):
    simulator.set_behaviour(ttft_ms=1_000, tokens_per_second=100_000, jitter=0, judge_error_rate=0)
    await deployment.start_worker()
    batch_id = await made(http, LINES)
    await simulator.served(20)
    (await http.post(f"/batches/{batch_id}/cancel")).raise_for_status()
    batch = await ended(http, deployment, batch_id)

    assert batch["status"] == "cancelled"
    counts = batch["request_counts"]
    assert counts["completed"] > 0
    assert counts["completed"] + counts["failed"] == LINES
    answers, errors = await content(http, batch["output_file_id"]), await content(http, batch["error_file_id"])
    assert (len(answers), len(errors)) == (counts["completed"], counts["failed"])
    sent = {request.request_id for request in await deployment.read(REQUESTS)}
    assert len(sent) < LINES - 2
    assert {result.request_id for result in await deployment.read(RESULTS)} == sent

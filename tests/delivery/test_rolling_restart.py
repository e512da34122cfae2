"""All workers restarted one after the other under load: each result once, each call once, and how long one waits."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest
from support.deployment import Deployment
from test_crashes import CONFIG, assert_accounts_agree

from streams.config.settings import Settings
from tierstream.client.request_run import RunReport, run_requests
from tierstream.simulator.server import running_simulator
from tierstream.stack.process import Child
from topics.requests import Request

WORKERS = 3
RATE = float(os.environ.get("TIERSTREAM_ROLLING_RATE", "20"))
"""Requests a second."""
BEFORE = 100
"""Results before the first restart: so many until the groups have come to rest, and so many to measure."""


@pytest.fixture
async def simulator():
    """Calls that take some time, so that a restart meets some on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=200, tokens_per_second=100_000, jitter=0.5, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    defaults = Settings.model_fields["kafka"].default
    options = {"partitions": 6, "commit_interval_s": defaults.commit_interval_s}
    return {"kafka": options, "config": CONFIG}


class Load:
    """Requests at a steady rate until it is told to end, and the latency of each by the moment it was sent."""

    def __init__(self, settings: Settings) -> None:
        self.report = RunReport()
        self.latencies: list[tuple[float, float]] = []
        self._settings = settings
        self._ending = False
        self._task = asyncio.create_task(self._run())

    async def results(self, more: int) -> None:
        wanted = self.report.results + more
        while self.report.results < wanted:
            assert not self._task.done(), "the load has ended"
            await asyncio.sleep(0.05)

    async def end(self) -> RunReport:
        self._ending = True
        return await self._task

    def latency_ms(self, since: float, until: float) -> str:
        """Describe the latency of what was sent in between, in seconds since the epoch."""
        ranked = sorted(latency for sent, latency in self.latencies if since <= sent < until)
        p50, p99 = (ranked[int(len(ranked) * share)] for share in (0.5, 0.99))
        return f"{len(ranked)} requests, p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {ranked[-1]:.0f} ms"

    async def _run(self) -> RunReport:
        return await run_requests(
            self._settings,
            self._requests(),
            on_result=lambda r: self.latencies.append((r.settled_at.timestamp() - r.latency_ms / 1000, r.latency_ms)),
            timeout_s=60,
            rate=RATE,
            report=self.report,
        )

    def _requests(self) -> Iterator[Request]:
        n = 0
        while not self._ending:
            messages = [{"role": "user", "content": f"What is number {n}?"}]
            yield Request.model_validate({"request_id": f"r{n}", "messages": messages, "service_class": "bulk"})
            n += 1


async def start(deployment: Deployment, number: int) -> Child:
    return await deployment.start_worker(TIERSTREAM_KAFKA__INSTANCE=f"worker-{number}")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_restarting_all_workers_in_turn_doubles_and_loses_nothing(deployment, simulator):
    workers = await asyncio.gather(*(start(deployment, number) for number in range(WORKERS)))
    load = Load(deployment.settings)
    await load.results(BEFORE)
    warm = time.time()
    await load.results(BEFORE)
    began, steps = time.time(), []
    for number, worker in enumerate(workers):
        asked = time.time()
        os.kill(deployment.unwatch(worker).pid, signal.SIGTERM)
        assert await worker.wait() == 0
        stopped = time.time()
        await start(deployment, number)
        steps.append(f"stopped in {stopped - asked:.1f} s, back in {time.time() - stopped:.1f} s")
    over = time.time()
    await load.results(BEFORE)
    report = await load.end()
    await deployment.quiet()
    assert (report.missing, report.duplicates) == ((), 0)
    journal = await assert_accounts_agree(deployment, simulator, may_be_lost=0)
    assert not journal.on_the_wire
    lines = [*steps, f"before: {load.latency_ms(warm, began)}", f"during: {load.latency_ms(began, over)}"]
    print("\n" + "\n".join(lines))  # noqa: T201 - for whoever runs it with -s

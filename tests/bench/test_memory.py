"""Whether a worker's memory stays level under load while some calls hang: printed, never asserted.

A worker remembers every request of the dedup window, which is an hour by default; here it is short, so that what
still grows in the last half of the run is a leak.
"""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
from support.deployment import Deployment

from tierstream.client.request_run import run_requests
from tierstream.demo.corpus import sample
from topics.requests import Request

MINUTES = float(os.environ.get("TIERSTREAM_BENCH_MINUTES", "2"))
RATE = float(os.environ.get("TIERSTREAM_BENCH_RATE", "50"))
"""Requests a second."""
HANGING = 0.01
"""Share of the calls that never answer; each holds its place until the deadline."""
DEADLINE_MS = 20_000
WINDOW_S = 30
CONFIG = f"""
[delivery]
dedup_window_s = {WINDOW_S}

[deadlines]
interactive = {WINDOW_S}
standard = {WINDOW_S}
bulk = {WINDOW_S}
"""
_SAMPLE_S = 5
_PRINT_S = 30
_MIB = 1024 * 1024


@pytest.fixture
async def deployment(kafka, simulator, tmp_path) -> AsyncIterator[Deployment]:
    made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, config=CONFIG)
    async with made.running():
        yield made


def requests() -> Iterator[Request]:
    for number, entry in enumerate(sample(int(MINUTES * 60 * RATE), 1)):
        fields = {**entry.request_fields(), "request_id": f"memory-{number}", "timeout_ms": DEADLINE_MS}
        yield Request.model_validate(fields)


async def watch(process: psutil.Process, samples: list[tuple[float, float]]) -> None:
    """Take a sample of (minutes, MiB) every few seconds, and print some of them."""
    began = time.monotonic()
    while True:
        samples.append(((time.monotonic() - began) / 60, process.memory_info().rss / _MIB))
        if (len(samples) - 1) * _SAMPLE_S % _PRINT_S == 0:
            print(f"{samples[-1][0]:6.1f} min  {samples[-1][1]:6.1f} MiB")
        await asyncio.sleep(_SAMPLE_S)


@pytest.mark.timeout(MINUTES * 60 + 300)
async def test_the_memory_of_a_worker(deployment, simulator):
    """The last half of the run is what counts: before it, memories and pools fill."""
    simulator.set_behaviour(rate_hang=HANGING)
    worker = await deployment.start_worker()
    samples: list[tuple[float, float]] = []
    print()
    watching = asyncio.create_task(watch(psutil.Process(worker.pid), samples))
    try:
        report = await run_requests(
            deployment.settings, requests(), on_result=lambda _: None, timeout_s=2 * DEADLINE_MS / 1000, rate=RATE
        )
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    minutes, sizes = zip(*[(at, size) for at, size in samples if at >= samples[-1][0] / 2], strict=True)
    slope = statistics.linear_regression(minutes, sizes).slope
    print(f"{report.results} results {dict(report.statuses)}; over the last half {slope:+.2f} MiB a minute")
    assert report.missing == ()
    assert report.duplicates == 0

"""Outages of a minute under load: where the requests go, and how soon they are back. Only correctness is asserted.

`TIERSTREAM_BENCH_RATE` is the load in requests a second, `TIERSTREAM_BENCH_OUTAGE_S` the length of the outage.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from statistics import quantiles
from typing import Any

import psutil
import pytest
from rich.console import Console
from rich.table import Table
from support.breaker_log import Change, changes

from tierstream.client.request_run import RunReport, run_requests
from tierstream.demo.corpus import sample
from tierstream.simulator.behaviour import load_config
from tierstream.simulator.server import RunningSimulator, running_simulator
from tierstream.stack.process import Child
from topics.control import BreakerState
from topics.registry import HOPS, PARKED
from topics.requests import Request
from topics.results import Result

RATE = float(os.environ.get("TIERSTREAM_BENCH_RATE", "60"))
OUTAGE_S = float(os.environ.get("TIERSTREAM_BENCH_OUTAGE_S", "60"))
BEFORE_S, AFTER_S = 15.0, 35.0
RETRY_AFTER_S = 20
BACK = 0.9
"""The traffic is back when this share of a second's requests stays on its own tier."""
SERVED = {"ok", "degraded"}
_BUCKET_S = 5
_MIB = 1024 * 1024


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    """With the latencies of the default config, and room for the calls of the whole run."""
    config = load_config().model_copy(update={"calls_in_memory": 1_000_000})
    async with running_simulator(config=config) as running:
        running.set_behaviour(judge_error_rate=0)
        yield running


@dataclass
class Course:
    """What is noted while the load runs; moments in seconds since the epoch."""

    began: float = field(default_factory=time.time)
    results: list[Result] = field(default_factory=list)
    usage: list[tuple[float, float, float]] = field(default_factory=list)
    """Moment, CPU per cent and MiB of the worker."""

    async def watch(self, workers: list[Child]) -> None:
        """Sample the newest worker every second."""
        watched: dict[int, psutil.Process] = {}
        while True:
            # The newest may have been killed just now, and its successor not yet be there.
            with contextlib.suppress(psutil.Error):
                pid = workers[-1].pid
                process = watched.setdefault(pid, psutil.Process(pid))
                self.usage.append((time.time(), process.cpu_percent(), process.memory_info().rss / _MIB))
            await asyncio.sleep(1)

    async def until(self, seconds: float) -> float:
        """Wait until so many seconds after the beginning; return the moment."""
        await asyncio.sleep(self.began + seconds - time.time())
        return time.time()

    def buckets(self, width_s: float) -> Iterator[tuple[float, list[Result]]]:
        """Yield the results by the time at which their requests came in."""
        by_bucket: dict[int, list[Result]] = {}
        for result in self.results:
            by_bucket.setdefault(int((result.source.timestamp_ms / 1000 - self.began) // width_s), []).append(result)
        for number, results in sorted(by_bucket.items()):
            yield number * width_s, results

    def back_after(self, moment: float) -> float | None:
        """Say in which second after a moment the traffic is back; None: it never was away then, or is still."""
        shares = [
            (self.began + start, sum(map(is_promoted, own)) / len(own))
            for start, results in self.buckets(1)
            if (own := [result for result in results if is_of_first_tier(result)])
        ]
        away = [start for start, share in shares if share > 1 - BACK and start >= moment - 1]
        return max(away) + 1 - moment if away else None


def is_promoted(result: Result) -> bool:
    return any(attempt.why.startswith("promoted from tier 1") for attempt in result.route)


def is_of_first_tier(result: Result) -> bool:
    return is_promoted(result) or bool(result.route and result.route[0].tier == 1)


def load(seconds: float, **fields: Any) -> Iterator[Request]:
    for number, entry in enumerate(sample(int(seconds * RATE), 1)):
        made = {**entry.request_fields(), "request_id": f"outage-{number}", **fields}
        # It would be kept from the providers that the test is about.
        made["context"] = {**made["context"], "data_class": "internal"}
        yield Request.model_validate(made)


def percentile(values: list[float], share: float) -> float:
    return quantiles([*values, values[0]], n=100)[int(share * 100) - 1]


def show(course: Course, outage: tuple[float, float], report: RunReport) -> None:
    table = Table(title=f"{RATE:g} requests/s by arrival; the outage is from {outage[0]:.0f} to {outage[1]:.0f} s")
    for name in (
        "from s",
        "requests",
        "tier 1",
        "tier 2",
        "tier 3",
        "unserved",
        "p50 ms",
        "p95 ms",
        "CPU %",
        "RSS MiB",
    ):
        table.add_column(name, justify="right")
    for start, results in course.buckets(_BUCKET_S):
        tiers = Counter(result.tier for result in results if result.status in SERVED)
        latencies = [result.latency_ms for result in results]
        used = [one for one in course.usage if 0 <= one[0] - course.began - start < _BUCKET_S]
        table.add_row(
            f"{start:.0f}",
            str(len(results)),
            *(f"{tiers[tier] / len(results):.0%}" for tier in (1, 2, 3)),
            str(len(results) - tiers.total()),
            f"{percentile(latencies, 0.5):.0f}",
            f"{percentile(latencies, 0.95):.0f}",
            f"{sum(one[1] for one in used) / len(used):.0f}" if used else "",
            f"{max(one[2] for one in used):.0f}" if used else "",
        )
    console = Console(width=110)
    console.print(table)
    console.print(f"{report.results} results {dict(report.statuses)}, missing {len(report.missing)}")


def moment_of(text: object) -> float:
    return datetime.fromisoformat(str(text)).timestamp()


def probes_of_each_period(log: list[Change], calls: list[dict[str, object]], target: str) -> list[int]:
    """Count the calls that reached a model in each half-open period of its breaker."""
    own = [change for change in log if change.target == target]
    started = [moment_of(call["started_at"]) for call in calls if f"{call['provider']}/{call['model']}" == target]
    return [
        sum(first.at <= at < then.at for at in started)
        for first, then in pairwise(own)
        if first.state is BreakerState.HALF_OPEN
    ]


def calls_before_their_time(calls: list[dict[str, object]], provider: str) -> list[float]:
    """Return, for each call while a Retry-After held, the seconds since the refusal that named it first."""
    early: list[float] = []
    refused_at = until = 0.0
    for at, call in sorted((moment_of(call["started_at"]), call) for call in calls if call["provider"] == provider):
        if at < until:
            early.append(at - refused_at)
        elif call["retry_after_s"] is not None:
            refused_at = moment_of(call["ended_at"])
            until = refused_at + float(str(call["retry_after_s"]))
    return early


CASES = {
    "errors": {"rate_500": 1},
    "some time-outs": {"rate_hang": 0.3},
    "all time-outs": {"rate_hang": 1},
    "Retry-After": {"rate_429": 1, "retry_after_s": RETRY_AFTER_S},
    "cut streams": {"rate_cut": 1},
}


@pytest.mark.timeout(BEFORE_S + OUTAGE_S + AFTER_S + 400)
@pytest.mark.parametrize("case", CASES)
async def test_the_first_tier_fails_for_a_while(deployment, simulator, case):
    worker = await deployment.start_worker()
    course = Course()

    async def fail_and_mend() -> tuple[float, float]:
        began = await course.until(BEFORE_S)
        for provider in ("groq", "together"):
            simulator.set_behaviour(provider, **CASES[case])
        ended = await course.until(BEFORE_S + OUTAGE_S)
        simulator.reset()
        return began, ended

    watching, failing = asyncio.create_task(course.watch([worker])), asyncio.create_task(fail_and_mend())
    try:
        report = await run_requests(
            deployment.settings,
            load(BEFORE_S + OUTAGE_S + AFTER_S, stream=case == "cut streams"),
            on_result=course.results.append,
            timeout_s=180,
            rate=RATE,
        )
    finally:
        watching.cancel()
    began, ended = await failing
    print(f"\n{case}")
    show(course, (began - course.began, ended - course.began), report)

    log, calls = changes(deployment.folder / "worker-1.log"), simulator.calls
    open_until = ended
    if case == "Retry-After":
        early = {provider: calls_before_their_time(calls, provider) for provider in ("groq", "together")}
        print(f"calls while a Retry-After held, seconds after the refusal: {early}")
        ends = [moment_of(call["ended_at"]) + RETRY_AFTER_S for call in calls if call["retry_after_s"]]
        open_until = max(ended, *ends)
    for target in ("groq/openai/gpt-oss-20b", "together/openai/gpt-oss-120b"):
        probes = probes_of_each_period(log, calls, target)
        print(f"probes of {target} in each half-open period: {probes}")
        assert all(number <= deployment.settings.breakers.probes for number in probes)
    for target in ("groq/openai/gpt-oss-20b", "tier:1"):
        closed = [change.at for change in log if change.target == target and change.state is BreakerState.CLOSED]
        print(f"{target} closed for good {closed[-1] - ended:.1f} s after the end" if closed else f"{target}: closed")
    first = min(
        moment_of(call["ended_at"])
        for call in calls
        if call["provider"] in ("groq", "together")
        and call["status"] == 200
        and call["usage"]
        and moment_of(call["started_at"]) > open_until
    )
    print(
        f"first answer {first - open_until:.1f} s after providers could be asked, {first - ended:.1f} s after the end"
    )
    print(f"{BACK:.0%} of the traffic back after {course.back_after(open_until)} s (None: never away then)")
    assert report.missing == ()
    assert report.duplicates == 0
    assert set(report.statuses) <= SERVED


@pytest.mark.timeout(BEFORE_S + OUTAGE_S + AFTER_S + 500)
async def test_every_provider_is_down_for_a_while(deployment, simulator):
    workers = [await deployment.start_worker()]
    course = Course()

    async def fail_and_mend() -> tuple[float, float]:
        began = await course.until(BEFORE_S)
        simulator.set_behaviour(down=True)
        await course.until(BEFORE_S + OUTAGE_S / 2)
        deployment.unwatch(workers[-1]).kill()
        workers.append(await deployment.start_worker())
        ended = await course.until(BEFORE_S + OUTAGE_S)
        simulator.reset()
        simulator.set_behaviour(judge_error_rate=0)
        return began, ended

    watching, failing = asyncio.create_task(course.watch(workers)), asyncio.create_task(fail_and_mend())
    try:
        report = await run_requests(
            deployment.settings,
            load(BEFORE_S + OUTAGE_S + AFTER_S, timeout_ms=600_000),
            on_result=course.results.append,
            timeout_s=180,
            rate=RATE,
        )
    finally:
        watching.cancel()
    began, ended = await failing
    print("\nall providers down, the worker killed half-way")
    show(course, (began - course.began, ended - course.began), report)

    hops = Counter(hop.outcome for record in await deployment.read(HOPS) for hop in record.hops)
    parked = Counter(record.task.request.request_id for record in await deployment.read(PARKED))
    late = [r.settled_at.timestamp() - ended for r in course.results if r.source.timestamp_ms / 1000 < ended]
    print(f"{len(parked)} requests were parked {parked.total()} times, one up to {max(parked.values())} times")
    print(f"hops: {dict(hops)}")
    print(f"those of the outage were served {percentile(late, 0.5):.1f} (half), {max(late):.1f} s (all) after its end")
    served = {call["call_id"] for call in simulator.calls}
    (await deployment.journal()).assert_paid_once(served)
    assert report.missing == ()
    assert report.duplicates == 0
    assert set(report.statuses) <= SERVED

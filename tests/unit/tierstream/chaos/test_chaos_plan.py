"""The fault lab without a stack: its seed, and a stop that outlasts the session."""

import asyncio
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from uuid import uuid4

import psutil
import pytest
from typer.testing import CliRunner

from streams.config.settings import load
from tierstream.chaos import faults
from tierstream.chaos.chaos_run import ChaosReport
from tierstream.chaos.faults import FaultLab, FaultPlan
from tierstream.chaos.loop import LoopReport, loop_script, loop_variables
from tierstream.cli import app
from tierstream.cli.commands import chaos
from tierstream.stack.health import HealthCheck
from tierstream.stack.process import ProcessIdentity
from tierstream.stack.state import Addresses, ServiceState, StackState, write_state
from topics.results import Result
from topics.tasks import Attempt, Source


async def test_a_worker_is_stopped_for_longer_than_its_group_waits_for_it(tmp_path, monkeypatch):
    settings = load(overrides={"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    check = HealthCheck(kind="ready_file", target="")
    service = ServiceState(name="worker-1", process=ProcessIdentity.of(worker.pid), health=check, url=None)
    addresses = Addresses(kafka="", clickhouse="")
    write_state(tmp_path, StackState(supervisor=service.process, addresses=addresses, services=(service,)))
    process, pause, stopped = psutil.Process(worker.pid), asyncio.sleep, []

    async def sleep(seconds: float) -> None:
        if seconds > settings.kafka.session_timeout_s:
            while process.status() != psutil.STATUS_STOPPED:
                await pause(0.01)
            stopped.append(seconds)

    monkeypatch.setattr(faults.asyncio, "sleep", sleep)
    try:
        lab = FaultLab(settings, tmp_path, "", seed=1)
        await lab.run(FaultPlan(**{**dict.fromkeys(asdict(FaultPlan()), 0), "worker_stops": 1}), 1)
        assert lab.done == {"worker_stops": 1}
        assert len(stopped) == 1
        while process.status() == psutil.STATUS_STOPPED:
            await pause(0.01)
    finally:
        worker.kill()
        await worker.wait()


def test_the_same_seed_draws_the_same_moments(tmp_path):
    settings = load()
    drawn = [FaultLab(settings, tmp_path, "", seed=seed)._moments(5, 60) for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.fixture
def seeds(monkeypatch) -> list[int]:
    """The seeds of the runs that were asked for; nothing is run."""
    asked = []

    async def run(ctx, seconds, rate, workers, seed) -> ChaosReport:
        asked.append(seed)
        return ChaosReport(seed=seed)

    monkeypatch.setattr(chaos, "_run", run)
    return asked


def test_a_seed_is_taken_and_shown(seeds):
    shown = CliRunner().invoke(app, ["chaos", "--seed", "4711"])
    assert seeds == [4711]
    assert "seed      4711" in shown.stdout
    assert json.loads(CliRunner().invoke(app, ["chaos", "--seed", "4711", "--json"]).stdout)["seed"] == 4711


def test_without_a_seed_one_is_drawn_and_said_before_anything_happens(seeds):
    shown = [CliRunner().invoke(app, ["chaos"]) for _ in range(3)]
    assert len(set(seeds)) > 1
    assert [f"seed {seed}" in run.stderr for seed, run in zip(seeds, shown, strict=True)] == [True] * 3


def test_what_settings_leave_out_of_the_loop_is_switched_on_and_can_be_loaded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = load()
    variables = loop_variables(settings)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    loop = load()
    assert (loop.validation.sample_rate, loop.validation.without_judge, loop.escalation.context) == (
        0.2,
        "park",
        "answer",
    )
    [shadow], [canary] = loop.shadow, loop.canary
    assert (shadow.tier, shadow.share, canary.tier, canary.share) == (1, 0.2, 1, 0.1)
    assert {shadow.model.ref, canary.model.ref} <= {model.ref for model in settings.tiers[1].models}
    assert loop_variables(loop) == {}
    differing = [entry for entry in loop_script(loop) if entry.get("answers", {}).get(shadow.model.model)]
    assert all(entry["answers"][shadow.model.model] != entry["answer"] for entry in differing)
    assert 0 < len(differing) < len(list(loop_script(loop)))
    assert not any("answers" in entry for entry in loop_script(settings))


def test_what_the_results_met_of_the_loop_is_counted():
    report = LoopReport()
    for whys in (["rule x, canary chaos", "judge"], ["rule x", "escalated from tier 1: judge: fail"]):
        route = tuple(line("validate" if why == "judge" else "infer:1", why) for why in whys)
        report.note(answered(route))
    assert report.as_json() == {"judged": 1, "escalated": 1, "canary": 1, "degraded": 0}


def line(stage: str, why: str) -> Attempt:
    who = {"tier": 1, "provider": "p", "model": "m", "outcome": "ok", "cost_usd": 0, "provider_ms": 1}
    return Attempt(attempt_id=uuid4(), stage=stage, why=why, **who)


def answered(route: tuple[Attempt, ...]) -> Result:
    source = Source(topic="llm.requests", partition=0, offset=0, timestamp_ms=0)
    return Result(
        request_id="r1", status="ok", cost_usd=0, route=route, source=source, latency_ms=1, settled_at=datetime.now(UTC)
    )


async def test_a_canary_is_stopped_and_resumed_once_the_broker_takes_it(tmp_path, monkeypatch):
    for name, value in loop_variables(load()).items():
        monkeypatch.setenv(name, value)
    lab, given, refusals = FaultLab(load(), tmp_path, "", seed=1), [], iter((False, True, True))

    async def give(outputs):
        taken = next(refusals)
        given.extend((output.record.state, taken) for output in outputs)
        return taken

    monkeypatch.setattr(lab, "_give", give)
    monkeypatch.setattr(faults, "_ORDER_AGAIN_S", 0)
    monkeypatch.setattr(faults, "_CANARY_STOPPED_S", 0)
    await lab.run(FaultPlan(**{**dict.fromkeys(asdict(FaultPlan()), 0), "canary_orders": 1}), 0.1)
    assert given == [("stopped", False), ("stopped", True), ("running", True)]
    assert (lab.done, lab.skipped) == ({"canary_orders": 1}, ())


async def test_without_a_canary_its_orders_are_skipped(tmp_path):
    lab = FaultLab(load(), tmp_path, "", seed=1)
    await lab.run(FaultPlan(**{**dict.fromkeys(asdict(FaultPlan()), 0), "canary_orders": 1}), 0.1)
    assert (lab.done, lab.skipped) == ({}, ("canary_orders",))

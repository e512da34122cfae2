"""The fault lab without a stack: its seed, and a stop that outlasts the session."""

import asyncio
import json
import sys
from dataclasses import asdict

import psutil
import pytest
from typer.testing import CliRunner

from streams.config.settings import load
from tierstream.chaos import faults
from tierstream.chaos.chaos_run import ChaosReport
from tierstream.chaos.faults import FaultLab, FaultPlan
from tierstream.cli import app
from tierstream.cli.commands import chaos
from tierstream.stack.health import HealthCheck
from tierstream.stack.process import ProcessIdentity
from tierstream.stack.state import Addresses, ServiceState, StackState, write_state


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

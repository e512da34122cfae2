"""The fault lab's own doings: how often each fault comes, and workers that join and leave a running stack."""

import asyncio
from dataclasses import asdict

import pytest
from support.deployment import Deployment

from tierstream.chaos import faults
from tierstream.chaos.faults import FaultLab, FaultPlan
from tierstream.stack.clickhouse_faults import FAULTS_VARIABLE
from tierstream.stack.health import HealthCheck
from tierstream.stack.process import ProcessIdentity
from tierstream.stack.state import Addresses, ServiceState, StackState, write_state
from topics.requests import Request

NO_FAULTS = dict.fromkeys(asdict(FaultPlan()), 0)


def test_a_plan_is_scaled_to_the_run_and_leaves_no_fault_out():
    assert FaultPlan.scaled(400) == FaultPlan()
    assert FaultPlan.scaled(800).worker_joins == 2 * FaultPlan().worker_joins
    assert set(asdict(FaultPlan.scaled(1)).values()) == {1}


def lab_on(deployment: Deployment, worker) -> FaultLab:
    """A lab that takes the deployment for a stack of one worker."""
    check = HealthCheck(kind="ready_file", target="")
    service = ServiceState(name="worker-1", process=ProcessIdentity.of(worker.pid), health=check, url=None)
    addresses = Addresses(kafka=deployment.kafka.bootstrap_servers, clickhouse="")
    state = StackState(supervisor=service.process, addresses=addresses, services=(service,))
    for folder in ("logs", "run"):
        (deployment.folder / folder).mkdir()
    write_state(deployment.folder, state)
    return FaultLab(deployment.settings, deployment.folder, deployment.simulator_url, seed=1)


async def members(deployment: Deployment, count: int) -> None:
    while await deployment.members("infer:1") != count:
        deployment.check()
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_worker_joins_and_leaves_and_no_request_notices(deployment, monkeypatch):
    monkeypatch.setattr(faults, "_JOINED_S", 2)
    lab = lab_on(deployment, await deployment.start_worker())
    joining = asyncio.create_task(lab.run(FaultPlan(**{**NO_FAULTS, "worker_joins": 1}), 1))
    requests = [
        Request.model_validate({"request_id": f"r{n}", "messages": [{"role": "user", "content": f"What is {n}?"}]})
        for n in range(100)
    ]
    await deployment.send(requests[:30])
    await members(deployment, 2)
    await deployment.send(requests[30:60])
    await joining
    await members(deployment, 1)
    await deployment.send(requests[60:])
    await deployment.settled([request.request_id for request in requests])
    assert lab.done == {"worker_joins": 1}


@pytest.mark.parametrize("allowed", [True, False])
async def test_disk_faults_are_skipped_where_clickhouse_takes_none(deployment, monkeypatch, tmp_path, allowed):
    from support.ledger_records import ClickHouseProcess

    monkeypatch.setattr(faults, "_DISK_TROUBLE_S", 0.1)
    if allowed:
        monkeypatch.setenv(FAULTS_VARIABLE, "1")
    server = ClickHouseProcess(tmp_path / "clickhouse")
    await server.start()
    try:
        clickhouse = deployment.settings.clickhouse.model_copy(update={"url": server.url})
        settings = deployment.settings.model_copy(update={"clickhouse": clickhouse})
        lab = FaultLab(settings, tmp_path, deployment.simulator_url, seed=1)
        await lab.run(FaultPlan(**{**NO_FAULTS, "disk_full": 1, "slow_disk": 1}), 0.1)
    finally:
        await server.stop()
    done, skipped = {"disk_full": 1, "slow_disk": 1}, ("disk_full", "slow_disk")
    assert (lab.done, lab.skipped) == ((done, ()) if allowed else ({}, skipped))

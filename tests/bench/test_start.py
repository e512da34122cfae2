"""What the start of a worker and of a whole stack costs: printed, never asserted."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from support.deployment import clean_environment

from streams.config.settings import Settings, load
from tierstream.client.request_run import run_requests
from tierstream.stack.deployment import with_addresses
from tierstream.stack.state import StackState, read_state
from topics.messages import Message
from topics.requests import Request

STARTS = 5
FOLDERS = 2
"""New ones, each of them started twice."""


@pytest.fixture
def deployment_options() -> dict[str, str]:
    return {"config": '[routing]\nclassifier = "cascade"\n'}


async def test_the_start_of_a_worker(deployment):
    """All stages, as they are configured by default; the topics are empty."""
    costs, waits = [], []
    for _ in range(STARTS):
        began = time.monotonic()
        worker = await deployment.start_worker()
        await _ask(deployment.settings)
        waits.append(time.monotonic() - began)
        costs.append(_cpu_s(worker.pid))
        await deployment.unwatch(worker).stop(20)
    print(f"\nuntil a worker has its first result: {_listed(waits)} s, {_listed(costs)} s of CPU")


async def test_the_start_of_a_stack(tmp_path: Path):
    """`tierstream up` in a folder that is new, and in it again; the jars are there."""
    for number in range(FOLDERS):
        for start in ("new folder", "again"):
            began = time.time()
            async with _up(tmp_path / str(number)) as state:
                ready = time.time() - began
                settings = with_addresses(load(), state.addresses)
                await _ask(settings)
                first = time.time() - began
                began_at = {one.name: one.process.create_time - began for one in state.services}
                cpu = {one.name: _cpu_s(one.process.pid) for one in state.services}
            steps = ", ".join(f"{name} from {began_at[name]:.1f} s ({cpu[name]:.1f} s of CPU)" for name in began_at)
            print(f"\n{start}: ready after {ready:.1f} s, first result after {first:.1f} s; {steps}")


@asynccontextmanager
async def _up(data_dir: Path) -> AsyncIterator[StackState]:
    ports = ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "CLICKHOUSE_PORT", "SIMULATOR_PORT")
    environment = {
        **clean_environment(),
        **{f"TIERSTREAM_STACK__{port}": "0" for port in ports},
        "TIERSTREAM_DASHBOARD__PORT": "0",
        "TIERSTREAM_SERVE__PORT": "0",
        "TIERSTREAM_STACK__DATA_DIR": str(data_dir),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tierstream", "up", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"Ready."):
            assert line, "the stack did not start"
        state = read_state(data_dir)
        assert state is not None
        yield state
    finally:
        process.terminate()
        await process.communicate()


async def _ask(settings: Settings) -> None:
    request = Request(request_id=f"first-{time.time_ns()}", messages=(Message(role="user", content="What is Kafka?"),))
    await run_requests(settings, [request], on_result=lambda _: None, timeout_s=60)


def _cpu_s(pid: int) -> float:
    spent = psutil.Process(pid).cpu_times()
    return spent.user + spent.system


def _listed(figures: list[float]) -> str:
    return ", ".join(f"{figure:.2f}" for figure in figures)

"""Fixtures for everybody: one broker and one ClickHouse for the whole session, and deployments on top of them."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from support.deployment import Deployment
from support.embedded_kafka import EmbeddedKafka
from support.embedded_server import EmbeddedServer

from tierstream.simulator.server import RunningSimulator, running_simulator

# How long an example takes says more about the machine than about the code.
settings.register_profile("full", settings(), deadline=None)
settings.register_profile("quick", settings(), deadline=None, max_examples=10)
settings.load_profile("full")

gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Let the collector work from here on, but not on what was imported: looking through that is half of its work."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> Iterator[None]:
    """Let SIGINT interrupt: a script that starts the tests in the background has it ignored, and so have children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A real broker on free ports, shared by all tests: use topic and group names of your own."""
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    # A thread of its own, so that the loop which waits for the broker is none of the tests' loops.
    with ThreadPoolExecutor(max_workers=1) as waiter:
        try:
            waiter.submit(asyncio.run, broker.start()).result()
            yield broker
        finally:
            waiter.submit(asyncio.run, broker.stop()).result()


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded ClickHouse; `clickhouse_url` and `module_clickhouse_url` give it to one test or file at a time."""
    server = EmbeddedServer(tmp_path_factory.mktemp("clickhouse"))
    yield server
    assert server.end(signal.SIGTERM) == 0


@pytest.fixture
def clickhouse_url(clickhouse_server: EmbeddedServer) -> Iterator[str]:
    """An empty ClickHouse, which this test must not stop."""
    yield clickhouse_server.url
    clickhouse_server.drop_databases()


@pytest.fixture(scope="module")
def module_clickhouse_url(clickhouse_server: EmbeddedServer) -> Iterator[str]:
    """An empty ClickHouse for all tests of a file, none of which asks for `clickhouse_url`."""
    yield clickhouse_server.url
    clickhouse_server.drop_databases()


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    """A provider simulator in the test's loop that answers at once, and whose judges do not err."""
    async with running_simulator(time_scale=0) as running:
        running.set_behaviour(judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options() -> dict[str, Any]:
    """What the deployment of a test is given besides; a file with other needs has a fixture of this name."""
    return {}


@pytest.fixture
async def deployment(
    kafka: EmbeddedKafka, simulator: RunningSimulator, tmp_path: Path, deployment_options: dict[str, Any]
) -> AsyncIterator[Deployment]:
    """Topics under a prefix of the test's own; no process runs yet."""
    made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, **deployment_options)
    async with made.running():
        yield made

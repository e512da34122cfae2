"""Workers and sinks that find no Kafka, or no ClickHouse, say so and wait, and a signal ends the waiting."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from support.deployment import Deployment
from support.embedded_kafka import running_kafka
from support.ledger_records import ClickHouseProcess

from streams.kafka.admin import create_topics
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.ports import free_port
from tierstream.stack.process import Child
from topics.requests import Request

WAITS = "does not answer"
START_S = 120.0


@pytest.fixture
async def own_kafka(tmp_path):
    """A broker of the test's own, to be held."""
    async with running_kafka(tmp_path / "broker") as broker:
        yield broker
        os.kill(broker.pid, signal.SIGCONT)


class Process:
    """A process of a deployment that need not get ready."""

    def __init__(self, deployment: Deployment, command: str, name: str, **environment: str) -> None:
        self.log = deployment.folder / f"{name}.log"
        self.ready_file = deployment.folder / f"{name}.ready"
        self.child = Child.start(
            (sys.executable, "-m", "tierstream", command),
            env=deployment.environment(TIERSTREAM_READY_FILE=str(self.ready_file), **environment),
            log_file=self.log,
        )

    async def says(self, *words: str) -> None:
        while not all(word in self.text for word in words):
            assert self.child.exit_code is None, self.text
            await asyncio.sleep(0.05)

    async def is_ready(self) -> None:
        check = HealthCheck(kind="ready_file", target=str(self.ready_file))
        await wait_healthy(self.child, check, name=self.log.stem, log_file=self.log, timeout_s=START_S)

    @property
    def text(self) -> str:
        return self.log.read_text()


@pytest.fixture
async def clickhouse(tmp_path: Path):
    """A server that knows its port and does not run."""
    (tmp_path / "clickhouse").mkdir()
    server = ClickHouseProcess(tmp_path / "clickhouse")
    await server.start()
    await server.stop()
    yield server
    await server.stop()


@pytest.mark.slow
async def test_workers_and_sinks_wait_for_a_broker_that_hangs_and_for_clickhouse(
    own_kafka, simulator, clickhouse, tmp_path
):
    deployment = Deployment(own_kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url)
    await create_topics(deployment.settings)
    os.kill(own_kafka.pid, signal.SIGSTOP)
    worker = Process(deployment, "worker", "worker")
    other = Process(deployment, "worker", "other")
    sink = Process(deployment, "sink", "sink", CLICKHOUSE_URL=clickhouse.url)
    try:
        at_kafka = (f"Kafka at {own_kafka.bootstrap_servers} {WAITS}", "waiting for it since")
        await sink.says(f"ClickHouse at {clickhouse.url.removeprefix('http://')} {WAITS}", "waiting for it since")
        await clickhouse.start()
        await asyncio.gather(worker.says(*at_kafka), other.says(*at_kafka))
        os.kill(other.child.pid, signal.SIGTERM)
        assert await other.child.wait() == 0
        await sink.says(*at_kafka)

        os.kill(own_kafka.pid, signal.SIGCONT)
        await asyncio.gather(worker.is_ready(), sink.is_ready())
        request = Request.model_validate({"request_id": "r", "messages": [{"role": "user", "content": "Hello"}]})
        await deployment.send([request])
        assert (await deployment.results(["r"]))["r"].status == "ok"
    finally:
        for process in (worker, other, sink):
            process.child.kill()


async def test_a_signal_ends_the_waiting_for_a_broker_that_does_not_run(simulator, tmp_path):
    nowhere = Deployment(f"127.0.0.1:{free_port()}", tmp_path, simulator_url=simulator.url)
    worker = Process(nowhere, "worker", "worker")
    sink = Process(nowhere, "sink", "sink", CLICKHOUSE_URL=f"http://127.0.0.1:{free_port()}")
    try:
        for process, number in ((worker, signal.SIGINT), (sink, signal.SIGTERM)):
            await process.says(WAITS)
            os.kill(process.child.pid, number)
            assert await process.child.wait() == 0
            assert "Traceback" not in process.text
    finally:
        worker.child.kill()
        sink.child.kill()


@pytest.mark.slow
async def test_a_topic_that_is_missing_is_not_waited_for(kafka, simulator, tmp_path):
    process = Process(Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url), "worker", "worker")
    try:
        assert await process.child.wait() == 2
        assert "is missing: run `tierstream topics create`" in process.text.splitlines()[-1]
    finally:
        process.child.kill()

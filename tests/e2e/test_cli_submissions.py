"""`tierstream submissions` and a worker's metrics, while a provider is at its batches and when it has ended them."""

import asyncio
import json

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.bulk_requests import bulk_requests, config
from typer.testing import CliRunner

from streams.kafka.publisher import Output, Publisher
from tierstream.cli import app
from tierstream.simulator.server import running_simulator
from tierstream.stack.ports import free_port
from topics.feedback import Cancellation
from topics.registry import FEEDBACK

COUNT = 12


@pytest.fixture
async def simulator():
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(batch_s=600)
        yield running


@pytest.fixture
def deployment_options():
    return {"config": config()}


class Operator:
    """Somebody who looks at a deployment from outside."""

    def __init__(self, deployment, port):
        self._deployment = deployment
        self._port = port

    async def told(self, *options):
        words = ["--config", str(self._deployment.config), "submissions", *options]
        result = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def listed(self, *options):
        return json.loads(await self.told("--json", *options))["submissions"]

    async def metric(self, name):
        url = f"http://127.0.0.1:{self._port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            families = text_string_to_metric_families(await response.text())
        return sum(sample.value for family in families if family.name == name for sample in family.samples)

    async def until(self, is_so, *options):
        """Look until the list is as it is to be."""
        while not is_so(found := await self.listed(*options)):
            self._deployment.check()
        return found


@pytest.mark.slow
async def test_an_operator_sees_what_is_under_way_and_how_it_ended(deployment, simulator, monkeypatch):
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    port = free_port()
    operator = Operator(deployment, port)
    await deployment.start_worker(TIERSTREAM_OPERATIONS__METRICS_PORT=str(port))
    asked = bulk_requests(COUNT)
    await deployment.send(asked)

    def all_are_there(found):
        return sum(one["calls"] for one in found) == COUNT and {one["state"] for one in found} == {"submitted"}

    under_way = await operator.until(all_are_there)
    ids = {one["submitted"]["batch_id"] for one in under_way}
    assert ids == {batch["id"] for batch in simulator.batches}
    assert {(one["stage"], one["provider"]) for one in under_way} == {("infer:1", "groq")}
    table = await operator.told()
    assert all(batch_id in table for batch_id in ids)
    assert await operator.metric("tierstream_submissions") == len(under_way)
    assert await operator.metric("tierstream_bulk_waiting_tasks") == 0

    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(FEEDBACK, Cancellation(request_id=one.request_id)) for one in asked])
    ended = await operator.until(lambda found: all(one["ended"] for one in found), "--all")
    assert [one["submission_id"] for one in ended] == [one["submission_id"] for one in under_way]
    assert {(one["state"], one["ended"]["answered"]) for one in ended} == {("collected", 0)}
    assert await operator.told() == "no submissions under way\n"

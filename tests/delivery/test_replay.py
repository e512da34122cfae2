"""Recorded requests under the same policy and under another one, against a real run of the other."""

import asyncio
import csv
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from support.deployment import Deployment
from typer.testing import CliRunner

from analytics.clickhouse import open_client
from streams.config.settings import load_over
from streams.kafka.clock import utc_now
from tierstream.cli import app
from tierstream.client.request_run import run_requests
from tierstream.demo.corpus import sample
from tierstream.replay.replay_run import replay
from topics.requests import Request

COUNT = 400

CONFIG = """
[routing]
classifier = "cascade"
{routing}
[routing.llm]
budget_ms = 20000

[validation]
sample_rate = 0.2
min_sample_rate = 0.2
max_sample_rate = 0.2
max_spend_share = 0.9

[clickhouse]
url = "{url}"
database = "{database}"
"""

BOUNDARY = "boundary = [0.25, 0.35]"
REST = """
[prices."openai/gpt-6-luna"]
input = 2
output = 9

[[routing.rules]]
name = "code"
when = { query_type = ["code"] }
floor = 2
"""
POLICY = f"[routing]\n{BOUNDARY}\n{REST}"


def traffic():
    """Make requests, each with a text of its own so that no call is shared, and the script of their answers."""
    made, script = [], []
    for number, entry in enumerate(sample(COUNT, 3)):
        fields, told = entry.request_fields(), entry.script()
        last = fields["messages"][-1]
        last["content"] = told["prompt"] = f"{told['prompt']} (case {number})"
        made.append(Request.model_validate({**fields, "request_id": f"r{number}"}))
        script.append(told)
    return made, "\n".join(map(json.dumps, script))


async def sums(url, database):
    async with open_client(url) as client:
        found = await client.query(
            f"SELECT (SELECT count() FROM {database}.requests), (SELECT count() FROM {database}.calls), "
            f"(SELECT sum(cost_usd) FROM {database}.call_ledger)"
        )
    return found.result_rows[0]


@asynccontextmanager
async def recorded(kafka, simulator, folder, url, database, *, routing="", rest=""):
    """Run all requests through a deployment of its own, until the ledger has everything."""
    folder.mkdir()
    config = CONFIG.format(routing=routing, url=url, database=database) + rest
    deployment = Deployment(kafka.bootstrap_servers, folder, simulator_url=simulator.url, config=config)
    async with deployment.running():
        await deployment.start_worker()
        await deployment.start("sink")
        report = await run_requests(deployment.settings, traffic()[0], on_result=lambda _: None, timeout_s=200)
        assert (report.results, report.missing) == (COUNT, ())
        await deployment.quiet()
        seen = None
        while (now := await sums(url, database)) != seen or now[0] < COUNT:
            deployment.check()
            seen = now
            await asyncio.sleep(0.5)
        yield deployment


async def test_a_replay_says_what_a_policy_will_cost(kafka, simulator, clickhouse_url, tmp_path):
    simulator.script.add_lines(traffic()[1], "test")
    since = utc_now() - timedelta(minutes=1)
    async with recorded(kafka, simulator, tmp_path / "now", clickhouse_url, "now") as deployment:
        base = deployment.settings
        until = utc_now() + timedelta(minutes=1)
        served = len(simulator.calls)
        same = (await replay(base, None, since, until)).report
        assert same.coverage.replayed == COUNT
        assert (same.reproduced, same.differences) == (COUNT, ())

        (tmp_path / "policy.toml").write_text(POLICY)
        policy = load_over(deployment.config, tmp_path / "policy.toml")
        found = await replay(base, policy, since, until)
        print(json.dumps(found.report.model_dump(mode="json"), indent=1))
        assert len(simulator.calls) == served
        print("votes", sum(one.again.asks for one in found.requests), sum(one.again.is_voteless for one in found.requests))
    async with recorded(
        kafka, simulator, tmp_path / "then", clickhouse_url, "then", routing=BOUNDARY, rest=REST
    ) as other:
        real = float((await sums(clickhouse_url, "then"))[2])
        rerun = (await replay(other.settings, None, since, utc_now())).report
        print("real", real, rerun.reproduced)
    expected = found.report.policy.cost_usd
    print(expected, "real", real, expected.expected / real - 1)
    assert abs(expected.expected / real - 1) < 0.02

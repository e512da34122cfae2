"""Recorded requests under the same policy and under another one, against a real run of the other."""

import asyncio
import csv
import json
import subprocess
import sys
from datetime import timedelta

import pytest
from support.replayed_traffic import BOUNDARY, POLICY, PRICES, run_for_real, spent, traffic

from streams.config.settings import load_over
from streams.kafka.clock import utc_now
from tierstream.replay.replay_run import replay

COUNT = 500
WINDOW = timedelta(minutes=10)


@pytest.fixture
def folder(tmp_path):
    """A folder by name."""

    def made(name):
        (tmp_path / name).mkdir()
        return tmp_path / name

    return made


async def tierstream(deployment, *arguments):
    """Run a command of the deployment; its exit code and output."""
    command = (sys.executable, "-m", "tierstream", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, env=deployment.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.slow
async def test_the_same_policy_decides_as_it_did_votes_among_it(kafka, simulator, clickhouse_url, folder):
    requests, script = traffic(COUNT)
    simulator.script.add_lines(script, "test")
    # Votes of which some fail, so that the record has none.
    simulator.set_behaviour("groq", rate_500=0.05)
    servers = kafka.bootstrap_servers
    async with run_for_real(
        servers, simulator, folder("votes"), clickhouse_url, requests, classifier="cascade"
    ) as deployment:
        served = len(simulator.calls)
        found = await replay(deployment.settings, None, utc_now() - WINDOW, utc_now() + WINDOW)
        code, told, _ = await tierstream(deployment, "replay", "--from", "10m", "--json")
        assert (code, json.loads(told)["reproduced"]) == (0, COUNT)
        code, _, error = await tierstream(deployment, "replay", "--from", "20m", "--to", "15m")
        assert (code, error.count("no result of a request is recorded")) == (2, 1)
        assert len(simulator.calls) == served
    report = found.report
    assert (report.coverage.settled, report.coverage.replayed) == (COUNT, COUNT)
    assert (report.reproduced, report.differences) == (COUNT, ())
    assert sum(one.again.asks and not one.again.is_voteless for one in found.requests) > COUNT * 0.02
    assert float(report.recorded_usd) == pytest.approx(await spent(clickhouse_url, "votes"))


@pytest.mark.slow
async def test_another_policy_costs_what_a_replay_says(kafka, simulator, clickhouse_url, tmp_path, folder):
    requests, script = traffic(COUNT)
    simulator.script.add_lines(script, "test")
    (tmp_path / "policy.toml").write_text(POLICY)
    servers = kafka.bootstrap_servers
    async with run_for_real(servers, simulator, folder("now"), clickhouse_url, requests) as deployment:
        policy = load_over(deployment.config, tmp_path / "policy.toml")
        found = await replay(deployment.settings, policy, utc_now() - WINDOW, utc_now() + WINDOW)
        files = ("--policy", str(tmp_path / "policy.toml"), "--csv", str(tmp_path / "changes.csv"))
        code, told, error = await tierstream(deployment, "replay", *files, "--from", "10m", "--limit", "200")
        assert (code, error) == (0, "")
        assert "200 of 200 recorded requests" in told
        assert "T1 fast open-weight" in told
    async with run_for_real(
        servers, simulator, folder("then"), clickhouse_url, requests, routing=BOUNDARY, rest=PRICES
    ) as other:
        real = await replay(other.settings, None, utc_now() - WINDOW, utc_now() + WINDOW)
    went = {one.record.request_id: one.was.tier for one in real.requests}
    assert {one.record.request_id: one.then.tier for one in found.requests} == went
    cost = found.report.policy.cost_usd
    told, paid = cost.expected, float(real.report.recorded_usd)
    assert cost.recorded == pytest.approx(float(found.report.recorded_usd))
    # Few hundred requests, of which some tens go another way: chance moves more than the 2 % of a large run.
    assert abs(told / paid - 1) < 0.06
    assert abs(told - paid) < abs(cost.recorded - paid) / 2
    lines = list(csv.DictReader((tmp_path / "changes.csv").read_text().splitlines()))
    assert lines
    assert all(went[line["request_id"]] == int(line["to_tier"]) for line in lines)

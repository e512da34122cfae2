"""`tierstream bench` as a user runs it: a stack of its own, a little load, and the figures as JSON."""

import asyncio
import json
import sys

import pytest
from support.deployment import clean_environment


async def bench(folder, *arguments):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tierstream", "bench", *arguments),
        cwd=folder,
        env={**clean_environment(), "TIERSTREAM_KAFKA__PARTITIONS": "2"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_the_pipeline_under_a_little_load(tmp_path):
    options = ("--rates", "20", "--duration", "2", "--warm-up", "1", "--json")
    code, stdout, stderr = await bench(tmp_path, "pipeline", *options)
    assert code == 0, stderr
    report = json.loads(stdout)
    [load] = report["loads"]
    assert (load["load"], load["sent"], load["results"], load["missing"], load["duplicates"]) == ("20/s", 40, 40, 0, 0)
    assert load["by_status"] == {"ok": 40}
    assert load["cpu_ms"].keys() == {"broker", "clickhouse", "worker", "sink", "client", "mock"}
    assert load["rss_mib"].keys() == load["cpu_ms"].keys()
    assert load["latency_ms"].keys() == load["added_ms"].keys() == {"p50", "p95", "p99", "max"}
    assert {"classify", "infer:1", "settle"} <= load["stages"].keys()
    assert load["stages"]["settle"]["steps"] == 40
    assert load["topics"]["llm.requests"]["records"] == load["topics"]["llm.results"]["records"] == 40
    assert report["limit"]["records_per_s"] > 0
    # The stack had a folder of its own, and that has gone.
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
async def test_a_worker_that_is_killed_loses_nothing(tmp_path):
    options = ("--rates", "20", "--duration", "4", "--warm-up", "1", "--latency-ms", "100", "--no-limit", "--json")
    code, stdout, stderr = await bench(tmp_path, "pipeline", "--kill", *options)
    assert code == 0, stderr
    [found] = json.loads(stdout)["durability"]
    assert (found["sent"], found["answered"], found["lost"], found["doubled"]) == (80, 80, 0, 0)
    assert found["billed"] == 80
    # Only what was on the wire may be called again, and somebody can ask what it cost.
    assert found["repeated"] <= found["unbilled"] <= found["unknown"]


@pytest.mark.slow
async def test_a_sink_that_is_killed_loses_and_doubles_nothing(tmp_path):
    code, stdout, stderr = await bench(tmp_path, "sink", "--requests", "2000", "--kill", "--json")
    assert code == 0, stderr
    found = json.loads(stdout)
    assert (found["killed"], found["lost"], found["doubled"]) == (True, 0, 0)
    assert found["rows"] >= found["records"] >= 3 * 2000


@pytest.mark.slow
async def test_a_start_and_a_stack_that_nobody_uses(tmp_path):
    code, stdout, stderr = await bench(tmp_path, "start", "--starts", "1", "--json")
    assert code == 0, stderr
    [start] = json.loads(stdout)["starts"]
    assert 0 < start["ready_wall_s"] < start["first_result_wall_s"]
    code, stdout, stderr = await bench(tmp_path, "idle", "--seconds", "1", "--settle", "0", "--json")
    assert code == 0, stderr
    assert {"worker", "broker", "clickhouse", "sink"} <= json.loads(stdout)["rss_mib"].keys()


async def test_decisions_need_no_stack(tmp_path):
    code, stdout, stderr = await bench(tmp_path, "classify", "--seconds", "0.1", "--json")
    assert (code, stderr) == (0, "")
    assert json.loads(stdout)["per_s"] > 0


async def test_a_peer_needs_the_mock(tmp_path):
    code, stdout, stderr = await bench(tmp_path, "pipeline", "--peer", "litellm", "--provider", "simulator")
    assert (code, stdout) == (2, "")
    assert "--peer" in stderr


async def test_a_picture_of_an_unknown_format_is_refused_before_anything_starts(tmp_path):
    code, stdout, stderr = await bench(tmp_path, "pipeline", "--plot", "figures.txt")
    assert (code, stdout) == (2, "")
    assert ".png" in stderr
    assert "starting" not in stderr


@pytest.mark.parametrize("rates", ["", "0", "20,fast", "-1", "inf"])
async def test_a_rate_that_is_none_is_refused_before_anything_starts(tmp_path, rates):
    code, stdout, stderr = await bench(tmp_path, "pipeline", "--rates", rates)
    assert (code, stdout) == (2, "")
    assert "--rates" in stderr
    assert "starting" not in stderr

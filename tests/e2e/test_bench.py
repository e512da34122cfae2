"""`tierstream bench` as a user runs it: a stack of its own, a little load, and the figures as JSON."""

import asyncio
import json
import sys

import pytest
from support.answers_and_ends import PAIRS, write_pairs
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


@pytest.mark.slow
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
async def test_the_door_beside_kafka(tmp_path):
    code, stdout, stderr = await bench(tmp_path, "door", "--rates", "10", "--duration", "2", "--json")
    assert code == 0, stderr
    [load] = json.loads(stdout)["loads"]
    assert [(load[way]["requests"], load[way]["missing"]) for way in ("kafka", "door")] == [(20, 0), (20, 0)]
    assert {"door", "broker", "worker", "client"} <= load["door"]["cpu_ms"].keys()
    assert load["added_p50_ms"] is not None


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


@pytest.mark.slow
async def test_answers_are_stopped_by_checks_or_the_judge_and_the_others_come_through(tmp_path):
    file = write_pairs(tmp_path / "pairs.jsonl", [*PAIRS, {**PAIRS[0], "id": "again"}])
    code, stdout, stderr = await bench(tmp_path, "answers", str(file), "--json")
    assert code == 0, stderr
    report = json.loads(stdout)
    counts = [report[name] for name in ("pairs", "requests", "results", "missing", "duplicates")]
    assert counts == [21, 40, 40, 0, 0]
    assert (report["repeated"], report["unmeasured"]) == (["again"], [])
    kinds = {one["kind"]: one for one in report["kinds"]}
    one_each = dict.fromkeys(("refusal", "contradiction", "invented", "language", "loop"), 1)
    assert {kind: one["answers"] for kind, one in kinds.items()} == {"schema": 3, "truncated": 2, **one_each}
    assert kinds["schema"]["by_check"] == {"schema": 3}
    assert kinds["truncated"]["by_check"] == {"truncated": 2}
    assert kinds["refusal"]["checks"]["count"] == 1
    # What the checks let through the judge saw: none of its errors is among these.
    good, bad = report["good"], report["bad"]
    assert (bad["answers"], bad["stopped"]["count"]) == (10, 10)
    assert bad["checks"]["count"] + bad["judge"]["count"] == 10
    assert (good["answers"], good["stopped"]["count"], good["judge"]["of"]) == (10, 0, 10)
    assert report["endings"]["right"] == 20
    assert "assumption" in report["judge"]["note"]
    # Each request of the arm without the judge had the calls that its checks asked for, and none of a judge.
    alone, judged = report["without_judge"], report["with_judge"]
    assert (alone["requests"], alone["judge_calls"], float(alone["judges_usd"])) == (20, 0, 0)
    assert judged["judge_calls"] >= 10
    assert float(judged["spend_usd"]) > float(judged["judges_usd"]) > 0
    latency = {one["way"]: one["requests"] for one in report["latency"]}
    assert latency["judged"] == 10
    assert latency["plain"] + latency["escalated by a check"] == 20
    assert latency["escalated by the judge"] == bad["judge"]["count"]


@pytest.mark.slow
async def test_a_month_has_its_results_and_its_invariants_in_every_run(tmp_path):
    options = ("--requests", "200", "--days", "4", "--plot", "month.svg", "--json")
    code, stdout, stderr = await bench(tmp_path, "month", *options)
    assert code == 0, stderr
    report = json.loads(stdout)
    runs = {run["name"]: run for run in report["runs"]}
    assert list(runs) == ["off", "on", "budget"]
    for run in runs.values():
        counts = [run[name] for name in ("requests", "results", "missing", "duplicates")]
        assert counts == [200, 200, 0, 0]
        assert run["verified"] == {"ok": True, "violated": {}}
        assert [(day["day"], day["requests"]) for day in run["days"]] == [(day, 50) for day in range(1, 5)]
        assert all(float(day["cost_usd"]) > 0 for day in run["days"])
        assert all(0 < day["right"] <= day["right_in_the_end"] <= 50 for day in run["days"])
        spent = sum(float(cost) for cost in run["learned"]["cost_by_purpose"].values())
        assert sum(float(day["cost_usd"]) for day in run["days"]) == pytest.approx(spent)
    off, on, budget = runs.values()
    assert (off["learned"]["feedback"], off["rounds"], off["learned"]["revisions"]) == ({}, [], 0)
    assert [one["after_day"] for one in on["rounds"]] == [1, 2, 4]
    planted = [(step["state"], step["by"]) for step in on["steps"] if step["version"] == on["planted"]]
    assert planted[:2] == [("proposed", "operator"), ("promoted", "operator")]
    assert "unmatched" not in on["learned"]["feedback"]
    assert min(sum(on["learned"]["feedback"].values()), on["learned"]["revisions"]) > 0
    assert on["learned"]["judge_rates"]
    assert on["learned"]["judge_others"] is not None
    assert (on["learned"]["online_policies"], budget["rounds"]) == (0, [])
    assert budget["learned"]["online_policies"] > 0
    assert report["phases"][-1]["runs"].keys() == runs.keys()
    assert (tmp_path / "month.svg").stat().st_size > 0


async def test_a_file_without_pairs_is_refused_before_anything_starts(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"id": "a"}\n')
    code, stdout, stderr = await bench(tmp_path, "answers", str(file))
    assert (code, stdout) == (2, "")
    assert "line 1" in stderr
    assert "starting" not in stderr

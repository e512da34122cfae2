"""The main job as a user does it: a stack in the background on free ports, and the commands against it."""

import asyncio
import json
import os
import signal
import sys
from decimal import Decimal

import aiohttp
import psutil
import pytest
import pytest_asyncio
from support.deployment import clean_environment

from tierstream.stack.state import read_state

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = {"kafka", "clickhouse", "simulator", "dashboard", "worker-1", "sink", "serve"}


class CommandLine:
    """`tierstream` commands in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.data_dir = folder / ".tierstream"
        ports = ("KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "CLICKHOUSE_PORT", "SIMULATOR_PORT")
        self.environment = {
            **clean_environment(),
            **{f"TIERSTREAM_STACK__{port}": "0" for port in ports},
            "TIERSTREAM_DASHBOARD__PORT": "0",
            "TIERSTREAM_SERVE__PORT": "0",
            "TIERSTREAM_STACK__SIMULATOR_TIME_SCALE": "0.05",
            "TIERSTREAM_KAFKA__PARTITIONS": "3",
            "COLUMNS": "200",
        }

    async def run(self, *arguments, stdin=b""):
        """Run a command; return its exit code, stdout and stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tierstream", *map(str, arguments)),
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate(stdin)
        return process.returncode, stdout.decode(), stderr.decode()

    async def json(self, *arguments):
        """Run a command that succeeds and prints JSON."""
        code, stdout, stderr = await self.run(*arguments, "--json")
        assert code == 0, stderr
        return json.loads(stdout)

    async def until(self, *arguments):
        """Run a command until it succeeds: the ledger is a moment behind the results."""
        while (found := await self.run(*arguments, "--json"))[0]:
            assert "Traceback" not in found[2]
        return json.loads(found[1])

    def processes(self):
        """The processes of the stack, the supervisor among them."""
        state = read_state(self.data_dir)
        identities = [state.supervisor, *(service.process for service in state.services)] if state else []
        return [process for identity in identities if (process := identity.find())]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory):
    made = CommandLine(tmp_path_factory.mktemp("main-job"))
    try:
        code, stdout, stderr = await made.run("up", "--detach")
        assert code == 0, stderr
        assert "simulated providers (no key in the environment): groq, together, openai, anthropic" in stdout
        yield made
    finally:
        await made.run("down")
        for process in made.processes():
            process.kill()


async def test_status_shows_every_part(stack):
    found = await stack.json("status")
    assert {service["name"]: service["state"] for service in found["services"]} == dict.fromkeys(SERVICES, "running")
    assert found["simulated"] == ["groq", "together", "openai", "anthropic"]
    [pages] = [service["url"] for service in found["services"] if service["name"] == "dashboard"]
    async with aiohttp.ClientSession() as session, session.get(pages) as answer:
        assert "No requests yet in the last 30 days" in await answer.text()
    [door] = [service["url"] for service in found["services"] if service["name"] == "serve"]
    async with aiohttp.ClientSession() as session, session.get(f"{door}/models") as answer:
        assert "auto" in {model["id"] for model in (await answer.json())["data"]}
    assert "already running" in (await stack.run("up", "--detach"))[1]
    # Nothing but the data folder comes to be where the user works.
    assert {path.name for path in stack.folder.iterdir()} == {".tierstream"}


async def test_one_request_from_the_question_to_the_ledger(stack):
    code, answer, stderr = await stack.run("send", "--wait", "--id", "first", "--user", "ann", "What is Kafka?")
    assert code == 0, stderr
    assert answer.strip()
    result = await stack.json("results", "--request", "first")
    assert (result["request_id"], result["status"], result["user_id"]) == ("first", "ok", "ann")
    assert result["content"] == answer.rstrip("\n")

    trace = await stack.until("trace", "first")
    while "settle" not in [hop["stage"] for hop in trace["hops"]] or not trace["results"]:
        trace = await stack.until("trace", "first")
    assert [hop["stage"] for hop in trace["hops"]] == ["classify", f"infer:{result['tier']}", "settle"]
    assert Decimal(trace["results"][0]["cost_usd"]) == Decimal(result["cost_usd"]) > 0
    summary = await stack.json("report", "summary")
    assert (summary["requests"], summary["statuses"]) == (1, {"ok": 1})
    assert Decimal(summary["total_cost_usd"]) == Decimal(result["cost_usd"])
    assert (await stack.run("trace", "nobody"))[0] == 1


async def test_a_file_of_requests(stack):
    lines = [{"request_id": f"line-{n}", "prompt": f"What is line {n}?", "tags": ["file"]} for n in range(50)]
    (stack.folder / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    report = await stack.json("run", "--input", "in.jsonl", "--output", "out.jsonl")
    assert (report["results"], report["missing"], report["duplicates"]) == (50, 0, 0)
    assert report["by_status"] == {"ok": 50}
    written = [json.loads(line) for line in (stack.folder / "out.jsonl").read_text().splitlines()]
    assert {result["request_id"] for result in written} == {line["request_id"] for line in lines}
    assert sum(Decimal(result["cost_usd"]) for result in written) == Decimal(report["cost_usd"])
    again = await stack.json("run", "--input", "in.jsonl", "--output", "out.jsonl")
    assert (again["produced"], again["results"]) == (0, 50)
    while (summary := await stack.json("report", "summary", "--tag", "file"))["requests"] < 50:
        pass
    assert Decimal(summary["results_cost_usd"]) == Decimal(report["cost_usd"])


async def test_the_demo(stack):
    figures = await stack.json("demo", "--requests", 100, "--rate", 50)
    assert figures["requests"] == figures["results"] == 100
    assert figures["duplicates"] == 0
    assert set(figures["by_tier"]) == {"1", "2", "3"}
    assert sum(tier["requests"] for tier in figures["by_tier"].values()) <= 100
    assert 0 < figures["cost_usd"] < figures["frontier_cost_usd"]
    assert 0 < figures["saved_share"] < 1
    assert 0 < figures["quality"] <= 1
    assert set(figures["misrouted"]) == {"too_low", "too_high"}
    trace = await stack.until("trace", figures["example"])
    assert trace["request_id"] == figures["example"]


async def test_a_killed_supervisor_keeps_the_data_and_leaves_no_process(stack):
    before = stack.processes()
    state = read_state(stack.data_dir)
    os.kill(state.supervisor.pid, signal.SIGKILL)
    psutil.wait_procs([process for process in before if process.pid == state.supervisor.pid])

    code, _, stderr = await stack.run("up", "--detach")
    assert code == 0, stderr
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in before)
    kept = await stack.json("results", "--request", "first")
    assert kept["request_id"] == "first"
    assert (await stack.until("trace", "first"))["results"]
    code, answer, _ = await stack.run("send", "--wait", "Is everything well?")
    assert code == 0
    assert answer.strip()

    running = stack.processes()
    assert len(running) == len(SERVICES) + 1
    code, stdout, _ = await stack.run("down")
    assert code == 0
    assert set(stdout.removeprefix("stopped ").strip().split(", ")) == SERVICES
    _, alive = psutil.wait_procs(running, timeout=30)
    assert alive == []
    assert (await stack.run("status"))[0] == 1
    assert (await stack.run("down"))[1] == "nothing runs here\n"

"""The simulator's own routes and its process: control, script, served calls, start and stop."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tierstream.simulator import ConfigError, RunningSimulator, load_config, running_simulator

LUNA = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "What is 6 times 7?"}]}
KEY = {"Authorization": "Bearer any"}


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(time_scale=0) as simulator:
        yield simulator


@pytest.fixture
async def http(sim: RunningSimulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(sim.url, headers=KEY) as session:
        yield session


async def ask(http: aiohttp.ClientSession, body: dict[str, Any] = LUNA) -> tuple[int, Any]:
    async with http.post("/openai/v1/chat/completions", json=body) as response:
        return response.status, await response.json()


async def post(http: aiohttp.ClientSession, path: str, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, str) else json.dumps(body)
    async with http.post(path, data=data) as response:
        return response.status, await response.json()


async def test_behaviour_changes_and_resets_at_run_time(http: aiohttp.ClientSession) -> None:
    change = {"provider": "openai", "model": "*", "set": {"rate_500": 1}}
    status, behaviours = await post(http, "/control", change)
    assert status == 200
    assert behaviours["openai"]["gpt-6.1-sol"]["rate_500"] == 1
    assert sorted(behaviours["openai"]["gpt-6.1-sol"]["takes"]) == ["files", "images"]
    assert behaviours["groq"]["openai/gpt-oss-20b"]["rate_500"] == 0
    assert (await ask(http))[0] == 500
    await post(http, "/control/reset", "")
    assert (await ask(http))[0] == 200


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"provider": "openai", "set": {"rate_5000": 1}}, 400, "rate_5000: unknown key"),
        ({"provider": "openai", "set": {"rate_500": 2}}, 400, "rate_500"),
        ({"provider": "openai", "set": {"rate_500": 0.6, "rate_cut": 0.6}}, 400, "add up to 1.2"),
        ({"provider": "openai", "set": {"takes": ["sounds"]}}, 400, "takes"),
        ({"provider": "openai", "set": {"rate_bad_arguments": 0.6, "rate_500": 0.6}}, 400, "add up to 1.2"),
        ({"provider": "nobody", "set": {}}, 404, "nobody"),
        ({"provider": "openai"}, 400, "set"),
    ],
)
async def test_wrong_changes_are_refused(
    http: aiohttp.ClientSession, change: dict[str, Any], status: int, named: str
) -> None:
    got, body = await post(http, "/control", change)
    assert got == status
    assert named in body["error"]


async def test_script_grows_at_run_time(http: aiohttp.ClientSession) -> None:
    line = json.dumps({"prompt": "What is 6 times 7?", "label": 2, "answer": "42"})
    assert await post(http, "/script", f"{line}\n") == (200, {"added": 1, "script_entries": 1})
    _, completion = await ask(http)
    assert completion["choices"][0]["message"]["content"] == "42"
    status, body = await post(http, "/script", f"{line}\n{{}}\n")
    assert status == 400
    assert "line 2" in body["error"]


async def test_served_calls_by_running_index(http: aiohttp.ClientSession) -> None:
    for _ in range(3):
        await ask(http)
    async with http.get("/calls", params={"since": 1}) as response:
        page = await response.json()
    assert [call["index"] for call in page["calls"]] == [1, 2]
    assert page["next"] == 3
    async with http.get("/health") as response:
        assert (await response.json())["calls"] == 3


async def test_vendor_error_bodies(http: aiohttp.ClientSession) -> None:
    status, body = await post(http, "/openai/v1/chat/completions", "{not json")
    assert (status, set(body["error"])) == (400, {"message", "type", "param", "code"})
    _, body = await ask(http, {**LUNA, "model": "gpt-0"})
    assert body["error"]["code"] == "model_not_found"
    _, body = await post(http, "/anthropic/v1/messages", "{}")
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


async def test_stream_framing(http: aiohttp.ClientSession) -> None:
    async with http.post("/openai/v1/chat/completions", json={**LUNA, "stream": True}) as response:
        assert response.content_type == "text/event-stream"
        assert response.headers["x-request-id"].startswith("req_")
        events = (await response.text()).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: ") for event in events[:-1])
    assert len(events) < 20


async def test_paced_stream_carries_the_whole_answer() -> None:
    answer = "A long enough answer to be sent in several parts. " * 4
    behaviour = {"ttft_ms": 0, "tokens_per_second": 200, "jitter": 0, "reasoning_share": 0}
    script = [{"prompt": "What is 6 times 7?", "label": 1, "answer": answer}]
    async with running_simulator(script=script) as sim, aiohttp.ClientSession(sim.url, headers=KEY) as http:
        sim.set_behaviour("openai", **behaviour)
        async with http.post("/openai/v1/chat/completions", json={**LUNA, "stream": True}) as response:
            events = [json.loads(event[6:]) for event in (await response.text()).split("\n\n")[:-2]]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == answer


async def test_stream_without_usage_is_logged_without(sim: RunningSimulator, http: aiohttp.ClientSession) -> None:
    async with http.post("/openai/v1/chat/completions", json={**LUNA, "stream": True}) as response:
        await response.read()
    assert (sim.calls[0]["status"], sim.calls[0]["usage"]) == (200, None)


async def test_client_that_leaves_is_logged() -> None:
    # Half an hour of latency, so that the call is under way for as long as the client stays.
    async with running_simulator(time_scale=10_000) as sim:
        timeout = aiohttp.ClientTimeout(total=0.05)
        async with aiohttp.ClientSession(sim.url, headers=KEY, timeout=timeout) as http:
            with pytest.raises(TimeoutError):
                await ask(http)
        (call,) = await sim.served(1)
        assert (call["status"], call["usage"]) == ("client_closed", None)


async def test_faults_repeat_with_the_seed() -> None:
    statuses = []
    for _ in range(2):
        async with running_simulator(time_scale=0) as sim, aiohttp.ClientSession(sim.url, headers=KEY) as http:
            sim.set_behaviour(rate_500=0.3, rate_429=0.2)
            statuses.append([(await ask(http))[0] for _ in range(30)])
    assert statuses[0] == statuses[1]
    assert set(statuses[0]) == {200, 429, 500}


def test_config_errors_name_the_key(tmp_path: Path) -> None:
    path = tmp_path / "sim.toml"
    path.write_text('[providers.groq]\nprotocol = "groq"\n[providers.groq.models.m]\ntier = 1\nttft = 3\n')
    with pytest.raises(ConfigError, match=r"providers\.groq\.models\.m\.ttft: unknown key"):
        load_config(path)
    with pytest.raises(ConfigError, match="can't be read"):
        load_config(tmp_path / "absent.toml")


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tierstream.simulator", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_process_serves_a_script_and_stops_on_sigterm(tmp_path: Path) -> None:
    script, log = tmp_path / "script.jsonl", tmp_path / "usage.jsonl"
    script.write_text(json.dumps({"prompt": "What is 6 times 7?", "label": 1, "answer": "42"}) + "\n")
    process = await start("--script", str(script), "--usage-log", str(log), "--time-scale", "0")
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[-1]
        async with aiohttp.ClientSession(url, headers=KEY) as http:
            _, completion = await ask(http)
        assert completion["choices"][0]["message"]["content"] == "42"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert len(log.read_text().splitlines()) == 1


async def test_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await start("--port", str(taken.getsockname()[1]))
        _, errors = await process.communicate()
    assert process.returncode == 2
    (line,) = errors.decode().splitlines()
    assert "in use" in line
    assert "--port" in line

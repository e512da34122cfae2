"""Clients as they come from their registries, pointed at the door: only the address is changed.

`door_clients/node` has a program for each package of npm; each prints a line of JSON for each scene that it plays.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from support.deployment import Deployment

from tierstream.simulator.server import running_simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

README = Path(__file__).parents[2] / "README.md"
CLIENTS = Path(__file__).parent / "door_clients" / "node"
SCENES = {
    "openai.mjs": {"chat", "stream", "tools", "structured", "image", "responses", "error", "retry"},
    "anthropic.mjs": {"chat", "stream", "tools", "structured", "image", "count", "error", "retry"},
    "ai-sdk.mjs": {"chat", "stream", "tools", "structured", "image", "error"},
}
COMPLIANT = {"openai-chat": (), "anthropic": ("-H", "anthropic-version:2023-06-01"), "open-responses": ()}
TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
    },
}
INVOICE = {
    "title": "Invoice",
    "description": "An invoice.",
    "type": "object",
    "properties": {"number": {"type": "integer"}, "total": {"type": "number"}},
    "required": ["number", "total"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(kafka, tmp_path_factory):
    """The base URL of a door, ending in /v1."""
    async with running_simulator(time_scale=0) as simulator:
        simulator.set_behaviour(judge_error_rate=0)
        made = Deployment(kafka.bootstrap_servers, tmp_path_factory.mktemp("clients"), simulator_url=simulator.url)
        async with made.running():
            (url, _), _ = await asyncio.gather(made.start_door(), made.start_worker())
            yield f"{url}/v1"


@pytest.fixture(scope="module")
def node_clients(tmp_path_factory) -> Path:
    """The programs with their packages."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node") / "clients"
    shutil.copytree(CLIENTS, folder)
    install = ("npm", "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--no-audit", "--no-fund")
    try:
        subprocess.run(install, cwd=folder, capture_output=True, text=True, check=True, timeout=180)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm could not download the clients: {str(error.stderr)[-300:]}")
    return folder


async def run(*command: str | Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.parametrize("program", SCENES)
async def test_a_client_of_node_plays_all_its_scenes(door, node_clients, program):
    code, said = await run("node", node_clients / program, door, door.rpartition(":")[2][:5])
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    seen = {line.pop("scene"): line for line in lines}
    assert (code, seen.keys()) == (0, SCENES[program]), said
    assert not [f"{scene}: {line['failed']}" for scene, line in seen.items() if "failed" in line]
    assert seen["chat"]["text"] == seen["stream"]["text"]
    assert seen["chat"]["finish"] in {"stop", "end_turn"}
    assert seen["chat"]["usage"] > 0
    assert seen["stream"]["usage"] > 0
    assert seen["tools"]["name"] == TOOL["name"]
    assert set(seen["tools"]["given"]) == {"city", "unit"}
    assert "1 result" in seen["tools"]["text"]
    assert set(seen["structured"]["object"]) == {"number", "total"}
    assert seen["image"]["text"]
    assert seen["error"]["status"] == 400
    assert seen.get("retry", {"same": True})["same"]
    assert seen.get("responses", {"same": True, "status": "completed"})["same"]
    assert seen.get("count", {"tokens": 1})["tokens"] > 0


def lang_chain(door: str) -> dict[str, ChatOpenAI | ChatAnthropic]:
    return {
        "openai": ChatOpenAI(model="auto", base_url=door, api_key="none", max_retries=0),
        "openai, responses": ChatOpenAI(
            model="auto", base_url=door, api_key="none", max_retries=0, use_responses_api=True
        ),
        "anthropic": ChatAnthropic(model="auto", base_url=door.removesuffix("/v1"), api_key="none", max_retries=0),
    }


@pytest.mark.parametrize("name", ["openai", "openai, responses", "anthropic"])
async def test_lang_chain_asks_streams_uses_tools_and_gets_structure(door, name):
    model = lang_chain(door)[name]
    answer = await model.ainvoke("What is a partition?")
    pieces = [piece async for piece in model.astream("What is a partition?")]
    assert answer.text
    assert "".join(piece.text for piece in pieces) == answer.text

    tools = model.bind_tools([{"type": "function", "function": TOOL}])
    asked = AIMessageChunk(content="")
    messages = [HumanMessage(f"Use {TOOL['name']} for Oslo.")]
    async for piece in tools.astream(messages):
        asked += piece
    [call] = asked.tool_calls
    assert (call["name"], set(call["args"])) == (TOOL["name"], {"city", "unit"})
    told = await tools.ainvoke([*messages, asked, ToolMessage("7 degrees", tool_call_id=call["id"])])
    assert "1 result" in told.text

    structured = await model.with_structured_output(INVOICE, method="json_schema").ainvoke("Invoice 17, total 12.50.")
    assert set(structured) == {"number", "total"}


async def test_the_lines_of_the_readme_are_enough(door, tmp_path):
    blocks = re.findall(r"```python door\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        script = tmp_path / f"{number}.py"
        script.write_text(block.replace("http://127.0.0.1:8091", door.removesuffix("/v1")))
        code, said = await run(sys.executable, script)
        assert (code, bool(said.strip())) == (0, True), said


@pytest.mark.parametrize("api", COMPLIANT)
async def test_the_published_checks_of_the_apis_pass(door, api):
    program = Path(sys.executable).with_name("llm-comply")
    code, said = await run(program, "-u", door, "-k", "none", "-m", "auto", "--format", api, *COMPLIANT[api])
    assert code == 0, said

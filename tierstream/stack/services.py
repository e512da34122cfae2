"""The services of a stack, made from the settings: commands, environments, ports and health checks."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from streams.config.settings import Settings
from tierstream.stack.dependencies import Need
from tierstream.stack.health import HealthCheck
from tierstream.stack.kafka import KafkaProcess, java_environment
from tierstream.stack.plan import Plan
from tierstream.stack.ports import HOST, claim_port, hold_port, reachable
from tierstream.stack.service_process import READY_FILE_VARIABLE
from tierstream.stack.state import Addresses
from tierstream.stack.supervisor import Service

SINK = "sink"
"""The service that needs ClickHouse too."""

_KAFKA_START_S = 600.0
"""A broker that was killed reads its log again before it answers; to kill it then would start that anew."""
_KAFKA_STOP_S = 20.0
_STAGE_START_S = 60.0
"""For a worker or the sink to start, once the members of its groups have let it in."""
_DRAIN_MARGIN_S = 10.0


class Services:
    """Makes the services of one stack; ports are claimed once, here."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        data_dir: Path,
        config: Path | None,
        *,
        dashboard: bool = False,
        door: bool = False,
    ) -> None:
        """Claim the ports of the embedded parts, and of the dashboard and the door if wanted, and hold them to `close`.

        Raises:
            StackError: A port is in use.
        """
        stack = settings.stack
        self._settings = settings
        self._data_dir = data_dir
        self._config = config
        self._kafka: KafkaProcess | None = None
        claimed: list[int] = []
        kafka, clickhouse = settings.kafka.bootstrap_servers, settings.clickhouse.url
        if kafka is None:
            self._kafka = KafkaProcess(
                data_dir=data_dir / "kafka",
                port=claim_port(stack.kafka_port, service="kafka", setting="kafka_port"),
                controller_port=claim_port(
                    stack.kafka_controller_port, service="kafka controller", setting="kafka_controller_port"
                ),
                heap_mb=stack.kafka_heap_mb,
                record_max_bytes=settings.kafka.record_max_bytes,
            )
            kafka = self._kafka.bootstrap_servers
            claimed += [self._kafka.port, self._kafka.controller_port]
        if clickhouse is None:
            port = claim_port(stack.clickhouse_port, service="clickhouse", setting="clickhouse_port")
            clickhouse = f"http://{HOST}:{port}"
            claimed.append(port)
        simulator = None
        if plan.simulator:
            port = claim_port(stack.simulator_port, service="simulator", setting="simulator_port")
            simulator = f"http://{HOST}:{port}"
            claimed.append(port)
        self._dashboard_port: int | None = None
        if dashboard:
            self._dashboard_port = claim_port(
                settings.dashboard.port, service="dashboard", setting="port", section="dashboard"
            )
            claimed.append(self._dashboard_port)
        self._door_port: int | None = None
        if door:
            self._door_port = claim_port(settings.serve.port, service="serve", setting="port", section="serve")
            claimed.append(self._door_port)
        self._held = [hold_port(port) for port in claimed]
        self.addresses = Addresses(kafka=kafka, clickhouse=clickhouse, simulator=simulator, simulated=plan.simulated)

    def close(self) -> None:
        """Let the ports go."""
        for held in self._held:
            held.close()

    @property
    def kafka_process(self) -> KafkaProcess | None:
        """The embedded broker; None if another one is used."""
        return self._kafka

    def kafka(self, process: KafkaProcess, command: tuple[str, ...]) -> Service:
        """Make the service of the embedded broker from the command that `prepare` returned."""
        return Service(
            name="kafka",
            command=command,
            env=self._without_keys(java_environment()),
            health=process.health,
            url=process.bootstrap_servers,
            cwd=process.data_dir,
            start_timeout_s=_KAFKA_START_S,
            stop_timeout_s=_KAFKA_STOP_S,
        )

    def clickhouse(self) -> Service:
        """Make the service of the embedded ClickHouse."""
        url = self.addresses.clickhouse
        return self._http_service(
            "clickhouse",
            url,
            f"{url}/ping",
            ("tierstream.stack.clickhouse_server", "--data", str(self._data_dir / "clickhouse")),
        )

    def simulator(self, url: str) -> Service:
        """Make the service of the provider simulator, which listens at the URL."""
        stack = self._settings.stack
        arguments = ["tierstream.simulator", "--usage-log", str(self._data_dir / "logs" / "simulator-usage.jsonl")]
        arguments += ["--time-scale", str(stack.simulator_time_scale)]
        if stack.simulator_config:
            arguments += ["--config", str(stack.simulator_config)]
        for script in stack.simulator_scripts:
            arguments += ["--script", str(script)]
        return self._http_service("simulator", url, f"{url}/health", arguments)

    def stage(self, name: str, command: Sequence[str]) -> Service:
        """Make the service of a worker or the sink, which writes its pid to the ready file when it is ready."""
        needs = [Need.kafka(self.addresses.kafka)]
        if name == SINK:
            needs.append(Need.clickhouse(self.addresses.clickhouse))
        ready_file = self._data_dir / "run" / f"{name}.ready"
        environment = {**self._addressed(), READY_FILE_VARIABLE: str(ready_file)}
        if self._kafka is not None:
            # On a broker of our own nobody else bears these names; a restarted worker then goes on at once.
            environment["TIERSTREAM_KAFKA__INSTANCE"] = name
        if port := self._metrics_port(name):
            environment["TIERSTREAM_OPERATIONS__METRICS_PORT"] = str(port)
        return Service(
            name=name,
            command=tuple(command),
            env=environment,
            health=HealthCheck(kind="ready_file", target=str(ready_file)),
            needs=tuple(needs),
            start_timeout_s=_STAGE_START_S + self._settings.rebalance_timeout_s,
            stop_timeout_s=self._settings.delivery.drain_timeout_s + _DRAIN_MARGIN_S,
        )

    def _metrics_port(self, name: str) -> int | None:
        """Return the port of a worker such as `worker-2`: each has its own, the first one that of the settings."""
        first = self._settings.operations.metrics_port
        return first and (first + int(name.rpartition("-")[2]) - 1 if name != SINK else first)

    def dashboard(self, command: Sequence[str]) -> Service | None:
        """Make the service of the dashboard, which waits for no other part; None if there is none."""
        if self._dashboard_port is None:
            return None
        port = self._dashboard_port
        url = f"http://{reachable(self._settings.dashboard.host)}:{port}"
        return Service(
            name="dashboard",
            command=(*command, "--port", str(port)),
            env=self._without_keys(self._addressed()),
            health=HealthCheck(kind="http", target=f"{url}/health"),
            url=url,
        )

    def door(self, command: Sequence[str]) -> Service | None:
        """Make the service of the door, which needs Kafka and its topics; None if there is none."""
        if self._door_port is None:
            return None
        serve, port = self._settings.serve, self._door_port
        scheme = "http" if serve.tls_cert is None else "https"
        ready_file = self._data_dir / "run" / "serve.ready"
        return Service(
            name="serve",
            command=(*command, "--port", str(port)),
            env={**self._without_keys(self._addressed()), READY_FILE_VARIABLE: str(ready_file)},
            health=HealthCheck(kind="ready_file", target=str(ready_file)),
            url=f"{scheme}://{reachable(serve.host)}:{port}/v1",
            needs=(Need.kafka(self.addresses.kafka),),
            start_timeout_s=_STAGE_START_S,
            stop_timeout_s=serve.drain_timeout_s + _DRAIN_MARGIN_S,
        )

    def _addressed(self) -> dict[str, str]:
        """The environment of what reads the settings: where the parts of this stack answer."""
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.addresses.kafka,
            "CLICKHOUSE_URL": self.addresses.clickhouse,
            "TIERSTREAM_SIMULATOR_URL": self.addresses.simulator or "",
            "TIERSTREAM_SIMULATED": ",".join(self.addresses.simulated),
        }
        if self._config:
            environment["TIERSTREAM_CONFIG"] = str(self._config.absolute())
        return environment

    def _http_service(self, name: str, url: str, health_url: str, arguments: Sequence[str]) -> Service:
        port = url.rpartition(":")[2]
        return Service(
            name=name,
            command=(sys.executable, "-m", *arguments, "--port", port),
            env=self._without_keys(os.environ.copy()),
            health=HealthCheck(kind="http", target=health_url),
            url=url,
        )

    def _without_keys(self, environment: dict[str, str]) -> dict[str, str]:
        """Leave out the providers' keys: only workers need them."""
        keys = {provider.api_key_env for provider in self._settings.providers.values()}
        return {name: value for name, value in environment.items() if name not in keys}

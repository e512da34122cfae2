"""A real broker that a test starts, kills and stops."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tierstream.stack.health import wait_healthy
from tierstream.stack.kafka import KafkaProcess, java_environment
from tierstream.stack.ports import free_port
from tierstream.stack.process import Child

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0


class EmbeddedKafka:
    """A broker that its owner starts and stops; unlike a supervised one it is not restarted by itself."""

    def __init__(self, data_dir: Path, *, port: int = 0, heap_mb: int = 256) -> None:
        """Choose the ports, which stay the same over restarts.

        Args:
            data_dir: The folder for its data and its log file.
            port: Where clients connect; 0: any free one.
            heap_mb: Most memory of the Java heap.
        """
        self._log_file = data_dir / "logs" / "kafka.log"
        self._settings = KafkaProcess(
            data_dir=data_dir / "kafka",
            port=port or free_port(),
            controller_port=free_port(),
            heap_mb=heap_mb,
        )
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return self._settings.bootstrap_servers

    @property
    def log_dir(self) -> Path:
        """Where the segments of its partitions are, a folder for each."""
        return self._settings.log_dir

    @property
    def pid(self) -> int | None:
        """The broker's process id; None while it is stopped."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start it and wait until it answers; nothing to do if it runs.

        Raises:
            StackError: It ended or did not answer in time.
        """
        if self._child and self._child.exit_code is None:
            return
        command = await self._settings.prepare(lambda: None)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._child = Child.start(command, env=java_environment(), log_file=self._log_file, cwd=self._settings.data_dir)
        await wait_healthy(
            self._child, self._settings.health, name="kafka", log_file=self._log_file, timeout_s=_START_TIMEOUT_S
        )

    async def speed_up_next_start(self) -> None:
        """Make the archive of classes for the next one."""
        await self._settings.speed_up_next_start()

    async def stop(self) -> None:
        """Stop it in good order; its data stays."""
        if self._child:
            await self._child.stop(_STOP_TIMEOUT_S)
            self._child = None

    def kill(self) -> None:
        """SIGKILL it: what a power cut does to it, short of the disk."""
        if self._child:
            self._child.kill()
            self._child = None

    async def restart(self) -> None:
        """Stop it if it runs, and start it on the same port and data."""
        await self.stop()
        await self.start()


@asynccontextmanager
async def running_kafka(data_dir: Path) -> AsyncIterator[EmbeddedKafka]:
    """Run a broker on free ports for as long as the block lasts."""
    kafka = EmbeddedKafka(data_dir)
    try:
        await kafka.start()
        yield kafka
    finally:
        await kafka.stop()

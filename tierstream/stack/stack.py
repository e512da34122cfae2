"""The embedded stack as a whole: its lock, its services in order, and their end."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from streams.config.settings import Settings
from streams.runtime.unless import unless
from tierstream.stack.errors import StackError, writing
from tierstream.stack.health import http_answers, kafka_answers, ping_url
from tierstream.stack.jars import KAFKA_VERSION
from tierstream.stack.kafka import KafkaProcess
from tierstream.stack.plan import make_plan
from tierstream.stack.process import ProcessIdentity
from tierstream.stack.services import SINK, Services
from tierstream.stack.state import Addresses, StackState, clear_state, read_state, stop_leftovers, write_state
from tierstream.stack.supervisor import StackEvent, Supervisor
from tierstream.stack.together import all_of

WORKER_COMMAND = (sys.executable, "-m", "tierstream", "worker")
SINK_COMMAND = (sys.executable, "-m", "tierstream", "sink")
DASHBOARD_COMMAND = (sys.executable, "-m", "tierstream", "dashboard")
DOOR_COMMAND = (sys.executable, "-m", "tierstream", "serve")
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SPEED_UP_AFTER_S = 15.0
"""What the stack was started for comes first."""


async def _nothing_to_prepare(addresses: Addresses) -> None:
    """Leave topics and tables as they are."""


class Stack:
    """One stack in one data folder. Await `start`, then `wait`, then `stop` in any case."""

    def __init__(
        self,
        settings: Settings,
        *,
        config: Path | None = None,
        worker_command: Sequence[str] = WORKER_COMMAND,
        sink_command: Sequence[str] = SINK_COMMAND,
        dashboard_command: Sequence[str] | None = None,
        door_command: Sequence[str] | None = None,
        prepare: Callable[[Addresses], Awaitable[None]] = _nothing_to_prepare,
        on_event: Callable[[StackEvent], None] = lambda _: None,
    ) -> None:
        """Decide what to start.

        Args:
            settings: Of the whole deployment.
            config: The file they came from, passed on to workers and sink.
            worker_command: Run `settings.stack.workers` times.
            sink_command: Run once.
            dashboard_command: Run once, with its port; None: no dashboard.
            door_command: The same, for the APIs of OpenAI and Anthropic.
            prepare: Awaited when Kafka and ClickHouse answer, before the first worker: topics, migrations.
            on_event: Told what happens; must not block.
        """
        self.plan = make_plan(settings, os.environ)
        self.addresses: Addresses | None = None
        self._settings = settings
        self._config = config
        self._stages = {
            **{f"worker-{number + 1}": tuple(worker_command) for number in range(self.plan.workers)},
            SINK: tuple(sink_command),
        }
        self._dashboard_command = dashboard_command
        self._door_command = door_command
        self._prepare = prepare
        self._on_event = on_event
        self._data_dir = settings.stack.data_dir.absolute()
        self._lock: IO[str] | None = None
        self._services: Services | None = None
        self._supervisor: Supervisor | None = None
        self._starting: asyncio.Task[None] | None = None
        self._speeding_up: asyncio.Task[None] | None = None
        self._stop_asked = asyncio.Event()

    async def start(self) -> bool:
        """Start everything and wait until it is healthy. SIGINT and SIGTERM are handled from here to `stop`.

        Returns:
            False if a stop signal came first; everything is stopped again then.

        Raises:
            StackError: A part can't be had or started; everything is stopped again then.
        """
        self._lock = _lock(self._data_dir)
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._ask_to_stop)
        self._starting = asyncio.create_task(self._start())
        try:
            await self._starting
        except asyncio.CancelledError:
            await self.stop()
            if self._stop_asked.is_set():
                return False
            raise
        except BaseException:
            await self.stop()
            raise
        finally:
            self._starting = None
        if self._services and (process := self._services.kafka_process):
            self._speeding_up = asyncio.create_task(_speed_up_later(process))
        return True

    async def wait(self) -> None:
        """Wait for a stop signal.

        Raises:
            StackError: A service can't be kept running.
        """
        if self._supervisor is not None:
            await unless(self._stop_asked.wait(), self._supervisor.failure())

    async def stop(self) -> None:
        """Stop what runs, in reverse order, and free the data folder; nothing to do if it is stopped."""
        if self._speeding_up:
            self._speeding_up.cancel()
            await asyncio.wait([self._speeding_up])
            self._speeding_up = None
        if self._supervisor:
            await self._supervisor.stop()
            self._supervisor = None
            clear_state(self._data_dir)
        if self._services:
            self._services.close()
            self._services = None
        if self._lock:
            loop = asyncio.get_running_loop()
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)
            self._lock.close()
            self._lock = None

    def _ask_to_stop(self) -> None:
        self._stop_asked.set()
        if self._starting:
            self._starting.cancel()

    async def _start(self) -> None:
        if former := read_state(self._data_dir):
            await stop_leftovers(former)
            clear_state(self._data_dir)
        await self._check_external()
        self._services = services = Services(
            self._settings,
            self.plan,
            self._data_dir,
            self._config,
            dashboard=self._dashboard_command is not None,
            door=self._door_command is not None,
        )
        self.addresses = services.addresses
        self._supervisor = Supervisor(self._data_dir / "logs", on_event=self._on_event, on_change=self._write_state)
        # What is waited for may be a service that can't be kept running.
        await unless(self._supervisor.failure(), self._start_services(self._supervisor, services))

    async def _start_services(self, supervisor: Supervisor, services: Services) -> None:
        await all_of(self._start_kafka(supervisor, services), *self._start_http(supervisor, services))
        await self._prepare(services.addresses)
        clients = [services.stage(name, command) for name, command in self._stages.items()]
        if door := services.door(self._door_command or ()):
            clients.append(door)
        await all_of(*map(supervisor.start, clients))

    async def _start_kafka(self, supervisor: Supervisor, services: Services) -> None:
        if process := services.kafka_process:
            command = await process.prepare(self._tell_download)
            await supervisor.start(services.kafka(process, command))

    def _start_http(self, supervisor: Supervisor, services: Services) -> list[Coroutine[Any, Any, None]]:
        starts = []
        if self.plan.clickhouse:
            starts.append(supervisor.start(services.clickhouse()))
        if url := services.addresses.simulator:
            starts.append(supervisor.start(services.simulator(url)))
        if dashboard := services.dashboard(self._dashboard_command or ()):
            starts.append(supervisor.start(dashboard))
        return starts

    async def _check_external(self) -> None:
        """Check the parts that are not ours.

        Raises:
            StackError: One does not answer.
        """
        servers, url = self._settings.kafka.bootstrap_servers, self._settings.clickhouse.url
        if servers and not await kafka_answers(servers):
            raise StackError(
                f"Kafka at {servers} does not answer: check KAFKA_BOOTSTRAP_SERVERS, "
                "or unset it to use the embedded broker"
            )
        if url and not await http_answers(ping_url(url)):
            # Without the credentials that a URL may hold.
            place = urlsplit(ping_url(url)).netloc
            raise StackError(
                f"ClickHouse at {place} does not answer: check CLICKHOUSE_URL, or unset it to use the embedded engine"
            )

    def _tell_download(self) -> None:
        detail = f"resolving Apache Kafka {KAFKA_VERSION} (first time only)"
        self._on_event(StackEvent("resolving", "kafka", detail))

    def _write_state(self) -> None:
        if self._supervisor and self.addresses:
            write_state(
                self._data_dir,
                StackState(
                    supervisor=ProcessIdentity.of(os.getpid()),
                    addresses=self.addresses,
                    services=self._supervisor.states(),
                ),
            )


async def _speed_up_later(process: KafkaProcess) -> None:
    await asyncio.sleep(_SPEED_UP_AFTER_S)
    await process.speed_up_next_start()


def _lock(data_dir: Path) -> IO[str]:
    """Make the data folder and take it; the system frees it when the process ends, however it ends.

    Raises:
        StackError: The folder can't be written, or another stack has it.
    """
    with writing(data_dir):
        for folder in (data_dir, data_dir / "logs", data_dir / "run"):
            folder.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "stack.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        state = read_state(data_dir)
        who = f" (pid {state.supervisor.pid})" if state else ""
        raise StackError(f"already running{who}: tierstream status / tierstream down") from None
    return lock

"""Processes of a deployment that are started again when they end, as `tierstream up` or Docker would."""

import asyncio
import os
import signal
import sys
from collections import defaultdict
from types import TracebackType
from typing import Self

from support.deployment import Deployment

from tierstream.stack.health import HealthCheck
from tierstream.stack.ports import free_port
from tierstream.stack.supervisor import Service, StackEvent, Supervisor

_START_S = 120.0


class Supervised:
    """Starts processes, and keeps them running for as long as the block lasts."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._supervisor = Supervisor(deployment.folder, on_event=self._note, on_change=lambda: None)
        self._is_up: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._supervisor.stop()

    async def worker(self) -> str:
        """Start a worker; return its name."""
        return await self._start("worker", "worker")

    async def door(self, name: str) -> str:
        """Start a door, which has the same port whenever it is started again; return its URL."""
        port = free_port()
        await self._start(name, "serve", "--port", str(port))
        return f"http://127.0.0.1:{port}"

    async def kill(self, name: str) -> None:
        """SIGKILL a process as soon as it is up; it is started again."""
        await self._is_up[name].wait()
        self._is_up[name].clear()
        [pid] = [state.process.pid for state in self._supervisor.states() if state.name == name]
        os.killpg(pid, signal.SIGKILL)

    def _note(self, event: StackEvent) -> None:
        if event.kind == "healthy":
            self._is_up[event.service].set()

    async def _start(self, name: str, *command: str) -> str:
        ready_file = str(self._deployment.folder / f"{name}.ready")
        await self._supervisor.start(
            Service(
                name=name,
                command=(sys.executable, "-m", "tierstream", *command),
                env=self._deployment.environment(TIERSTREAM_READY_FILE=ready_file),
                health=HealthCheck(kind="ready_file", target=ready_file),
                start_timeout_s=_START_S,
            )
        )
        return name

"""Keeps services running: starts them, waits for their health, restarts what crashes, stops them in reverse."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn

from tierstream.stack.dependencies import Dependency, Need
from tierstream.stack.errors import StackError
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.process import Child
from tierstream.stack.state import ServiceState

_CRASHES_MAX = 5
_CRASH_WINDOW_S = 60.0
_BACKOFF_MAX_S = 4.0
_SLOW_START_S = 30.0

EventKind = Literal["resolving", "starting", "waiting", "healthy", "crashed", "stopping", "stopped"]


@dataclass(frozen=True)
class Service:
    """How to run one service and how to tell that it is healthy."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    health: HealthCheck
    needs: tuple[Need, ...] = ()
    """While one of them is away no start takes too long, and no end counts as a crash."""
    url: str | None = None
    cwd: Path | None = None
    """Its working directory; None: the supervisor's."""
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 15.0


@dataclass(frozen=True)
class StackEvent:
    """Something to tell whoever watches the stack."""

    kind: EventKind
    service: str
    detail: str = ""


class Supervisor:
    """Runs services in the order in which they were started. One event loop owns it."""

    def __init__(
        self,
        log_dir: Path,
        *,
        on_event: Callable[[StackEvent], None],
        on_change: Callable[[], None],
        backoff_s: float = 0.25,
        ask_every_s: float = 1.0,
    ) -> None:
        """Prepare without starting anything.

        Args:
            log_dir: Gets `<name>.log` of each service.
            on_event: Told what happens; must not block.
            on_change: Called whenever a service has got another process.
            backoff_s: Before the first restart; doubled for each further one, up to 4 s.
            ask_every_s: How often something that is away is asked.
        """
        self._log_dir = log_dir
        self._on_event = on_event
        self._on_change = on_change
        self._backoff_s = backoff_s
        self._ask_every_s = ask_every_s
        self._dependencies: dict[Need, Dependency] = {}
        self._services: dict[str, Service] = {}
        self._children: dict[str, Child] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._failure: asyncio.Future[StackError] = asyncio.get_running_loop().create_future()

    def states(self) -> tuple[ServiceState, ...]:
        """Describe the services with their present processes."""
        return tuple(
            ServiceState(
                name=name,
                process=child.identity,
                health=self._services[name].health,
                url=self._services[name].url,
            )
            for name, child in self._children.items()
        )

    async def start(self, service: Service) -> None:
        """Start a service and wait until it is healthy; from then on it is restarted when it crashes.

        Raises:
            StackError: It ended or was not healthy in time.
        """
        began = time.monotonic()
        self._services[service.name] = service
        await self._start_when_possible(service)
        self._tell("healthy", service, f"{time.monotonic() - began:.1f} s")
        self._watches[service.name] = asyncio.create_task(self._watch(service), name=f"watch {service.name}")

    async def failure(self) -> NoReturn:
        """Wait until a service can't be kept running.

        Raises:
            StackError: Why.
        """
        raise await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Stop everything, the service that was started last first."""
        for watch in self._watches.values():
            watch.cancel()
        await asyncio.gather(*self._watches.values(), return_exceptions=True)
        self._watches.clear()
        for name, child in reversed(list(self._children.items())):
            service = self._services[name]
            if child.exit_code is None:
                self._tell("stopping", service)
                await child.stop(service.stop_timeout_s)
                self._tell("stopped", service)
        self._children.clear()

    async def _watch(self, service: Service) -> None:
        try:
            await self._restart_for_ever(service)
        except StackError as error:
            if not self._failure.done():
                self._failure.set_result(error)

    async def _restart_for_ever(self, service: Service) -> None:
        crashes: deque[float] = deque(maxlen=_CRASHES_MAX)
        while True:
            code = await self._children[service.name].wait()
            self._tell("crashed", service, f"exit code {code}")
            if await self._has_its_needs(service):
                crashes.append(time.monotonic())
            if len(crashes) == _CRASHES_MAX and crashes[-1] - crashes[0] < _CRASH_WINDOW_S:
                raise StackError(
                    f"{service.name} stopped {_CRASHES_MAX} times within a minute (exit code {code}): "
                    f"see {self._log_file(service)}"
                )
            await asyncio.sleep(min(self._backoff_s * 2 ** (len(crashes) - 1), _BACKOFF_MAX_S))
            await self._restart(service)

    async def _restart(self, service: Service) -> None:
        await self._wait_for_needs(service)
        child = self._spawn(service)
        try:
            await self._wait_healthy(child, service)
        except StackError:
            # It has ended by now, so the loop counts it as one more crash.
            return
        self._tell("healthy", service, "restarted")

    async def _start_when_possible(self, service: Service) -> None:
        while True:
            await self._wait_for_needs(service)
            child = self._spawn(service)
            try:
                await self._wait_healthy(child, service)
            except StackError:
                if await self._has_its_needs(service):
                    raise
            else:
                return

    async def _has_its_needs(self, service: Service) -> bool:
        return all(await asyncio.gather(*(need.answers() for need in service.needs)))

    async def _wait_for_needs(self, service: Service) -> None:
        for need in service.needs:
            # One for all services, so that what they wait for is said once.
            if need not in self._dependencies:
                tell = partial(self._tell_waiting, need.name)
                self._dependencies[need] = Dependency(need, tell=tell, poll_s=self._ask_every_s)
            await self._dependencies[need].wait()

    def _spawn(self, service: Service) -> Child:
        self._tell("starting", service)
        if service.health.kind == "ready_file":
            Path(service.health.target).unlink(missing_ok=True)
        try:
            child = Child.start(service.command, env=service.env, log_file=self._log_file(service), cwd=service.cwd)
        except OSError as error:
            raise StackError(f"{service.name} can't be started: {error}") from None
        self._children[service.name] = child
        self._on_change()
        return child

    async def _wait_healthy(self, child: Child, service: Service) -> None:
        began, told_at = datetime.now().astimezone(), time.monotonic()

        async def pause() -> None:
            nonlocal told_at
            await self._wait_for_needs(service)
            if time.monotonic() >= told_at + _SLOW_START_S:
                told_at = time.monotonic()
                line = f"{service.name} is not ready: waiting for it since {began:%H:%M:%S}"
                self._tell_waiting(service.name, f"{line}, see {self._log_file(service)}")

        await wait_healthy(
            child,
            service.health,
            name=service.name,
            log_file=self._log_file(service),
            timeout_s=service.start_timeout_s,
            pause=pause,
        )

    def _log_file(self, service: Service) -> Path:
        return self._log_dir / f"{service.name}.log"

    def _tell_waiting(self, name: str, line: str) -> None:
        self._on_event(StackEvent("waiting", name, line))

    def _tell(self, kind: EventKind, service: Service, detail: str = "") -> None:
        self._on_event(StackEvent(kind, service.name, detail))

"""What a running stack writes down (`stack.json`), for other commands and for the next start after a crash."""

import os
import time
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from tierstream.stack.errors import StackError
from tierstream.stack.health import HealthCheck, is_healthy
from tierstream.stack.process import ProcessIdentity, has_ended, stop_stale

_FILE = "stack.json"
# More than the slowest service may take to stop, for they stop one after another.
_SUPERVISOR_STOP_S = 90.0
_STALE_STOP_S = 15.0


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Addresses(_Record):
    """Where the parts of a stack answer, embedded or not."""

    kafka: str
    """Bootstrap servers."""
    clickhouse: str
    """URL, as a ClickHouse client takes it."""
    simulator: str | None = None
    """URL; None: no provider is simulated."""
    simulated: tuple[str, ...] = ()
    """Names of the simulated providers."""


class ServiceState(_Record):
    """A service that was started."""

    name: str
    process: ProcessIdentity
    health: HealthCheck
    url: str | None


class StackState(_Record):
    """The supervisor, the addresses, and the services in the order of their start."""

    supervisor: ProcessIdentity
    addresses: Addresses
    services: tuple[ServiceState, ...] = ()


class ServiceStatus(_Record):
    """How a service is now."""

    name: str
    pid: int
    state: Literal["running", "unhealthy", "stopped"]
    url: str | None
    uptime_s: float | None = None
    rss_bytes: int | None = None


def read_state(data_dir: Path) -> StackState | None:
    """Read the state; None if no stack was started here or it stopped in good order."""
    try:
        return StackState.model_validate_json((data_dir / _FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError):
        raise StackError(f"{data_dir / _FILE} can't be read: stop its processes by hand and delete it") from None


def write_state(data_dir: Path, state: StackState) -> None:
    """Write the state so that readers see the former or the new one, never half of it."""
    draft = data_dir / f"{_FILE}.new"
    draft.write_text(state.model_dump_json(indent=2), encoding="utf-8")
    draft.replace(data_dir / _FILE)


def clear_state(data_dir: Path) -> None:
    """Forget a stack that has stopped."""
    (data_dir / _FILE).unlink(missing_ok=True)


def addresses(data_dir: Path) -> Addresses | None:
    """Return the addresses of the stack that runs in this folder; None if none does."""
    state = read_state(data_dir)
    return state.addresses if state and state.supervisor.find() else None


async def status(data_dir: Path) -> list[ServiceStatus]:
    """Ask every service that was started here how it is; empty if the stack is down."""
    state = read_state(data_dir)
    return [await _status(service) for service in state.services] if state else []


async def down(data_dir: Path) -> list[str]:
    """Stop the stack of this folder, or what is left of it; nothing to do if it is down.

    Returns:
        The names of the services that were stopped.
    """
    state = read_state(data_dir)
    if state is None:
        return []
    stopped = []
    supervisor = state.supervisor.find()
    if supervisor and state.supervisor.pid != os.getpid():
        stopped = [service.name for service in state.services if service.process.find()]
        supervisor.terminate()
        if not await has_ended(state.supervisor, _SUPERVISOR_STOP_S):
            supervisor.kill()
            await has_ended(state.supervisor, _STALE_STOP_S)
        # It may have started another process between our reading and its end.
        state = read_state(data_dir) or state
    left = await stop_leftovers(state)
    clear_state(data_dir)
    return stopped + [name for name in left if name not in stopped]


async def stop_leftovers(state: StackState) -> list[str]:
    """Stop the services of a supervisor that has ended, the last one first, and return their names."""
    return [service.name for service in reversed(state.services) if await stop_stale(service.process, _STALE_STOP_S)]


async def _status(service: ServiceState) -> ServiceStatus:
    healthy = await is_healthy(service.health, service.process.pid)
    try:
        process = service.process.find()
        rss_bytes = process.memory_info().rss if process else None
    except psutil.Error:
        process = None
    if process is None:
        return ServiceStatus(name=service.name, pid=service.process.pid, state="stopped", url=service.url)
    return ServiceStatus(
        name=service.name,
        pid=service.process.pid,
        state="running" if healthy else "unhealthy",
        url=service.url,
        uptime_s=max(0.0, time.time() - service.process.create_time),
        rss_bytes=rss_bytes,
    )

"""Health of the services: whether one answers, told from outside its process."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pydantic import BaseModel, ConfigDict

from tierstream.stack.errors import StackError
from tierstream.stack.process import Child

_TIMEOUT_S = 3.0
_POLL_S = 0.1
_EXTERNAL_TIMEOUT_S = 5.0
_PAUSE_EVERY_S = 5.0


class HealthCheck(BaseModel):
    """How to ask a service: kept as data, so that another process can ask as well."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["kafka", "http", "ready_file"]
    target: str
    """Bootstrap servers, URL, or path of the file that holds the pid of the process that is ready."""


async def is_healthy(check: HealthCheck, pid: int | None, *, timeout_s: float = _TIMEOUT_S) -> bool:
    """Ask once; a service that does not answer in time is not healthy."""
    match check.kind:
        case "kafka":
            return await kafka_answers(check.target, timeout_s=timeout_s)
        case "http":
            return await http_answers(check.target, timeout_s=timeout_s)
        case "ready_file":
            return _holds_pid(Path(check.target), pid)


async def _no_pause() -> None:
    """Wait for nothing else."""


async def wait_healthy(
    child: Child,
    check: HealthCheck,
    *,
    name: str,
    log_file: Path,
    timeout_s: float,
    pause: Callable[[], Awaitable[None]] = _no_pause,
) -> None:
    """Wait until a process that was just started is healthy.

    Args:
        child: The process.
        check: How to ask it.
        name: Of the service, for the error.
        log_file: Of the service, for the error.
        timeout_s: Longest time to wait.
        pause: Awaited every few seconds; its time does not count.

    Raises:
        StackError: It ended, or the time is over; it is killed then.
    """
    left_s = timeout_s
    while left_s > 0:
        began = time.monotonic()
        if await _gets_healthy(child, check, min(left_s, _PAUSE_EVERY_S)):
            return
        if child.exit_code is not None:
            raise StackError(f"{name} stopped while starting (exit code {child.exit_code}): see {log_file}")
        left_s -= time.monotonic() - began
        await pause()
    child.kill()
    raise StackError(f"{name} was not ready after {timeout_s:g} s: see {log_file}")


async def _gets_healthy(child: Child, check: HealthCheck, timeout_s: float) -> bool:
    """Whether it gets healthy before it ends and before the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            while child.exit_code is None:
                if await is_healthy(check, child.pid):
                    return True
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        pass
    return False


async def kafka_answers(bootstrap_servers: str, *, timeout_s: float = _EXTERNAL_TIMEOUT_S) -> bool:
    """Whether a broker answers a metadata request with a cluster that has brokers."""
    with _quiet_client():
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=int(timeout_s * 1000))
        try:
            async with asyncio.timeout(timeout_s):
                # The client makes a poor job of a refused connection, and many of them happen at a start.
                if not await _any_connects(bootstrap_servers):
                    return False
                await admin.start()
                return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()


async def http_answers(url: str, *, timeout_s: float = _EXTERNAL_TIMEOUT_S) -> bool:
    """Whether a GET of the URL is answered with a 2xx."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.ok
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return False


def ping_url(url: str) -> str:
    """Return the URL of ClickHouse's `/ping`, which needs no credentials, so without any."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path="/ping", query="", fragment="").geturl()


async def _any_connects(bootstrap_servers: str) -> bool:
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError):
            continue
        writer.close()
        return True
    return False


def _holds_pid(file: Path, pid: int | None) -> bool:
    try:
        return pid is not None and file.read_text().strip() == str(pid)
    except OSError:
        return False


_quieted: list[int] = []
"""The level of the client's log, once for each question under way: they overlap, and the last one restores it."""


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Keep the client's own lines off the terminal: what they say becomes the answer "not healthy"."""
    client_log = logging.getLogger("aiokafka")
    _quieted.append(_quieted[0] if _quieted else client_log.level)
    client_log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        level = _quieted.pop()
        if not _quieted:
            client_log.setLevel(level)

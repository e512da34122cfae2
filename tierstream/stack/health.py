"""Health of the services: whether one answers, told from outside its process."""

import asyncio
import logging
from collections.abc import Iterator
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


async def wait_healthy(child: Child, check: HealthCheck, *, name: str, log_file: Path, timeout_s: float) -> None:
    """Wait until a process that was just started is healthy.

    Raises:
        StackError: It ended, or the time is over; it is killed then.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while child.exit_code is None:
                if await is_healthy(check, child.pid):
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        child.kill()
        raise StackError(f"{name} was not ready after {timeout_s:g} s: see {log_file}") from None
    raise StackError(f"{name} stopped while starting (exit code {child.exit_code}): see {log_file}")


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


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Keep the client's own lines off the terminal: what they say becomes the answer "not healthy"."""
    client_log = logging.getLogger("aiokafka")
    level = client_log.level
    client_log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        client_log.setLevel(level)

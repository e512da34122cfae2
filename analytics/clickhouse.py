"""Open clients to ClickHouse from a URL, and say clearly what to do where it does not answer."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.exceptions import Error as ServerError

__all__ = [
    "UNREACHABLE",
    "AsyncClient",
    "ClickHouseUnavailable",
    "checked_database",
    "is_away",
    "open_client",
    "retry_for_ever",
    "wait_until_up",
]

T = TypeVar("T")

logger = logging.getLogger(__name__)

UNREACHABLE: Final = (ClickHouseError, aiohttp.ClientError, TimeoutError, OSError)
"""What an operation raises when the server is away or refuses it."""

_DATABASE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0


class ClickHouseUnavailable(Exception):  # noqa: N818 - names a state, as the callers' messages do
    """ClickHouse does not answer; the message says where it was looked for and what to do."""

    def __init__(self, url: str, reason: BaseException | str) -> None:
        super().__init__(
            f"ClickHouse at {_without_secrets(url)} does not answer ({_first_line(reason)}): "
            "start it with `tierstream up`, or set CLICKHOUSE_URL to a server that runs"
        )


def checked_database(name: str) -> str:
    """Return the name if it can stand in a statement.

    Raises:
        ValueError: It is not made of letters, digits and underscores.
    """
    if not _DATABASE.fullmatch(name):
        raise ValueError(f"{name!r} is not a database name: use letters, digits and underscores")
    return name


@asynccontextmanager
async def open_client(url: str, *, timeout_s: float = 60.0) -> AsyncIterator[AsyncClient]:
    """Open a client and close it at the end.

    Args:
        url: `http://user:password@host:port/database`; user, password and database may be absent.
        timeout_s: How long a statement may take.

    Raises:
        ClickHouseUnavailable: The server does not answer or refuses the user.
    """
    client = await _connect(url, timeout_s)
    try:
        yield client
    finally:
        await client.close()


async def wait_until_up(url: str, *, timeout_s: float) -> None:
    """Return once the server answers.

    Raises:
        ClickHouseUnavailable: It did not within `timeout_s` seconds.
    """

    async def probe() -> None:
        async with open_client(url, timeout_s=timeout_s):
            pass

    try:
        async with asyncio.timeout(timeout_s):
            await retry_for_ever("reach ClickHouse", probe)
    except TimeoutError:
        raise ClickHouseUnavailable(url, f"waited {timeout_s:g} s") from None


async def retry_for_ever(what: str, operation: Callable[[], Awaitable[T]]) -> T:
    """Run until it succeeds, with growing pauses; ends only by success, cancellation or a bug."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await operation()
        except (ClickHouseUnavailable, *UNREACHABLE) as error:
            logger.warning("Could not %s, trying again in %g s: %s", what, pause_s, _first_line(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def is_away(error: BaseException) -> bool:
    """Whether an error, or one that it was made of, says that no server answered: a refusal has a code."""
    links = []
    link: BaseException | None = error
    while link is not None:
        links.append(link)
        link = link.__cause__
    if any(isinstance(link, ServerError) and link.code is not None for link in links):
        return False
    return any(isinstance(link, (ClickHouseUnavailable, *UNREACHABLE)) for link in links)


async def _connect(url: str, timeout_s: float) -> AsyncClient:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the ClickHouse URL must look like http://user:password@host:8123")
    try:
        return await clickhouse_connect.get_async_client(
            dsn=url,
            interface=parts.scheme,
            connect_timeout=10,
            send_receive_timeout=timeout_s,
            autogenerate_session_id=False,
            tz_mode="aware",
        )
    except UNREACHABLE as error:
        raise ClickHouseUnavailable(url, error) from error


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 8123}"


def _first_line(error: BaseException | str) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]

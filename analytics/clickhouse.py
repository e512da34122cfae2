"""Open clients to ClickHouse from a URL, and say clearly what is wrong and what to do where that fails."""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

__all__ = [
    "UNREACHABLE",
    "AsyncClient",
    "ClickHouseRefused",
    "ClickHouseUnavailable",
    "ClickHouseUrlError",
    "checked_database",
    "explained",
    "is_away",
    "open_client",
    "retry_for_ever",
]

T = TypeVar("T")

logger = logging.getLogger(__name__)

UNREACHABLE: Final = (ClickHouseError, aiohttp.ClientError, TimeoutError, OSError)
"""What an operation raises when the server is away or refuses it."""

_URL_FORM: Final = "write http://user:password@host:8123"
_NOT_A_URL: Final = "CLICKHOUSE_URL (clickhouse.url) is not the URL of a ClickHouse server"
_START: Final = "start it with `tierstream up`, or set CLICKHOUSE_URL to a server that runs"
_NO_HOST: Final = "there is no such host; check CLICKHOUSE_URL"
_NO_TLS: Final = "check whether CLICKHOUSE_URL has to start with http://, or has the port of HTTPS, mostly 8443"
_WRONG_USER: Final = f"refuses the user or the password of CLICKHOUSE_URL: {_URL_FORM}"
_NO_LEDGER: Final = (
    "does not have the ledger: run `tierstream up` or `tierstream sink`, which create it, or check the setting "
    "clickhouse.database and the database in CLICKHOUSE_URL"
)
_REFUSALS: Final = {
    **dict.fromkeys((192, 193, 194, 516), _WRONG_USER),
    **dict.fromkeys((60, 81), _NO_LEDGER),
    497: "does not give the user of CLICKHOUSE_URL the rights that this needs: grant them, or use another user",
}
"""What an error code means for who started the command, and what to do."""

_DATABASE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0


class ClickHouseUnavailable(Exception):  # noqa: N818 - names a state, as the callers' messages do
    """ClickHouse can't be used; the message says where it was looked for, what is wrong and what to do.

    ClickHouseUnavailable: it does not answer, and may do so later
    ├── ClickHouseRefused: it answers, but not this user, or has not what was asked for
    └── ClickHouseUrlError: the URL leads nowhere
    """


class ClickHouseRefused(ClickHouseUnavailable):
    """ClickHouse refuses the user, or lacks the database or the ledger's tables: trying again does not help."""


class ClickHouseUrlError(ClickHouseUnavailable):
    """What is configured as the URL of ClickHouse can't be one; it may be secret, so the message does not repeat it."""


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
        ClickHouseUrlError: The URL can't be one.
        ClickHouseRefused: The server refuses the user, or lacks the database, a table or a right.
        ClickHouseUnavailable: The server does not answer.
    """
    place = _place(url)
    try:
        client = await clickhouse_connect.get_async_client(
            dsn=url,
            interface=urlsplit(url).scheme,
            connect_timeout=10,
            send_receive_timeout=timeout_s,
            autogenerate_session_id=False,
            tz_mode="aware",
        )
    except UNREACHABLE as error:
        raise _explained(place, error) from error
    try:
        with explained(url):
            yield client
    finally:
        await client.close()


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Say of what the body raises, where a client of this URL raised it, what is wrong and what to do.

    Raises:
        ClickHouseRefused: The server refuses the user, or lacks the database, a table or a right.
        ClickHouseUnavailable: The server does not answer.
    """
    try:
        yield
    except DatabaseError as error:
        if error.code not in _REFUSALS:
            raise
        raise _explained(_place(url), error) from error
    except OperationalError as error:
        raise _explained(_place(url), error) from error


async def retry_for_ever(what: str, operation: Callable[[], Awaitable[T]]) -> T:
    """Run until it succeeds, with growing pauses; ends only by success, cancellation, a wrong URL or a bug."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await operation()
        except ClickHouseUrlError:
            raise
        except (ClickHouseUnavailable, *UNREACHABLE) as error:
            logger.warning("Could not %s, trying again in %g s: %s", what, pause_s, _first_line(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def is_away(error: BaseException) -> bool:
    """Whether an error, or one that it was made of, says that no server answered: a refusal does not."""
    causes = list(_causes(error))
    if any(isinstance(cause, (ClickHouseRefused, ClickHouseUrlError)) for cause in causes):
        return False
    if any(isinstance(cause, DatabaseError) and cause.code is not None for cause in causes):
        return False
    return any(isinstance(cause, (ClickHouseUnavailable, *UNREACHABLE)) for cause in causes)


def _place(url: str) -> str:
    """Return the URL without user, password and database."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The error quotes a part of the URL, and where a password has a slash in it that part is the password.
        raise ClickHouseUrlError(
            f"{_NOT_A_URL} (its host or port is none): {_URL_FORM}, and / ? # @ of a password as %2F %3F %23 %40"
        ) from None
    if parts.scheme not in {"http", "https"}:
        raise ClickHouseUrlError(f"{_NOT_A_URL} (it does not start with http:// or https://): {_URL_FORM}")
    if not parts.hostname:
        raise ClickHouseUrlError(f"{_NOT_A_URL} (it names no host): {_URL_FORM}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or (8443 if parts.scheme == 'https' else 8123)}"


def _explained(place: str, error: BaseException) -> ClickHouseUnavailable:
    code = error.code if isinstance(error, DatabaseError) else None
    if code in _REFUSALS:
        return ClickHouseRefused(f"ClickHouse at {place} {_REFUSALS[code]} (code {code})")
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return ClickHouseUnavailable(f"ClickHouse at {place} can't be reached: {_NO_HOST}")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ClickHouseUnavailable(f"ClickHouse at {place} can't be reached by TLS ({_first_line(error)}): {_NO_TLS}")
    refused = any(isinstance(cause, ConnectionRefusedError) for cause in causes)
    reason = "nothing listens there" if refused else _first_line(error)
    return ClickHouseUnavailable(f"ClickHouse at {place} does not answer ({reason}): {_START}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, aiohttp.ClientConnectorError):
            yield error.os_error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException | str) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]

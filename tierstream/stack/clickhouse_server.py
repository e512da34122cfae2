"""ClickHouse's HTTP interface on the loopback, in front of the engine inside this process.

`python -m tierstream.stack.clickhouse_server --port 8123 --data DIR`. A client of ClickHouse's HTTP interface
works against it unchanged; the source is https://clickhouse.com/docs/interfaces/http. Results are compressed for
who asks for it (`compress=1`, `enable_http_compression=1`) alone: on the loopback it costs more than it saves.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import socket
import sys
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

from aiohttp import BasicAuth, web

from tierstream.event_loop import run_service
from tierstream.stack.clickhouse_compression import (
    accepted_encoding,
    from_frames,
    from_lz4,
    to_encoding,
    to_frames,
)
from tierstream.stack.clickhouse_engine import Engine
from tierstream.stack.clickhouse_faults import InjectedFaults
from tierstream.stack.clickhouse_protocol import (
    DEFAULT_FORMAT,
    ClickHouseError,
    ExternalTable,
    Query,
    engine_settings,
    external_structure,
    protocol_version,
    query_parameters,
    session_of,
)
from tierstream.stack.ports import HOST
from tierstream.stack.service_process import stop_signal

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 256 * 1024**2
_UNDONE_BY_AIOHTTP: Final = frozenset({"identity", "gzip", "deflate", "br", "zstd"})
QUERY_THREADS: Final = 8
"""More than there are cores, so that a few slow reports leave room for inserts."""

SHUTDOWN_SECONDS: Final = 30.0
EXIT_CANNOT_START: Final = 2


class StartError(Exception):
    """The server can't start; the message says why and what to do."""


class ClickHouseHandler:
    """Translates HTTP requests into queries of the engine; inserts meet the injected faults, if there are any."""

    def __init__(self, engine: Engine, executor: ThreadPoolExecutor, faults: InjectedFaults | None) -> None:
        self._engine = engine
        self._executor = executor
        self._faults = faults

    def application(self) -> web.Application:
        """Routes of the interface; a body may have up to `MAX_BODY_BYTES` bytes after decoding."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/ping", self._ping)
        app.router.add_get("/", self._query)
        app.router.add_post("/", self._query)
        if self._faults is not None:
            self._faults.add_to(app)
        return app

    async def _ping(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="Ok.\n")

    async def _query(self, request: web.Request) -> web.Response:
        # A page in a browser can send requests to the loopback; programs do not send this header.
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="Requests of web pages are not served.\n")
        if request.method == "GET" and "query" not in request.query:
            return await self._ping(request)
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Server-Display-Name": self._engine.display_name,
            "X-ClickHouse-Timezone": self._engine.timezone,
        }
        try:
            _authenticate(request)
            query = await _read_query(request)
            if self._faults is not None:
                await self._faults.meet(query)
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(self._executor, self._engine.run, query)
            encoding = _response_encoding(request)
            body = await loop.run_in_executor(self._executor, _encode, reply.body, request.query, encoding)
        except ClickHouseError as error:
            headers["X-ClickHouse-Exception-Code"] = str(error.code)
            return web.Response(status=error.http_status, text=f"{error.message}\n", headers=headers)
        headers["X-ClickHouse-Format"] = query.output_format
        headers["X-ClickHouse-Summary"] = json.dumps(reply.summary)
        if encoding != "identity":
            headers["Content-Encoding"] = encoding
        return web.Response(body=body, headers=headers)


def _response_encoding(request: web.Request) -> str:
    if request.query.get("enable_http_compression") != "1":
        return "identity"
    return accepted_encoding(request.headers.get("Accept-Encoding", ""))


def _authenticate(request: web.Request) -> None:
    """Let in whom a server lets in that nobody has configured: the user `default` without a password.

    Raises:
        ClickHouseError: somebody else asks.
    """
    user = request.headers.get("X-ClickHouse-User") or request.query.get("user") or "default"
    password = request.headers.get("X-ClickHouse-Key") or request.query.get("password") or ""
    if authorization := request.headers.get("Authorization"):
        try:
            basic = BasicAuth.decode(authorization)
        except ValueError as error:
            raise ClickHouseError.of(516, "AUTHENTICATION_FAILED", f"Invalid authentication: {error}") from error
        user, password = basic.login or user, basic.password
    if (user, password) != ("default", ""):
        raise ClickHouseError.of(
            516,
            "AUTHENTICATION_FAILED",
            f"{user}: Authentication failed: password is incorrect, or there is no user with such name. The embedded "
            "ClickHouse has the user default without a password alone",
        )


async def _read_query(request: web.Request) -> Query:
    arguments = dict(request.query)
    external: dict[str, bytes] = {}
    body = b""
    if request.content_type == "multipart/form-data":
        for name, part in (await request.post()).items():
            if isinstance(part, web.FileField):
                external[name] = part.file.read()
            else:
                arguments[name] = part if isinstance(part, str) else bytes(part).decode()
    else:
        body = _decode(await _read_body(request), request, arguments)
    # The server too reads the argument and the body as one text, with a line feed between them.
    statement = arguments.get("query", "").encode()
    text = b"\n".join(part for part in (statement, body) if part)
    if not text.strip():
        raise ClickHouseError(62, "Code: 62. DB::Exception: Syntax error: Empty query. (SYNTAX_ERROR)")
    settings = engine_settings(arguments, external)
    if request.method == "GET":
        settings["readonly"] = "2"
    session = session_of(arguments)
    if session and settings.get("readonly", "0") != "0":
        # The engine lets nobody take it back, and the session's next request may write.
        raise ClickHouseError.of(
            48, "NOT_IMPLEMENTED", "The embedded ClickHouse has no read-only requests in a session: POST the statement"
        )
    return Query(
        text=text,
        database=_argument(request, arguments, "database", ""),
        default_format=_argument(request, arguments, "default_format", DEFAULT_FORMAT),
        settings=settings,
        parameters=query_parameters(arguments),
        external_tables=_external_tables(arguments, external),
        session=session,
        protocol_version=protocol_version(arguments),
    )


async def _read_body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise ClickHouseError.of(
            229, "QUERY_IS_TOO_LARGE", f"the body has more than {MAX_BODY_BYTES} bytes: send less at a time"
        ) from error


def _argument(request: web.Request, arguments: Mapping[str, str], name: str, default: str) -> str:
    """The URL wins over the header that says the same."""
    header = "X-ClickHouse-" + name.removeprefix("default_").capitalize()
    return str(arguments.get(name) or request.headers.get(header) or default)


def _external_tables(arguments: Mapping[str, str], data: Mapping[str, bytes]) -> tuple[ExternalTable, ...]:
    return tuple(
        ExternalTable(
            name=name,
            structure=external_structure(arguments, name),
            format=arguments.get(f"{name}_format", DEFAULT_FORMAT),
            data=content,
        )
        for name, content in data.items()
    )


def _decode(body: bytes, request: web.Request, arguments: Mapping[str, str]) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding == "lz4":
        body = from_lz4(body, MAX_BODY_BYTES)
    elif encoding not in _UNDONE_BY_AIOHTTP:
        raise ClickHouseError.of(
            89,
            "UNKNOWN_COMPRESSION_METHOD",
            f"The embedded ClickHouse does not read Content-Encoding {encoding}: use lz4, zstd, gzip, deflate or br",
        )
    return from_frames(body, MAX_BODY_BYTES) if arguments.get("decompress") == "1" else body


def _encode(body: bytes, arguments: Mapping[str, str], encoding: str) -> bytes:
    if arguments.get("compress") == "1":
        # A server of this version takes ZSTD by default. Every client reads LZ4, and each block names its method.
        body = to_frames(body, arguments.get("network_compression_method", "LZ4"))
    return to_encoding(body, encoding)


def _lock_folder(folder: Path) -> IO[bytes]:
    """Hold the folder for this process. The kernel drops the lock when the process dies, however it dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "tierstream.lock").open("ab")
    except OSError as error:
        raise StartError(f"can't write to the data folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StartError(f"another process uses the data folder {folder}: stop it first") from error
    return lock


def _bind(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        raise StartError(f"can't listen on {HOST}:{port}: {error.strerror}") from error


async def _serve(engine: Engine, listener: socket.socket, folder: Path, faults: InjectedFaults | None) -> None:
    """Serve until SIGTERM or SIGINT, then let the running queries finish."""
    stopped = stop_signal()
    with ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="query") as executor:
        app = ClickHouseHandler(engine, executor, faults).application()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        _, port = listener.getsockname()
        logger.info("ClickHouse %s listens on http://%s:%d, data in %s", engine.version, HOST, port, folder)
        await stopped.wait()
        await runner.cleanup()


def run(port: int, folder: Path) -> None:
    """Run the server in this process until it is told to stop.

    Args:
        port: port to listen on; 0 takes a free one, which the log names.
        folder: where the data lives; made when missing.

    Raises:
        StartError: the folder or the port can't be used, or the engine is missing.
    """
    with _lock_folder(folder), _bind(port) as listener:
        try:
            engine = Engine(folder)
        except RuntimeError as error:
            raise StartError(f"the ClickHouse engine does not start: {error}") from error
        try:
            run_service(_serve(engine, listener, folder, InjectedFaults.if_allowed()))
        finally:
            engine.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run; returns the exit code, 2 when the server can't start."""
    parser = argparse.ArgumentParser(prog="clickhouse_server", description="ClickHouse on the loopback")
    parser.add_argument("--port", type=int, required=True, help="port to listen on, 0 for a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        run(options.port, options.data.resolve())
    except StartError as error:
        logger.error("clickhouse_server: %s", error)  # noqa: TRY400 - the user needs the line, not the stack
        return EXIT_CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())

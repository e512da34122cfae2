"""The ClickHouse engine inside this process, through `chdb`: one folder, a connection for each query or session."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast
from urllib.parse import urlencode

from tierstream.stack.clickhouse_native import BUFFERS, LOWEST_REVISION, Column, to_blocks
from tierstream.stack.clickhouse_protocol import (
    ClickHouseError,
    ExternalTable,
    InsertData,
    Query,
    bare_statement,
    first_word,
    quote_identifier,
    quote_string,
    split_insert,
)
from tierstream.stack.clickhouse_sessions import Sessions

# The engine takes most of the machine by default; here it shares it with Kafka, the workers and a browser.
# Its background pools are small already, and it keeps no system log tables.
_SERVER_OPTIONS: Final = {
    "max_server_memory_usage": str(2 * 1024**3),
    "mark_cache_size": str(128 * 1024**2),
    "primary_index_cache_size": str(128 * 1024**2),
    "query_condition_cache_size": str(16 * 1024**2),
}

# Where the embedded engine is more lenient than a server, a statement that works here would fail there.
_SERVER_SETTINGS: Final = {
    "implicit_select": "0",
    "allow_introspection_functions": "0",
    "date_time_input_format": "basic",
}

_DESCRIBED: Final = frozenset({"SELECT", "WITH", "FROM", "EXPLAIN"})
"""Statements that can stand in DESCRIBE (…)."""
_REPEATABLE: Final = frozenset({"SHOW", "DESCRIBE", "DESC", "EXISTS", "CHECK"})
"""Further ones with a result, which may be run a second time for the types of its columns: they change nothing."""


class _QueryResult(Protocol):
    def bytes(self) -> bytes | None: ...
    def elapsed(self) -> float: ...
    def rows_read(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...


class _InsertResult(Protocol):
    rows_written: int
    bytes_written: int
    elapsed: float


class _Inserter(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> bool: ...
    def append(self, data: memoryview) -> None: ...
    def finish(self) -> _InsertResult: ...


class _Connection(Protocol):
    """The part of `chdb.state.sqlitelike.Connection` in use; chdb has no types of its own."""

    def query(self, query: str | bytes, format: str = ..., params: dict[str, str] = ...) -> _QueryResult: ...  # noqa: A002 - chdb's name
    def send_insert(self, query: str, format: str = ...) -> _Inserter: ...  # noqa: A002 - chdb's name
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What a query returned.

    Attributes:
        body: the result in `Query.output_format`.
        summary: the numbers of the header X-ClickHouse-Summary: rows, bytes, `elapsed_ns` in nanoseconds.
    """

    body: bytes
    summary: dict[str, str]


class Engine:
    """An open data folder. Queries of different threads run in parallel.

    Raises:
        RuntimeError: `chdb` is missing, or can't open the folder.
    """

    def __init__(self, folder: Path) -> None:
        # A server image runs in UTC; the time zone of the machine would make results differ from it.
        os.environ["TZ"] = "UTC"
        try:
            import chdb  # noqa: PLC0415 - half a gigabyte of an optional extra, and it reads TZ when loaded
        except ImportError as error:
            raise RuntimeError("chdb is not installed: pip install 'tierstream[embedded]'") from error
        self._connect_to = cast("Callable[[str], _Connection]", chdb.connect)
        self._path = str(folder)
        # The engine lives as long as a connection is open, and takes its options from the first.
        self._anchor = self._connect_to(f"{self._path}?{urlencode(_SERVER_OPTIONS)}")
        identity = self._anchor.query("SELECT version(), timezone(), displayName()", "TSV").bytes() or b""
        self.version, self.timezone, self.display_name = identity.decode().split()
        self._sessions = Sessions(self._connect)

    def run(self, query: Query) -> Reply:
        """Run one query to its end; blocks, without holding the interpreter lock.

        Raises:
            ClickHouseError: the engine refused it, or its session is not to be had.
        """
        self._sessions.close_expired()
        try:
            with self._connection(query) as connection:
                insert = split_insert(query.text)
                if insert:
                    return _insert(connection, insert)
                if query.protocol_version >= LOWEST_REVISION and query.output_format == "Native":
                    return _select_blocks(connection, query)
                return _select(connection, query)
        except RuntimeError as error:
            raise ClickHouseError.parse(str(error)) from error

    def close(self) -> None:
        """Close the folder; every `run` must have returned."""
        self._sessions.close()
        self._anchor.close()

    def _connect(self) -> _Connection:
        connection = self._connect_to(self._path)
        _assign(connection, _SERVER_SETTINGS)
        return connection

    @contextmanager
    def _connection(self, query: Query) -> Iterator[_Connection]:
        """Lend a connection on which the query's settings, database and external tables are in force."""
        if query.session:
            with self._sessions.use(query.session) as connection, _restored(connection, query):
                _prepare(connection, query)
                yield connection
            return
        # A connection costs 0.3 ms and keeps settings, database and temporary tables to this query.
        connection = self._connect()
        try:
            _prepare(connection, query)
            yield connection
        finally:
            connection.close()


def _prepare(connection: _Connection, query: Query) -> None:
    for table in query.external_tables:
        _create_external(connection, table)
    if query.database:
        connection.query(f"USE {quote_identifier(query.database)}")
    _assign(connection, query.settings)


def _assign(connection: _Connection, settings: Mapping[str, str]) -> None:
    if settings:
        connection.query("SET " + ", ".join(f"{name} = {quote_string(value)}" for name, value in settings.items()))


@contextmanager
def _restored(connection: _Connection, query: Query) -> Iterator[None]:
    """Undo what the request alone brought: a session keeps what its statements did, not what URLs said."""
    settings = _rows(
        connection,
        "SELECT name, value, changed FROM system.settings WHERE has({names:Array(String)}, name)",
        {"names": f"[{', '.join(map(quote_string, query.settings))}]"},
    )
    [[database]] = _rows(connection, "SELECT currentDatabase()")
    try:
        yield
    finally:
        for table in query.external_tables:
            connection.query(f"DROP TEMPORARY TABLE IF EXISTS {quote_identifier(table.name)}")
        if query.database:
            connection.query(f"USE {quote_identifier(database)}")
        if settings:
            values = (f"{name} = {quote_string(value) if changed else 'DEFAULT'}" for name, value, changed in settings)
            connection.query("SET " + ", ".join(values))


def _create_external(connection: _Connection, table: ExternalTable) -> None:
    name = quote_identifier(table.name)
    connection.query(f"CREATE TEMPORARY TABLE {name} ({table.structure})")
    _insert(connection, InsertData(f"INSERT INTO {name}".encode(), table.format, memoryview(table.data)))


def _insert(connection: _Connection, insert: InsertData) -> Reply:
    with connection.send_insert(insert.statement.decode(), insert.format) as inserter:
        if insert.data:
            inserter.append(insert.data)
        result = inserter.finish()
    rows, size = str(result.rows_written), str(result.bytes_written)
    summary = {"read_rows": rows, "read_bytes": size, "written_rows": rows, "written_bytes": size}
    return Reply(b"", summary | {"result_rows": rows, "elapsed_ns": _nanoseconds(result.elapsed)})


def _select(connection: _Connection, query: Query) -> Reply:
    # The engine takes the statement as bytes too, so that a literal need not be UTF-8.
    result = connection.query(query.text, query.default_format, params=dict(query.parameters))
    summary = {
        "read_rows": str(result.storage_rows_read()),
        "read_bytes": str(result.storage_bytes_read()),
        "written_rows": str(result.rows_written()),
        "written_bytes": str(result.bytes_written()),
        "result_rows": str(result.rows_read()),
        "elapsed_ns": _nanoseconds(result.elapsed()),
    }
    return Reply(result.bytes() or b"", summary)


def _select_blocks(connection: _Connection, query: Query) -> Reply:
    """Run a statement whose result is to be Native of a revision that the engine does not write."""
    statement = bare_statement(query.text)
    reply = _select(connection, replace(query, text=statement, default_format=BUFFERS))
    if not reply.body:
        return reply
    return Reply(to_blocks(reply.body, _columns(connection, statement, dict(query.parameters))), reply.summary)


def _columns(connection: _Connection, statement: bytes, parameters: dict[str, str]) -> list[Column]:
    kind = first_word(statement)
    if kind in _DESCRIBED:
        described = b"DESCRIBE TABLE (\n" + statement + b"\n) SETTINGS describe_compact_output = 1"
        return [Column(name, kind) for name, kind in _rows(connection, described, parameters)]
    if kind in _REPEATABLE:
        names, types, *_ = _rows(connection, statement, parameters, "JSONCompactEachRowWithNamesAndTypes")
        return [Column(name, kind) for name, kind in zip(names, types, strict=True)]
    raise ClickHouseError.of(
        48,
        "NOT_IMPLEMENTED",
        f"The embedded ClickHouse does not send the result of {kind} in Native: ask for another format, such as "
        "FORMAT JSONEachRow, or use a server",
    )


def _rows(
    connection: _Connection,
    statement: str | bytes,
    parameters: dict[str, str] | None = None,
    json_format: str = "JSONCompactEachRow",
) -> list[list[Any]]:
    result = connection.query(statement, json_format, params=parameters or {}).bytes() or b""
    return [json.loads(line) for line in result.splitlines()]


def _nanoseconds(seconds: float) -> str:
    return str(int(seconds * 1e9))

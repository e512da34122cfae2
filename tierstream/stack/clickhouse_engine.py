"""The ClickHouse engine inside this process, through `chdb`: one folder, one connection for each query."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self, cast
from urllib.parse import urlencode

from tierstream.stack.clickhouse_protocol import (
    ClickHouseError,
    ExternalTable,
    InsertData,
    Query,
    quote_identifier,
    quote_string,
    split_insert,
)

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
        self._connect = cast("Callable[[str], _Connection]", chdb.connect)
        self._path = str(folder)
        # The engine lives as long as a connection is open, and takes its options from the first.
        self._anchor = self._connect(f"{self._path}?{urlencode(_SERVER_OPTIONS)}")
        identity = self._anchor.query("SELECT version(), timezone()", "TSV").bytes() or b""
        self.version, self.timezone = identity.decode().split()

    def run(self, query: Query) -> Reply:
        """Run one query to its end; blocks, without holding the interpreter lock.

        Raises:
            ClickHouseError: the engine refused it.
        """
        try:
            # A connection costs 0.3 ms and keeps settings, database and temporary tables to this query.
            connection = self._connect(self._path)
            try:
                _prepare(connection, query)
                insert = split_insert(query.text)
                return _insert(connection, insert) if insert else _select(connection, query)
            finally:
                connection.close()
        except RuntimeError as error:
            raise ClickHouseError.parse(str(error)) from error

    def close(self) -> None:
        """Close the folder; every `run` must have returned."""
        self._anchor.close()


def _prepare(connection: _Connection, query: Query) -> None:
    for table in query.external_tables:
        _create_external(connection, table)
    if query.database:
        connection.query(f"USE {quote_identifier(query.database)}")
    assignments = _SERVER_SETTINGS | dict(query.settings)
    connection.query("SET " + ", ".join(f"{name} = {quote_string(value)}" for name, value in assignments.items()))


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


def _nanoseconds(seconds: float) -> str:
    return str(int(seconds * 1e9))

"""Clients in other languages read and write the embedded ClickHouse as clickhouse-connect does."""

import asyncio
import json
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from time import time_ns
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_programs import BATCH, BATCH_COLUMNS, Answer, Program, go_program, java_program, node_program
from support.documented_sql import documented_queries
from support.embedded_server import EmbeddedServer
from support.ledger_records import breaker, call_pair, fill_ledger, hops, result, shared_call

DATABASE = "tierstream"
VIEWS = ("requests", "calls", "hops", "breakers", "bodies", "call_ledger", "attempt_ledger", "spending")
TYPES = """
    SELECT
        toUInt64(18446744073709551615), toInt8(-128), toFloat64(0.1), toFloat64(1e-300), nan, true,
        toDecimal32('-1.25', 4), toDecimal128('0.000000000001', 12), toDecimal256('1e30', 2),
        toDate('2026-02-28'), toDateTime('2026-02-28 23:59:59', 'UTC'), toDateTime('2026-02-28 23:59:59', 'Asia/Tokyo'),
        toDateTime64('2026-02-28 23:59:59.123456', 6, 'UTC'), toDateTime64('1969-12-31 23:00:00.5', 3, 'Europe/Paris'),
        toUUID('6a1f7e0e-0f4b-4d43-8d0b-1f5f2d2a9c11'), 'naïve 漢字 🚀', repeat('x', 70000), '',
        'groq'::LowCardinality(String), NULL::LowCardinality(Nullable(String)), NULL::Nullable(UInt64),
        3::Nullable(UInt64), NULL::Nullable(DateTime64(6, 'UTC')),
        CAST('failed', 'Enum8(\\'ok\\' = 1, \\'failed\\' = 2)'),
        [1, 2]::Array(UInt32), []::Array(String), ['a', 'b']::Array(LowCardinality(String)), [['a'], []],
        [toUUID('6a1f7e0e-0f4b-4d43-8d0b-1f5f2d2a9c11')], [toDecimal128('1.5', 12)],
        map('team', 'a', '', 'b'), (1, 'x', toDecimal64('2.5', 2))
    FROM numbers(3)
"""
ERRORS = {
    "SELEC 1": 62,
    "SELECT * FROM no_such_table": 60,
    "SELECT no_such_column": 47,
    "SELECT throwIf(number = 70000) FROM numbers(100000)": 395,
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedServer(tmp_path_factory.mktemp("clickhouse"))
    asyncio.run(fill(server.url))
    yield server.url
    assert server.end(signal.SIGTERM) == 0


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with clickhouse_connect.get_client(dsn=url, tz_mode="aware") as client:
        yield client


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return go_program(tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return java_program(tmp_path_factory.mktemp("java"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return node_program(tmp_path_factory.mktemp("node"))


@pytest.fixture(params=["go", "java"])
def program(request: pytest.FixtureRequest, url: str) -> Callable[..., list[Answer]]:
    """A client in another language on the server, with options of its own in the URL."""
    made: Program = request.getfixturevalue(request.param)
    prefix = "jdbc:clickhouse:" if request.param == "java" else "http:"

    def run(*statements: str, options: str = "") -> list[Answer]:
        answers = made.run(f"{prefix}{url.removeprefix('http:')}/default{options}", statements)
        return [replace(answer, rows=tuple(tuple(map(plain, row)) for row in answer.rows)) for answer in answers]

    return run


async def fill(url: str) -> None:
    """A ledger with calls of all outcomes, shared ones too, within the time that the queries ask for."""
    records = [record for n in range(1, 6) for record in (result(n), *call_pair(n), hops(n))]
    records += [*call_pair(6, failed=True), call_pair(7)[0], breaker(1)]
    records += [record for part in shared_call(8, 9) for record in part]
    await fill_ledger(url, DATABASE, records, first_ms=time_ns() // 1_000_000 - 60_000, bodies="full")


def plain(value: Any) -> Any:
    """A value as the programs write it: moments as microseconds, decimals without trailing zeros."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") if value.as_tuple().exponent else f"{value:f}"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return str(value) if isinstance(value, date | uuid.UUID) or value != value else value  # noqa: PLR0124 - NaN


def read(client: Client, query: str) -> Answer:
    found = client.query(query, query_formats={"FixedString": "string"})
    return Answer(found.column_names, tuple(tuple(map(plain, row)) for row in found.result_rows))


def unordered(answer: Answer) -> tuple[tuple[str, ...], list[str]]:
    """Columns and rows; where a query leaves the order of rows open, it may differ from time to time."""
    # An empty result has no names in Native.
    return (answer.columns, sorted(map(json.dumps, answer.rows))) if answer.rows else ((), [])


def test_documented_queries_and_views_read_the_same(client: Client, program: Callable[..., list[Answer]]) -> None:
    queries = documented_queries()
    assert len(queries) > 15
    queries += [f"SELECT * FROM {DATABASE}.{view}" for view in VIEWS]
    answers = program(*queries)
    expected = [read(client, query) for query in queries]
    assert all(answer.rows for answer in expected[-len(VIEWS) :])
    for query, answer, wanted in zip(queries, answers, expected, strict=True):
        assert answer.code == 0, f"{answer.message}\n{query}"
        assert unordered(answer) == unordered(wanted), query


def test_types_read_the_same(client: Client, program: Callable[..., list[Answer]]) -> None:
    [answer] = program(TYPES)
    assert answer.message == ""
    for got, wanted in zip(answer.rows, read(client, TYPES).rows, strict=True):
        assert got == wanted


OPTIONS = {
    "go": ("", "?compress=lz4", "?compress=zstd", "?compress=gzip", "?compress=deflate", "?compress=br"),
    "java": (
        *("", "?compress=0", "?decompress=1&compression.method=LZ4"),
        "?client.use_http_compression=true&decompress=1",
    ),
}


@pytest.mark.parametrize(
    ("program", "options"),
    [(language, option) for language, options in OPTIONS.items() for option in options],
    indirect=["program"],
)
def test_batches_parameters_and_errors(client: Client, program: Callable[..., list[Answer]], options: str) -> None:
    table = f"default.batch_{uuid.uuid4().hex}"
    text = "a'b\"c`\\ tab\t ünï 漢字 🚀"
    answers = program(
        f"CREATE TABLE {table} ({BATCH_COLUMNS}) ENGINE = MergeTree ORDER BY n",
        f"batch {table}",
        f"SELECT * FROM {table} ORDER BY n",
        f"echo {text}",
        "SELECT number, toString(number) FROM numbers(100000)",
        "SHOW TABLES FROM tierstream LIKE 'hops%'",
        *ERRORS,
        "batch default.no_such_table",
        options=options,
    )
    assert [answer.code for answer in answers] == [0, 0, 0, 0, 0, 0, *ERRORS.values(), 60]
    rows = tuple(tuple(map(plain, row)) for row in BATCH)
    assert answers[2].rows == rows == read(client, f"SELECT * FROM {table} ORDER BY n").rows
    assert answers[3].rows == ((text,),)
    assert answers[4].rows[::33_333] == tuple((number, str(number)) for number in range(0, 100_000, 33_333))
    assert answers[5].rows == (("hops",), ("hops_log",))
    assert "Syntax error" in answers[6].message


@pytest.mark.parametrize("compressed", ["", "compressed"])
def test_sessions_of_the_node_client(node: Program, url: str, compressed: str) -> None:
    text = "a'b\"c`\\ tab\t ünï 漢字 🚀"
    answers = node.run(
        url,
        [
            f"CREATE TEMPORARY TABLE mine ({BATCH_COLUMNS})",
            "batch mine",
            "SELECT toUInt32(n) AS n, toString(cost) AS cost, at, body, note, route, tags FROM mine ORDER BY n",
            f"echo {text}",
            "SET max_block_size = 77",
            "SELECT toUInt32(getSetting('max_block_size'))",
            *ERRORS,
        ],
        compressed,
    )
    assert [answer.code for answer in answers] == [0] * 6 + list(ERRORS.values())
    assert [row[3:] for row in answers[2].rows] == [row[3:] for row in BATCH]
    assert [row[1] for row in answers[2].rows] == [plain(row[1]) for row in BATCH]
    assert answers[3].rows == ((text,),)
    assert answers[5].rows == ((77,),)
    [other] = node.run(url, ["SELECT * FROM mine"], compressed)
    assert other.code == 60

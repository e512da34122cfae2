"""What other code relies on in ClickHouse: checked on the embedded one, or on that of CLICKHOUSE_URL."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote, urlsplit

import clickhouse_connect
import lz4.frame
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData
from support.embedded_server import MODULE, EmbeddedServer

from tierstream.stack.clickhouse_protocol import ClickHouseError, split_insert

COLUMNS = """
    id UUID, model LowCardinality(String), at DateTime64(6, 'UTC'), cost Decimal(38, 12), tokens UInt64,
    delta Int32, note Nullable(String), score Nullable(Float64), route Array(String),
    tags Map(String, String), status Enum8('ok' = 1, 'failed' = 2), stream Bool, ratio Float64, body String
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if real := os.environ.get("CLICKHOUSE_URL"):
        yield real
        return
    server = EmbeddedServer(tmp_path_factory.mktemp("clickhouse"))
    yield server.url
    assert server.end(signal.SIGTERM) == 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], EmbeddedServer]]:
    """Starts servers on one folder, one after the other."""
    servers: list[EmbeddedServer] = []

    def start_server() -> EmbeddedServer:
        servers.append(EmbeddedServer(tmp_path / "data"))
        return servers[-1]

    yield start_server
    for server in servers:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


@pytest.fixture
def database(url: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with clickhouse_connect.get_client(dsn=url) as client:
        client.command(f"CREATE DATABASE {name}")
        yield name
        client.command(f"DROP DATABASE {name}")


@pytest.fixture
def client(url: str, database: str) -> Iterator[Client]:
    with clickhouse_connect.get_client(dsn=url, database=database) as client:
        yield client


async def connect(url: str, database: str) -> AsyncClient:
    return await clickhouse_connect.get_async_client(dsn=url, database=database, tz_mode="aware")


def sample_rows() -> list[list[object]]:
    at = datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC)
    smallest = Decimal("0.000000000001")
    largest = Decimal("99999999999999999999999999.999999999999")
    return [
        [
            *(uuid.uuid4(), "openai/gpt-oss-20b", at, smallest, 2**64 - 1, -(2**31), None, None),
            *([], {}, "ok", True, 0.1, ""),
        ],
        [
            *(uuid.uuid4(), "", at, largest, 0, 2**31 - 1, "naïve 漢字 🚀 'q\" \\ \t\n;", -1.5),
            *(["T1", "T2 ü"], {"team": "a'b", "": ""}, "failed", False, 1e-300, "FORMAT Native\n" * 80_000),
        ],
        [
            *(uuid.uuid4(), "m\x00n", at, -largest, 1, 0, "", 0.0),
            *([""], {"k": "\x00"}, "ok", True, -0.0, "\x00" * 1_000_000),
        ],
    ]


@pytest.mark.parametrize("compress", ["lz4", "zstd", False])
def test_rows_read_back_equal(url: str, database: str, compress: str | bool) -> None:
    rows = sample_rows()
    with clickhouse_connect.get_client(dsn=url, database=database, compress=compress, tz_mode="aware") as client:
        client.command(f"CREATE TABLE calls ({COLUMNS}) ENGINE = MergeTree ORDER BY at")
        assert client.insert("calls", rows).written_rows == len(rows)
        read = client.query("SELECT * FROM calls").result_rows
    assert {row[0]: list(row) for row in read} == {row[0]: row for row in rows}


async def test_rows_read_back_equal_async(url: str, database: str) -> None:
    rows = sample_rows()
    async with await connect(url, database) as client:
        await client.command(f"CREATE TABLE calls ({COLUMNS}) ENGINE = MergeTree ORDER BY at")
        await client.insert("calls", rows)
        read = (await client.query("SELECT * FROM calls")).result_rows
    assert {row[0]: list(row) for row in read} == {row[0]: row for row in rows}


def test_json_column(client: Client) -> None:
    client.command("CREATE TABLE documents (value JSON) ENGINE = MergeTree ORDER BY tuple()")
    client.insert("documents", [[{"tier": 1, "name": "ü"}]])
    assert client.query("SELECT value.tier::Int64, value.name::String FROM documents").result_rows == [(1, "ü")]


def test_decimal_sums_are_exact(client: Client) -> None:
    client.command("CREATE TABLE costs (cost Decimal(38, 12)) ENGINE = MergeTree ORDER BY tuple()")
    client.insert("costs", [[Decimal("0.000000100001")]] * 10_000)
    assert client.query("SELECT sum(cost) FROM costs").result_rows == [(Decimal("0.001000010000"),)]


@pytest.mark.parametrize("value", ["a'b\"c`\\", "tab\tand\nline", "ünï 漢字", "", "x" * 20_000])
def test_parameters_are_bound_by_the_server(client: Client, value: str) -> None:
    query = "SELECT {value:String}, {ids:Array(UInt64)}, {missing:Nullable(String)}"
    parameters = {"value": value, "ids": [1, 2], "missing": None}
    assert client.query(query, parameters=parameters).result_rows == [(value, [1, 2], None)]


def test_settings_reach_the_query(client: Client) -> None:
    assert client.command("SELECT getSetting('max_threads')", settings={"max_threads": 1}) == 1
    with pytest.raises(DatabaseError) as failure:
        client.query("SELECT * FROM system.numbers", settings={"max_rows_to_read": 10})
    assert failure.value.code == 158


def test_external_data(client: Client) -> None:
    data = ExternalData(file_name="ids.csv", data=b"1,one\n2,two\n", fmt="CSV", structure=["id UInt8", "name String"])
    assert client.query("SELECT id, name FROM ids ORDER BY id", external_data=data).result_rows == [
        (1, "one"),
        (2, "two"),
    ]


@pytest.mark.parametrize(
    ("query", "code", "status"),
    [
        ("SELEC 1", 62, 400),
        ("SELECT * FROM no_such_table", 60, 404),
        ("SELECT no_such_column", 47, 404),
        ("SELECT throwIf(1)", 395, 500),
        ("INSERT INTO no_such_table FORMAT JSONEachRow {}", 60, 404),
    ],
)
def test_errors_keep_their_code(client: Client, url: str, query: str, code: int, status: int) -> None:
    with pytest.raises(DatabaseError) as failure:
        client.command(query)
    assert failure.value.code == code
    response, body = post(url, query.encode())
    assert response.status == status
    assert response.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_unknown_database_and_setting(client: Client, url: str) -> None:
    response, _ = post(url, b"SELECT 1", database="no_such_database")
    assert response.headers["X-ClickHouse-Exception-Code"] == "81"
    response, _ = post(url, b"SELECT 1", no_such_setting="1")
    assert response.headers["X-ClickHouse-Exception-Code"] == "115"


def test_failed_insert_leaves_nothing(client: Client) -> None:
    client.command("CREATE TABLE numbers (n UInt8) ENGINE = MergeTree ORDER BY n")
    with pytest.raises(DatabaseError):
        client.raw_insert("numbers", ["n"], b'{"n": 1}\n{"n": "no number"}\n', fmt="JSONEachRow")
    assert client.command("SELECT count() FROM numbers") == 0


def test_wire_details(url: str) -> None:
    ping, body = request("GET", f"{url}/ping")
    assert (ping.status, body) == (200, b"Ok.\n")
    response, body = request(
        "GET", f"{url}/?query={quote('SELECT 1 AS a FORMAT JSONEachRow')}&query_id=mine&max_threads=1"
    )
    assert json.loads(body) == {"a": 1}
    assert response.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert response.headers["X-ClickHouse-Query-Id"] == "mine"
    assert response.headers["X-ClickHouse-Timezone"] == "UTC"
    assert "read_rows" in json.loads(response.headers["X-ClickHouse-Summary"])
    _, body = post(url, b"SELECT 1 AS a", default_format="CSVWithNames")
    assert body == b'"a"\n1\n'
    refused, _ = request("GET", f"{url}/?query={quote('CREATE TABLE default.t (a UInt8) ENGINE = Memory')}")
    assert refused.headers["X-ClickHouse-Exception-Code"] == "164"


@pytest.mark.skipif("CLICKHOUSE_URL" in os.environ, reason="what only the embedded server does")
def test_bad_requests(url: str) -> None:
    assert request("POST", url, b"SELECT 1", {"Origin": "https://example.com"})[0].status == 403
    assert request("POST", url, b" ")[0].status == 400
    whole = lz4.frame.compress(b"SELECT 'a whole body'")
    assert request("POST", url, whole, {"Content-Encoding": "lz4"})[1] == b"a whole body\n"
    for broken, code in ((whole[:-9], "33"), (b"no lz4 at all", "432")):
        response, _ = request("POST", url, broken, {"Content-Encoding": "lz4"})
        assert response.headers["X-ClickHouse-Exception-Code"] == code


def test_a_session_keeps_what_its_statements_did(url: str, database: str) -> None:
    session = {"session_id": uuid.uuid4().hex, "database": database}

    def ask(statement: str, **arguments: str) -> bytes:
        return post(url, statement.encode(), **session, **arguments)[1]

    assert ask("CREATE TEMPORARY TABLE mine (n UInt64)") == b""
    assert ask("INSERT INTO mine FORMAT TSV\n1\n2\n", max_block_size="77") == b""
    assert ask("SET max_threads = 3") == b""
    assert ask("SELECT sum(n), getSetting('max_threads') FROM mine", max_block_size="77") == b"3\t3\n"
    assert ask("SELECT getSetting('max_threads')", max_threads="2") == b"2\n"
    assert ask("SELECT no_such_column", max_threads="2").startswith(b"Code: 47.")
    assert ask("SELECT getSetting('max_threads'), getSetting('max_block_size') = 77") == b"3\t0\n"
    assert post(url, b"SELECT * FROM mine")[1].startswith(b"Code: 60.")
    assert ask("SELECT count() FROM mine", session_check="1", close_session="1") == b"2\n"
    assert ask("SELECT 1", session_check="1").startswith(b"Code: 372.")


@pytest.mark.skipif("CLICKHOUSE_URL" in os.environ, reason="what only the embedded server refuses")
def test_a_session_serves_one_request_at_a_time(url: str) -> None:
    session_id = uuid.uuid4().hex
    processes = b"SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep(2)%'"
    with ThreadPoolExecutor(max_workers=1) as other:
        running = other.submit(post, url, b"SELECT sleep(2)", session_id=session_id)
        while post(url, processes)[1] != b"1\n":
            assert not running.done()
        assert post(url, b"SELECT 1", session_id=session_id)[1].startswith(b"Code: 373.")
        # The result of KILL names what it would kill, and nobody but the engine knows of which types.
        arguments = {"client_protocol_version": "54460", "default_format": "Native"}
        _, body = post(url, b"KILL QUERY WHERE query LIKE 'SELECT sleep(2)%' TEST", **arguments)
        assert body.startswith(b"Code: 48.")
        assert b"FORMAT JSONEachRow" in body
        assert running.result()[1] == b"0\n"
    assert post(url, b"SELECT 1", session_id=session_id)[1] == b"1\n"


@pytest.mark.parametrize(
    ("arguments", "statement", "encoding", "code"),
    [
        ({"decompress": "1"}, b"SELECT 1", "", "33"),
        ({"compress": "1", "network_compression_method": "T64"}, b"SELECT 1", "", "89"),
        ({}, b"SELECT 1", "snappy", "89"),
        ({"session_id": "s", "session_timeout": "soon"}, b"SELECT 1", "", "374"),
        ({"session_id": "s", "session_timeout": "86400"}, b"SELECT 1", "", "374"),
    ],
)
def test_what_a_request_gets_wrong(
    url: str, arguments: dict[str, str], statement: bytes, encoding: str, code: str
) -> None:
    query = "&".join(f"{name}={quote(value)}" for name, value in arguments.items())
    response, body = request("POST", f"{url}/?{query}", statement, {"Content-Encoding": encoding} if encoding else {})
    assert response.headers["X-ClickHouse-Exception-Code"] == code
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())


@pytest.mark.skipif("CLICKHOUSE_URL" in os.environ, reason="what only the embedded server refuses")
def test_a_session_has_no_read_only_requests(url: str) -> None:
    response, body = request("GET", f"{url}/?session_id=s&query={quote('SELECT 1')}")
    assert response.headers["X-ClickHouse-Exception-Code"] == "48"
    assert b"POST the statement" in body


def test_native_of_a_protocol_version_starts_with_the_block_info(url: str) -> None:
    plain = b"\x01\x01\x01n\x05UInt8\x07"
    for statement in (b"SELECT 7 AS n", b"SELECT 7 AS n FORMAT Native -- FORMAT TSV\n;", b"/* ; */ SELECT 7 AS n ;\n"):
        _, body = post(url, statement, default_format="Native")
        assert body == plain
        _, body = post(url, statement, default_format="Native", client_protocol_version="54460")
        assert body == b"\x01\x00\x02\xff\xff\xff\xff\x00\x01\x01\x01n\x05UInt8\x00\x07"
    _, body = post(url, b"SELECT 7 WHERE 0", default_format="Native", client_protocol_version="54460")
    assert body == b""
    zoned = b"SELECT toDateTime(0, 'Asia/Tokyo') AS n"
    assert b"DateTime('Asia/Tokyo')" in post(url, zoned, default_format="Native", client_protocol_version="54460")[1]


def test_encodings_of_responses(url: str) -> None:
    statement = b"SELECT repeat('a', 1000)"
    for encoding, decode in (("gzip", gzip.decompress), ("deflate", zlib.decompress), ("lz4", lz4.frame.decompress)):
        response, body = request(
            "POST", f"{url}/?enable_http_compression=1", statement, {"Accept-Encoding": f"{encoding};q=1, identity"}
        )
        assert response.headers["Content-Encoding"] == encoding
        assert decode(body) == b"a" * 1000 + b"\n"


def test_insert_forms(client: Client, url: str, database: str) -> None:
    client.command("CREATE TABLE forms (n UInt64, format String) ENGINE = MergeTree ORDER BY n")
    client.command("INSERT INTO forms VALUES (1, 'a;\n(b)'), (2, 'FORMAT x')")
    client.command("INSERT INTO forms SELECT number + 3, 'c' FROM numbers(2)")
    client.command("INSERT INTO forms (n, format) FORMAT CSV", data="5,d\n")
    response, _ = post(url, b"6\te\n", database=database, query="INSERT INTO forms (n, format) FORMAT TSV")
    assert json.loads(response.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    response, _ = post(url, b"INSERT INTO forms FORMAT Native\n", database=database)
    assert response.status == 200
    assert client.query("SELECT n, format FROM forms ORDER BY n").result_rows == [
        *((1, "a;\n(b)"), (2, "FORMAT x"), (3, "c")),
        *((4, "c"), (5, "d"), (6, "e")),
    ]


async def test_inserts_and_queries_run_concurrently(url: str, database: str) -> None:
    async with await connect(url, database) as client:
        await client.command("CREATE TABLE events (n UInt64) ENGINE = MergeTree ORDER BY n")

        async def insert(worker: int) -> None:
            for batch in range(5):
                start = (worker * 5 + batch) * 100
                await client.insert("events", [[n] for n in range(start, start + 100)], column_names=["n"])

        async def read() -> None:
            for _ in range(10):
                count = (await client.query("SELECT count() FROM events")).result_rows[0][0]
                assert count % 100 == 0

        await asyncio.gather(*(insert(worker) for worker in range(4)), *(read() for _ in range(4)))
        assert (await client.query("SELECT count(), uniqExact(n) FROM events")).result_rows == [(2000, 2000)]


async def test_ping_answers_while_a_query_runs(url: str, database: str) -> None:
    async with await connect(url, database) as client:
        query = asyncio.create_task(client.query("SELECT sleep(1)"))
        assert await client.ping()
        assert (await client.query("SELECT 1")).result_rows == [(1,)]
        assert not query.done()
        await query


def test_replacing_merge_tree_final(client: Client) -> None:
    client.command("CREATE TABLE hops (id UInt64, v UInt32) ENGINE = ReplacingMergeTree(v) ORDER BY id")
    client.insert("hops", [[1, 1], [2, 1]])
    client.insert("hops", [[1, 2]])
    assert client.query("SELECT id, v FROM hops FINAL ORDER BY id").result_rows == [(1, 2), (2, 1)]


def test_materialized_view(client: Client) -> None:
    client.command("CREATE TABLE calls (model String, cost Decimal(38, 12)) ENGINE = MergeTree ORDER BY model")
    client.command("CREATE TABLE totals (model String, cost Decimal(38, 12)) ENGINE = SummingMergeTree ORDER BY model")
    client.command(
        "CREATE MATERIALIZED VIEW calls_to_totals TO totals"
        " AS SELECT model, sum(cost) AS cost FROM calls GROUP BY model"
    )
    client.insert("calls", [["a", Decimal("0.1")], ["a", Decimal("0.2")], ["b", Decimal(1)]])
    totals = "SELECT model, sum(cost) FROM totals GROUP BY model ORDER BY model"
    assert client.query(totals).result_rows == [("a", Decimal("0.3")), ("b", Decimal(1))]


def test_alter_table_ttl(client: Client) -> None:
    client.command("CREATE TABLE bodies (at DateTime, body String) ENGINE = MergeTree ORDER BY at")
    client.insert("bodies", [[datetime(2020, 1, 1, tzinfo=UTC), "old"], [datetime.now(UTC), "new"]])
    client.command("ALTER TABLE bodies MODIFY TTL at + INTERVAL 30 DAY")
    client.command("OPTIMIZE TABLE bodies FINAL")
    assert client.query("SELECT body FROM bodies").result_rows == [("new",)]


def test_deduplication_token(client: Client) -> None:
    client.command(
        "CREATE TABLE ledger (n UInt64) ENGINE = MergeTree ORDER BY n"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    for token in ("first", "first", "second"):
        client.insert("ledger", [[1]], column_names=["n"], settings={"insert_deduplication_token": token})
    assert client.command("SELECT count() FROM ledger") == 2


def test_rows_survive_kill(start: Callable[[], EmbeddedServer]) -> None:
    server = start()
    with clickhouse_connect.get_client(dsn=server.url) as client:
        client.command("CREATE DATABASE kept")
        for table in ("kept.rows", "default.rows"):
            client.command(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
            client.insert(table, [[n] for n in range(1000)], column_names=["n"])
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    server = start()
    with clickhouse_connect.get_client(dsn=server.url) as client:
        assert client.command("SELECT count() FROM kept.rows") == 1000
        assert client.command("SELECT count() FROM default.rows") == 1000
    assert server.end(signal.SIGINT) == 0


async def test_a_running_query_ends_before_the_server(start: Callable[[], EmbeddedServer]) -> None:
    server = start()
    async with await clickhouse_connect.get_async_client(dsn=server.url) as client:
        query = asyncio.create_task(client.query("SELECT sleep(1)"))
        running = "SELECT count() FROM system.processes WHERE query LIKE '%sleep(1)%'"
        # The query that asks finds itself too.
        while (await client.query(running)).result_rows[0][0] < 2:
            continue
        stopped = asyncio.create_task(asyncio.to_thread(server.end, signal.SIGTERM))
        assert (await query).result_rows == [(0,)]
        assert await stopped == 0


def test_start_errors_are_one_line(tmp_path: Path, start: Callable[[], EmbeddedServer]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "can't listen on 127.0.0.1:" + port in start_error(tmp_path / "free", port)
    (tmp_path / "file").touch()
    assert "can't write to the data folder" in start_error(tmp_path / "file", "0")
    start()
    assert "another process uses the data folder" in start_error(tmp_path / "data", "0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"INSERT INTO t FORMAT Native\n\x00\n", (b"INSERT INTO t ", "Native", b"\x00\n")),
        (
            b"insert into `format` (`a`, format) format CSV \r\n\n",
            (b"insert into `format` (`a`, format) ", "CSV", b"\n"),
        ),
        (b"/* FORMAT x */ INSERT INTO t FORMAT TSV;", (b"/* FORMAT x */ INSERT INTO t ", "TSV", b"")),
        (b"INSERT INTO t VALUES ('FORMAT x')", None),
        (b"INSERT INTO t SELECT 1 FORMAT Null", None),
        (b"INSERT INTO t SELECT input, 'input(' FROM (SELECT 1 AS input)", None),
        (b"SELECT 'INSERT INTO t FORMAT x'", None),
        (b"", None),
    ],
)
def test_split_insert(text: bytes, expected: tuple[bytes, str, bytes] | None) -> None:
    found = split_insert(text)
    assert (found and (found.statement, found.format, bytes(found.data))) == expected


def test_data_that_the_engine_would_drop_without_a_word_is_refused() -> None:
    with pytest.raises(
        ClickHouseError, match="does not read the data of an INSERT through the function input"
    ) as caught:
        split_insert(b"INSERT INTO t (a) SELECT 2 * a FROM input ('a UInt8') FORMAT TSV\n1\n")
    assert caught.value.code == 48


def start_error(folder: Path, port: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", MODULE, "--port", port, "--data", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def post(url: str, body: bytes, **arguments: str) -> tuple[http.client.HTTPResponse, bytes]:
    query = "&".join(f"{name}={quote(value)}" for name, value in arguments.items())
    return request("POST", f"{url}/?{query}", body)


def request(
    method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    parts = urlsplit(target)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    try:
        connection.request(method, f"{parts.path or '/'}?{parts.query}", body, headers or {})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()

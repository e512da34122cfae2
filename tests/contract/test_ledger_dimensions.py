"""What tells requests apart reaches every table, view and check of the ledger."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import find
from support.ledger_records import BASE, ClickHouseProcess, batch_pair, call_pair, fill_ledger, result
from support.record_strategies import ending

from analytics.clickhouse import AsyncClient, open_client
from analytics.migrate import migrate
from analytics.named_query import named_query
from analytics.rows import _cell
from tierstream.verify.ledger_rows import Expected
from topics.requests import Dimensions

BASE_MS = int(BASE.timestamp() * 1000)
PLACES = {
    "requests_log": "no file adds the column",
    "requests": "the file that adds the column has to make the view anew, for a view keeps its columns",
    "spending": "the file that adds the column has to make the view anew, with the column in its list",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[ClickHouseProcess]:
    made = ClickHouseProcess(folder)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def client(server: ClickHouseProcess) -> AsyncIterator[AsyncClient]:
    async with open_client(server.url) as made:
        await migrate(made, "ledger", retention_days=4000, body_retention_days=4000)
        yield made


async def test_every_dimension_has_a_column(client):
    for table, missing in PLACES.items():
        found = await client.query(
            "SELECT name FROM system.columns WHERE database = 'ledger' AND table = {table:String}",
            parameters={"table": table},
        )
        for name in Dimensions.model_fields.keys() - {row[0] for row in found.result_rows}:
            pytest.fail(f"analytics/migrations: {table} has no {name}: {missing}")


async def test_what_a_result_says_is_what_rows_views_and_verify_say(server, client):
    values = {name: find(ending[name], bool) for name in Dimensions.model_fields}
    said = result(1).model_copy(update=values)
    await fill_ledger(server.url, "ledger", [said, *call_pair(1)], first_ms=BASE_MS)
    for view in ("requests", "spending"):
        found = await client.query(f"SELECT * FROM ledger.{view}")
        [row] = found.named_results()
        assert {name: row[name] for name in values} == {name: _cell(value) for name, value in values.items()}
    expected = Expected()
    expected.add(0, BASE_MS, said)
    where = {"cluster": "cluster", "topic": "t", "partition": 0, "start": 0}
    [row] = await named_query(client, "ledger", "ledger_rows_requests", where)
    assert [row["checksum"]] == list(expected.rows.checksums), (
        "analytics/queries/ledger_rows_requests.sql: its last columns are not the fields of Dimensions, in their order"
    )


async def test_what_a_call_says_is_what_its_row_and_verify_say(server, client):
    records = [*call_pair(1), *call_pair(2, failed=True), *batch_pair(3)]
    await fill_ledger(server.url, "calls", records, first_ms=BASE_MS)
    expected = Expected()
    for offset, record in enumerate(records):
        expected.add(offset, BASE_MS + offset, record)
    where = {"cluster": "cluster", "topic": "t", "partition": 0, "start": 0}
    rows = await named_query(client, "calls", "ledger_rows_calls", where)
    assert [row["checksum"] for row in rows] == list(expected.rows.checksums)

"""Full and slow disks in ClickHouse: what the fault lab injects, and what the sink makes of it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from support.ledger_records import ClickHouseProcess
from test_sink import Deployment

from analytics.clickhouse import open_client
from analytics.migrate import migrate
from tierstream.stack.clickhouse_faults import FAULTS_VARIABLE

LONG_S = 600


@pytest.fixture
async def clickhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ClickHouseProcess]:
    monkeypatch.setenv(FAULTS_VARIABLE, "1")
    server = ClickHouseProcess(tmp_path)
    await server.start()
    try:
        async with open_client(server.url) as client:
            await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def deployment(kafka, clickhouse: ClickHouseProcess) -> Deployment:
    made = Deployment(kafka.bootstrap_servers, clickhouse)
    await made.create_topics()
    return made


async def ask(clickhouse: ClickHouseProcess, **fault: object) -> dict[str, int]:
    """Set a fault, or none, and return how many inserts have met each."""
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.request("POST" if fault else "GET", f"{clickhouse.url}/faults", json=fault or None) as response,
    ):
        return await response.json()


@asynccontextmanager
async def broken(clickhouse: ClickHouseProcess, fault: str, **more: float) -> AsyncIterator[None]:
    """A disk that is broken until the context ends, which has to have met some inserts by then."""
    before = await ask(clickhouse, fault=fault, for_s=LONG_S, **more)
    yield
    met = await ask(clickhouse)
    while met[fault] < before[fault] + 3:
        await asyncio.sleep(0.05)
        met = await ask(clickhouse)
    await ask(clickhouse, fault=fault, for_s=0)


async def test_a_full_disk_refuses_inserts_as_the_server_does_and_nothing_else(clickhouse):
    async with open_client(clickhouse.url) as client:
        await client.command("CREATE TABLE numbers (n UInt8) ENGINE = MergeTree ORDER BY n")
        await ask(clickhouse, fault="disk_full", for_s=LONG_S)
        for attempt in (client.insert("numbers", [[1]]), client.command("insert into numbers VALUES (1)")):
            with pytest.raises(DatabaseError, match=r"243.*NOT_ENOUGH_SPACE"):
                await attempt
        assert (await client.query("SELECT count() FROM numbers")).result_rows == [(0,)]
        assert (await ask(clickhouse, fault="disk_full", for_s=0))["disk_full"] == 2
        await client.insert("numbers", [[1]])
        assert (await client.query("SELECT n FROM numbers")).result_rows == [(1,)]
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{clickhouse.url}/faults", json={"fault": "disk_full", "for_s": LONG_S}),
        session.post(clickhouse.url, data=b"INSERT INTO numbers VALUES (1)") as response,
    ):
        assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (500, "243")


@pytest.mark.parametrize("fault", [{"fault": "fire", "for_s": 1}, {"fault": "disk_full", "for_s": -1}, {"for_s": 1}])
async def test_an_unknown_fault_is_refused(clickhouse, fault):
    async with aiohttp.ClientSession() as session, session.post(f"{clickhouse.url}/faults", json=fault) as response:
        assert response.status == 400


async def test_a_server_that_was_not_told_so_takes_no_faults(tmp_path):
    server = ClickHouseProcess(tmp_path)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{server.url}/faults") as response:
            assert response.status == 404
    finally:
        await server.stop()


@pytest.mark.slow
async def test_a_full_disk_delays_rows_and_loses_none(deployment, clickhouse, caplog):
    with caplog.at_level(logging.WARNING):
        async with deployment.running(deployment.sink(batch_rows=20)):
            await deployment.produce_story(range(50))
            async with broken(clickhouse, "disk_full"):
                await deployment.produce_story(range(50, 300))
            await deployment.assert_story(range(300))
    assert "trying again" in caplog.text
    assert "NOT_ENOUGH_SPACE" in caplog.text
    assert "answer" not in caplog.text


async def test_a_slow_disk_delays_rows_and_loses_none(deployment, clickhouse):
    async with deployment.running(deployment.sink(batch_rows=100)):
        async with broken(clickhouse, "slow_disk", delay_s=0.2):
            await deployment.produce_story(range(300))
        await deployment.assert_story(range(300))


async def test_a_sink_that_is_killed_while_the_disk_is_full_repeats_no_row(deployment, clickhouse):
    await deployment.produce_story(range(300))
    async with deployment.running(deployment.sink(batch_rows=50), kill=True), broken(clickhouse, "disk_full"):
        pass
    async with deployment.running(deployment.sink()):
        await deployment.assert_story(range(300))

"""The tables against the rows that the sink makes, on the real engine."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_records import BASE, ClickHouseProcess, call_pair, hops, result

from analytics.clickhouse import ClickHouseUnavailable, open_client, wait_until_up
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.migrate import migrate, split_statements
from analytics.rows import Position, Table, rows_of
from topics.journal import Usage

TABLES = {"requests": Table.REQUESTS, "calls": Table.CALLS, "hops": Table.HOPS, "bodies": Table.BODIES}


@pytest.fixture
async def clickhouse(tmp_path: Path) -> AsyncIterator[ClickHouseProcess]:
    server = ClickHouseProcess(tmp_path)
    await server.start()
    yield server
    await server.stop()


def entry(record, offset: int, *, at: datetime = BASE, topic: str = "t") -> Entry:
    position = Position("cluster", topic, 0, offset, int(at.timestamp() * 1000))
    return Entry(position, rows_of(record, position, "full"))


async def test_migrations_run_once_and_follow_the_retention(clickhouse):
    async with open_client(clickhouse.url) as client:
        both = await asyncio.gather(
            *(migrate(client, "ledger", retention_days=10, body_retention_days=5) for _ in range(2))
        )
        assert "001_ledger.sql" in both[0] + both[1]
        assert await migrate(client, "ledger", retention_days=11, body_retention_days=5) == []
        engines = await client.query("SELECT name, engine_full FROM system.tables WHERE database = 'ledger'")
        engine = dict(engines.result_rows)
        assert "toIntervalDay(11)" in engine["hops_log"]
        assert "toIntervalDay(5)" in engine["bodies_log"]
        with pytest.raises(ValueError, match="not a database name"):
            await migrate(client, "a; DROP", retention_days=1, body_retention_days=1)


async def test_every_row_comes_back_as_it_was_and_counts_once(clickhouse):
    records = [result(3), result(4), *call_pair(3), *call_pair(2, failed=True), hops(3)]
    entries = [entry(record, offset) for offset, record in enumerate(records)]
    async with open_client(clickhouse.url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        for _ in range(2):
            ledger = Ledger(clickhouse.url, "ledger", SinkStats())
            await ledger.insert(entries)
            assert await ledger.last_offsets(Table.REQUESTS, "cluster", "t") == {0: 1}
            assert await ledger.last_offsets(Table.HOPS, "cluster", "other") == {}
            await ledger.close()
        for view, table in TABLES.items():
            expected = [row for one in entries for where, row in one.rows if where is table]
            found = await client.query(f"SELECT * FROM ledger.{view} ORDER BY offset, idx")
            rows = list(found.named_results())
            for row in rows:
                if "sha256" in row:
                    row["sha256"] = row["sha256"].decode()
            assert rows == expected
            raw = await client.query(f"SELECT count() FROM ledger.{table}")
            assert raw.result_rows[0][0] in {len(expected), 2 * len(expected)}


async def test_the_ledger_of_calls_has_a_row_a_call(clickhouse):
    started, ended = call_pair(1)
    lost, _ = call_pair(2)
    failed = call_pair(3, failed=True)
    # A second journey of the same attempt, and a second copy of an ending.
    again = started.model_copy(update={"call_id": lost.attempt_id})
    records = [started, ended, ended, lost, *failed, again]
    async with open_client(clickhouse.url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse.url, "ledger", SinkStats())
        await ledger.insert([entry(record, offset) for offset, record in enumerate(records)])
        await ledger.close()
        found = await client.query("SELECT call_id, outcome, cost_usd, ended_at FROM ledger.call_ledger")
        assert {row[0]: row[1:] for row in found.result_rows} == {
            started.call_id: ("ok", ended.cost_usd, ended.ended_at),
            lost.call_id: ("unknown", Decimal(0), None),
            failed[0].call_id: ("error", Decimal(0), failed[1].ended_at),
            again.call_id: ("unknown", Decimal(0), None),
        }
        attempts = await client.query(
            "SELECT calls, ok_calls, unknown_calls, total_cost_usd FROM ledger.attempt_ledger WHERE request_id = 'r1'"
        )
        assert attempts.result_rows == [(2, 1, 1, ended.cost_usd)]


async def test_a_value_that_fits_no_column_costs_only_its_own_record(clickhouse):
    big = result(2).model_copy(update={"usage": Usage(input=2**70, output=0)})
    large_money = result(3).model_copy(update={"cost_usd": Decimal("99999999999999999999999999.999999999999")})
    records = [result(1), big, large_money]
    stats = SinkStats()
    async with open_client(clickhouse.url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse.url, "ledger", stats)
        # The next month begins in the middle: one insert must not leave a hole if it stops halfway.
        moments = (BASE, BASE, datetime(2026, 4, 1, tzinfo=UTC))
        await ledger.insert([entry(r, i, at=at) for i, (r, at) in enumerate(zip(records, moments, strict=True))])
        await ledger.close()
        found = await client.query("SELECT offset, cost_usd FROM ledger.requests ORDER BY offset")
        assert found.result_rows == [(0, records[0].cost_usd), (2, large_money.cost_usd)]
    assert stats.skipped == {"out_of_range": 1}


async def test_an_absent_server_is_named_without_its_password(clickhouse):
    url = clickhouse.url.replace("http://", "http://me:secret@")
    await wait_until_up(clickhouse.url, timeout_s=30)
    await clickhouse.stop()
    with pytest.raises(ClickHouseUnavailable, match="CLICKHOUSE_URL") as caught:
        await wait_until_up(url, timeout_s=0.2)
    assert "secret" not in str(caught.value)


def test_statements_end_at_semicolons_outside_of_strings():
    text = "SELECT ';' -- a; b\n;\nSELECT `;` /* ; */;\n"
    assert list(split_statements(text)) == ["SELECT ';' -- a; b", "SELECT `;` /* ; */"]
    with pytest.raises(ValueError, match="no semicolon"):
        list(split_statements("SELECT 1"))


def test_bodies_are_kept_as_configured():
    position = Position("cluster", "t", 0, 0, 0)
    texts = {
        mode: [row for table, row in rows_of(result(1), position, mode) if table is Table.BODIES]
        for mode in ("none", "hash", "full")
    }
    assert texts["none"] == []
    assert [row["body"] for row in texts["hash"]] == [""]
    assert [row["body"] for row in texts["full"]] == ["answer 1"]
    assert texts["hash"][0]["sha256"] == texts["full"][0]["sha256"]

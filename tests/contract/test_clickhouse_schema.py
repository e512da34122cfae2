"""The tables against the rows that the sink makes, on the real engine."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError
from support.ledger_records import BASE, PROVIDER_BATCH, batch_pair, breaker, call_pair, hops, result, shared_call
from support.tool_loop import call

import analytics.migrate
from analytics.clickhouse import ClickHouseUnavailable, open_client
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.migrate import migrate, split_statements
from analytics.rollups import RollupBuilder
from analytics.rows import Position, Table, rows_of
from streams.config.settings_sections import ClickHouseSettings
from tierstream.stack.ports import free_port
from topics.control import BreakerOrder, BreakerState, PartitionCount
from topics.events import Hop, Hops
from topics.journal import Rates, Usage
from topics.messages import ToolCall

TABLES = {
    "requests": Table.REQUESTS,
    "calls": Table.CALLS,
    "hops": Table.HOPS,
    "breakers": Table.BREAKERS,
    "bodies": Table.BODIES,
}


WRITING = Rates(
    input=Decimal("0.075"),
    output=Decimal("0.3"),
    cached=Decimal("0.0375"),
    cache_write=Decimal("0.09"),
    source="config",
)
ORDER = BreakerOrder(target="tier:1", order="open", by="ann", at=BASE)


def left_in_a_batch(hop: Hop) -> Hop:
    return hop.model_copy(update={"batch_size": 3, "batch_wait_ms": 12.5, "shares": 2})


def entry(record, offset: int, *, at: datetime = BASE, topic: str = "t") -> Entry:
    position = Position("cluster", topic, 0, offset, int(at.timestamp() * 1000))
    return Entry(position, rows_of(record, position, "full"))


async def test_migrations_run_once_and_follow_the_retention(clickhouse_url):
    async with open_client(clickhouse_url) as client:
        both = await asyncio.gather(
            *(migrate(client, "ledger", retention_days=10, body_retention_days=5) for _ in range(2))
        )
        assert "001_ledger.sql" in both[0] + both[1]
        assert await migrate(client, "ledger", retention_days=11, body_retention_days=5) == []
        engines = await client.query("SELECT name, engine_full FROM system.tables WHERE database = 'ledger'")
        engine = dict(engines.result_rows)
        assert "toIntervalDay(11)" in engine["hops_log"]
        assert "toIntervalDay(11)" in engine["breakers_log"]
        assert "toIntervalDay(5)" in engine["bodies_log"]
        assert "toIntervalDay(11)" in engine["spend_by_hour"]
        assert "toIntervalDay(7)" in engine["times_by_minute"]
        with pytest.raises(ValueError, match="not a database name"):
            await migrate(client, "a; DROP", retention_days=1, body_retention_days=1)


async def test_rows_are_kept_for_as_long_as_the_settings_allow(clickhouse_url):
    longest = 20_000
    with pytest.raises(ValidationError, match="less than or equal to 20000"):
        ClickHouseSettings(retention_days=longest + 1)
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=longest, body_retention_days=longest)
        ledger = Ledger(clickhouse_url, "ledger", SinkStats())
        await ledger.insert([entry(hops(3), 0, at=datetime.now(UTC))])
        await ledger.close()
        await client.command("OPTIMIZE TABLE ledger.hops_log FINAL")
        assert (await client.query("SELECT count() FROM ledger.hops_log")).result_rows == [(2,)]


async def test_ids_that_stand_in_several_rows_are_compressed(clickhouse_url):
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=10, body_retention_days=10)
        found = await client.query(
            "SELECT table, name, compression_codec FROM system.columns WHERE database = 'ledger' "
            "AND endsWith(table, '_log') AND match(name, 'attempt_id|call_id')"
        )
        assert {(table, name) for table, name, codec in found.result_rows if codec == "CODEC(ZSTD(1))"} == {
            ("hops_log", "attempt_id"),
            ("calls_log", "attempt_id"),
            ("calls_log", "call_id"),
            ("requests_log", "route.attempt_id"),
        }


async def test_every_row_comes_back_as_it_was_and_counts_once(clickhouse_url):
    batched = Hops(request_id="r3", hops=(left_in_a_batch(hops(3).hops[1]),))
    records = [result(3), result(4), *call_pair(3), *call_pair(2, failed=True), hops(3), batched, *batch_pair(8)]
    records += [call.model_copy(update={"rates": WRITING}) for call in shared_call(5, 6)[1]]
    records += [PartitionCount(partitions=3), ORDER, breaker(1), breaker(2, state=BreakerState.CLOSED)]
    entries = [entry(record, offset) for offset, record in enumerate(records)]
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        for _ in range(2):
            ledger = Ledger(clickhouse_url, "ledger", SinkStats())
            await ledger.insert(entries)
            assert await ledger.last_offsets(Table.REQUESTS, "cluster", "t") == {0: 1}
            assert await ledger.last_offsets(Table.HOPS, "cluster", "other") == {}
            assert await ledger.last_offsets(Table.BREAKERS, "cluster", "t") == {0: len(records) - 1}
            assert ledger._stats.records == len(records)
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


async def test_rows_of_before_a_migration_keep_their_meaning(clickhouse_url, monkeypatch):
    """An older version created the tables and filled them; then this one migrates them."""
    every = analytics.migrate._migrations()
    async with open_client(clickhouse_url) as client:
        with monkeypatch.context() as older:
            older.setattr(analytics.migrate, "_migrations", lambda: every[:2])
            assert len(await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)) == 2
        known = await client.query("SELECT name FROM system.columns WHERE database = 'ledger' AND table = 'calls_log'")
        columns = {name for (name,) in known.result_rows}
        old = [
            {name: value for name, value in row.items() if name in columns}
            for offset, call in enumerate(call_pair(1))
            for _, row in entry(call, offset).rows
            if "sha256" not in row
        ]
        await client.insert("calls_log", [list(row.values()) for row in old], list(old[0]), database="ledger")
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse_url, "ledger", SinkStats())
        await ledger.insert([entry(call, offset) for offset, call in enumerate(shared_call(2, 3)[1], start=2)])
        await ledger.close()
        found = await client.query(
            "SELECT request_id, shares, batch_size, batch_wait_ms, first_token_ms, cache_written_tokens, "
            "provider_batch FROM ledger.call_ledger ORDER BY request_id"
        )
        assert found.result_rows == [
            ("r1", 1, 1, 0, None, 0, ""),
            ("r2", 2, 3, 12, 80, 0, ""),
            ("r3", 2, 3, 12, 80, 0, ""),
        ]
        raw = await client.query("SELECT shares, cache_write_rate FROM ledger.calls WHERE request_id = 'r1'")
        assert raw.result_rows == [(1, None)] * 2


async def test_the_ledger_of_calls_has_a_row_a_call(clickhouse_url):
    started, ended = call_pair(1)
    lost, _ = call_pair(2)
    failed = call_pair(3, failed=True)
    # A second journey of the same attempt, and a second copy of an ending.
    again = started.model_copy(update={"call_id": lost.attempt_id})
    records = [started, ended, ended, lost, *failed, again]
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse_url, "ledger", SinkStats())
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


@pytest.mark.parametrize("view", ["calls", "call_ledger", "spending"])
async def test_the_batch_of_a_call_is_shown_wherever_calls_are(clickhouse_url, view):
    records = [*call_pair(1), *batch_pair(2), result(1), result(2)]
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse_url, "ledger", SinkStats())
        await ledger.insert([entry(record, offset) for offset, record in enumerate(records)])
        await ledger.close()
        shown = await client.query(
            f"SELECT request_id, max(provider_batch), sum(cost_usd) FROM ledger.{view} GROUP BY request_id ORDER BY ALL"
        )
    assert shown.result_rows == [
        ("r1", "", call_pair(1)[1].cost_usd),
        ("r2", PROVIDER_BATCH, call_pair(2)[1].cost_usd / 2),
    ]


async def test_rollups_that_an_older_version_built_are_built_once_more(clickhouse_url, monkeypatch):
    """They had no dimension for batches of providers, and their rows stay readable until then."""
    every = analytics.migrate._migrations()
    records = [*call_pair(1), *batch_pair(2), result(1), result(2)]
    async with open_client(clickhouse_url) as client:
        with monkeypatch.context() as older:
            older.setattr(analytics.migrate, "_migrations", lambda: [one for one in every if one[0] < "012"])
            await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        hour = BASE.replace(minute=0, second=0)
        await client.insert("spend_by_hour", [[hour, 1, 5]], ["bucket", "tier", "rows"], database="ledger")
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        spent = "SELECT in_batch, sum(rows) FROM ledger.spend_by_hour GROUP BY in_batch ORDER BY in_batch"
        assert (await client.query(spent)).result_rows == [(False, 5)]
        ledger = Ledger(clickhouse_url, "ledger", SinkStats())
        await ledger.insert([entry(record, offset) for offset, record in enumerate(records)])
        await ledger.close()
        await RollupBuilder(client, "ledger", lifetime_s=3600).build()
        assert (await client.query(spent)).result_rows == [(False, 1), (True, 1)]
        by_day = await client.query(spent.replace("by_hour", "by_day"))
        assert by_day.result_rows == [(False, 1), (True, 1)]


async def test_a_value_that_fits_no_column_costs_only_its_own_record(clickhouse_url):
    big = result(2).model_copy(update={"usage": Usage(input=2**70, output=0)})
    large_money = result(3).model_copy(update={"cost_usd": Decimal("99999999999999999999999999.999999999999")})
    records = [result(1), big, large_money]
    stats = SinkStats()
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse_url, "ledger", stats)
        # The next month begins in the middle: one insert must not leave a hole if it stops halfway.
        moments = (BASE, BASE, datetime(2026, 4, 1, tzinfo=UTC))
        await ledger.insert([entry(r, i, at=at) for i, (r, at) in enumerate(zip(records, moments, strict=True))])
        await ledger.close()
        found = await client.query("SELECT offset, cost_usd FROM ledger.requests ORDER BY offset")
        assert found.result_rows == [(0, records[0].cost_usd), (2, large_money.cost_usd)]
    assert stats.skipped == {"out_of_range": 1}


async def test_an_absent_server_is_named_without_its_password():
    url = f"http://me:secret@127.0.0.1:{free_port()}"
    with pytest.raises(ClickHouseUnavailable, match="CLICKHOUSE_URL") as caught:
        async with open_client(url):
            pass
    assert "secret" not in str(caught.value)


def test_statements_end_at_semicolons_outside_of_strings():
    text = "SELECT ';' -- a; b\n;\nSELECT `;` /* ; */;\n"
    assert list(split_statements(text)) == ["SELECT ';' -- a; b", "SELECT `;` /* ; */"]
    with pytest.raises(ValueError, match="no semicolon"):
        list(split_statements("SELECT 1"))


async def test_calls_of_tools_are_kept_with_the_answer_and_nowhere_else(clickhouse_url):
    written = call("c1", arguments='{"at":"door"}')
    calls = (ToolCall.model_validate(written),)
    records = [record.model_copy(update={"tool_calls": calls}) for record in (result(1), call_pair(1)[1])]
    entries = [entry(record, offset) for offset, record in enumerate(records)]
    async with open_client(clickhouse_url) as client:
        await migrate(client, "calls", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse_url, "calls", SinkStats())
        await ledger.insert(entries)
        await ledger.close()
        found = await client.query("SELECT body FROM calls.bodies WHERE part = 'tool_calls'")
    assert [json.loads(body) for (body,) in found.result_rows] == [[written], [written]]
    elsewhere = [row for entry in entries for table, row in entry.rows if table is not Table.BODIES]
    assert "door" not in str(elsewhere)


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

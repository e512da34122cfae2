"""Roll-ups on the real engine: what they add up to, whatever happened to the inserts and the builds."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from support.ledger_records import BASE, call_pair, hops, result, shared_call

from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.migrate import migrate
from analytics.rollup_families import FAMILIES
from analytics.rollups import RollupBuilder
from analytics.rows import Position, rows_of
from topics.journal import CallEnded, CallStarted, Purpose
from topics.results import Result

LIFETIME_S = 3600
SHARED = 7
"""The number whose call the shared one is."""
BASE_MS = int(BASE.timestamp() * 1000)
HOUR_MS = 3_600_000
MINUTE_AFTER_MS = BASE_MS + 60_000
"""In the hour that begins just after BASE."""


class Scene:
    """A ledger of its own."""

    def __init__(self, url: str, client: AsyncClient) -> None:
        self.database = f"ledger{uuid4().hex[:8]}"
        self.client = client
        self.builder = RollupBuilder(client, self.database, lifetime_s=LIFETIME_S)
        self.ledger = Ledger(url, self.database, SinkStats())
        self._offset = 0

    def entries(self, records, at_ms=BASE_MS):
        """Give the records their places, a second after each other from a moment on."""
        made = []
        for n, record in enumerate(records):
            position = Position("cluster", "t", 0, self._offset + n, at_ms + 1000 * n)
            made.append(Entry(position, rows_of(record, position, "none")))
        self._offset += len(records)
        return made

    async def one(self, query):
        found = await self.client.query(query.replace("FROM ", f"FROM {self.database}."))
        return found.result_rows[0]

    async def everything(self):
        """Return all rows of all roll-ups."""
        tables = [f"{family.name}_by_{grain}" for family in FAMILIES for grain in family.grains if grain != "minute"]
        tables += [f"{family.name}_by_day" for family in FAMILIES if family.by_day]
        found = {}
        for table in tables:
            columns = "* EXCEPT ms, finalizeAggregation(ms)" if table.startswith("times") else "*"
            rows = await self.client.query(f"SELECT {columns} FROM {self.database}.{table} ORDER BY ALL")
            found[table] = rows.result_rows
        return found


@pytest.fixture
async def scene(clickhouse_url: str) -> AsyncIterator[Scene]:
    async with open_client(clickhouse_url) as client:
        made = Scene(clickhouse_url, client)
        await migrate(client, made.database, retention_days=4000, body_retention_days=4000)
        yield made
        await made.ledger.close()


def traffic(numbers):
    """Calls, steps and results of requests, with judges, errors and a shared call among them."""
    records = []
    for n in numbers:
        if n == SHARED:
            continue
        records += [*call_pair(n), hops(n), result(n, tags=("a", "b") if n % 2 else ())]
        if n % 4 == 0:
            records += call_pair(n, purpose=Purpose.JUDGE)
        if n % 6 == 0:
            records += call_pair(n, failed=True)
    started, ended = shared_call(5001, 5002, 5003)
    return [*records, *started, *ended]


async def test_every_sum_is_that_of_the_ledger(scene):
    await scene.ledger.insert(scene.entries(traffic(range(200))))
    assert await scene.builder.build() > 0
    cost, rows = await scene.one("SELECT sum(cost_usd), count() FROM call_ledger")
    assert cost > 0
    for table in ("spend_by_hour", "spend_by_day", "users_by_hour", "users_by_day"):
        assert await scene.one(f"SELECT sum(cost_usd), toUInt64(sum(rows)) FROM {table}") == (cost, rows), table
    parts = await scene.one(
        "SELECT sum(fresh_cost_usd) + sum(cached_cost_usd) + sum(cache_written_cost_usd) + sum(output_cost_usd), "
        "sum(calls), sum(sharing_saved_usd) FROM spend_by_day"
    )
    assert parts[0] == cost
    assert parts[1] == (await scene.one("SELECT uniqExact(call_id) FROM call_ledger"))[0] == rows - 2
    assert parts[2] == 2 * sum(ended.cost_usd for ended in shared_call(5001, 5002, 5003)[1])
    results = "SELECT sum(cost_usd), toUInt64(count()) FROM requests"
    assert await scene.one("SELECT sum(cost_usd), sum(requests) FROM results_by_day") == await scene.one(results)
    for table in ("questions_by_hour", "askers_by_hour", "askers_by_day"):
        assert await scene.one(f"SELECT sum(cost_usd), sum(requests) FROM {table}") == await scene.one(results)
    assert await scene.one("SELECT sum(steps) FROM steps_by_hour") == await scene.one("SELECT count() FROM hops")


async def test_dimensions_come_from_the_result_and_add_up_by_user(scene):
    await scene.ledger.insert(scene.entries(traffic(range(60))))
    await scene.builder.build()
    by_user = f"SELECT user_id, sum(cost_usd) FROM {scene.database}.{{}} GROUP BY user_id ORDER BY user_id"
    expected = await scene.client.query(by_user.format("spending"))
    assert len(expected.result_rows) == 3
    for table in ("users_by_hour", "users_by_day"):
        assert (await scene.client.query(by_user.format(table))).result_rows == expected.result_rows


async def test_inserts_that_are_repeated_and_out_of_order_change_no_number(scene):
    entries = scene.entries(traffic(range(120)))
    await scene.ledger.insert(entries)
    await scene.builder.build()
    before = await scene.everything()
    shuffled = entries * 2
    random.Random(7).shuffle(shuffled)
    await scene.ledger.insert(shuffled)
    await scene.builder.build()
    assert await scene.everything() == before
    await scene.client.command(f"TRUNCATE TABLE {scene.database}.rollup_hours")
    assert await scene.builder.build() > 0
    assert await scene.everything() == before


@pytest.mark.slow
async def test_a_build_that_is_cut_short_anywhere_is_made_up_for(scene):
    entries = scene.entries(traffic(range(40)))
    await scene.ledger.insert(entries)
    await scene.builder.build()
    await scene.ledger.insert(scene.entries(traffic(range(40, 90))))
    for steps in range(1, 60, 7):
        cut = RollupBuilder(_CutShort(scene.client, steps), scene.database, lifetime_s=LIFETIME_S)
        with pytest.raises(ConnectionError):
            await cut.build()
    await scene.builder.build()
    cost = await scene.one("SELECT sum(cost_usd) FROM call_ledger")
    for table in ("spend_by_hour", "spend_by_day", "users_by_day"):
        assert await scene.one(f"SELECT sum(cost_usd) FROM {table}") == cost
    await RollupBuilder(scene.client, scene.database, lifetime_s=LIFETIME_S).drop_stale()


class _CutShort:
    """A client of a builder that dies after so many statements."""

    def __init__(self, client: AsyncClient, commands: int) -> None:
        self._client = client
        self._left = commands

    async def command(self, *args, **kwargs):
        if self._left == 0:
            raise ConnectionError("cut short")
        self._left -= 1
        return await self._client.command(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self._client, name)


async def test_a_result_that_comes_in_a_later_hour_gives_its_calls_their_user(scene):
    await scene.ledger.insert(scene.entries([*call_pair(1)], BASE_MS))
    await scene.builder.build()
    assert (await scene.one("SELECT groupUniqArray(user_id) FROM users_by_hour"))[0] == [""]
    await scene.ledger.insert(scene.entries([result(1)], BASE_MS + HOUR_MS // 2))
    assert await scene.builder.build() == 2
    for table in ("users_by_hour", "users_by_day"):
        assert (await scene.one(f"SELECT groupUniqArray(user_id) FROM {table}"))[0] == ["user1"], table


async def test_a_call_counts_once_although_its_start_and_two_ends_lie_in_three_hours(scene):
    started, ended = call_pair(3)
    late = ended.model_copy(update={"cost_usd": Decimal(9)})
    for n, record in enumerate((started, ended, late)):
        await scene.ledger.insert(scene.entries([record], BASE_MS + n * (HOUR_MS // 2 + 1000)))
        await scene.builder.build()
    assert await scene.one("SELECT sum(cost_usd), sum(calls) FROM spend_by_day") == (ended.cost_usd, 1)


async def test_what_a_call_cost_stands_in_the_hour_of_its_result(scene):
    """A shared call, whose requests get their results in two hours, but for one that gets none."""
    started, ended = shared_call(5001, 5002, 5003)
    await scene.ledger.insert(scene.entries([*started, *ended, result(5001)], at_ms=MINUTE_AFTER_MS))
    await scene.ledger.insert(scene.entries([result(5002)], at_ms=MINUTE_AFTER_MS + HOUR_MS))
    await scene.builder.build()
    cost, calls = await scene.one("SELECT sum(cost_usd), uniqExact(call_id) FROM call_ledger")
    for table in ("standings_by_hour", "standings_by_day"):
        assert await scene.one(f"SELECT sum(cost_usd), sum(calls) FROM {table}") == (cost, calls)
    hours = "SELECT bucket, groupArray(standing), sum(calls), sum(cost_usd) FROM standings_by_hour GROUP BY bucket"
    found = await scene.client.query(hours.replace("FROM ", f"FROM {scene.database}.") + " ORDER BY bucket")
    assert [rest for _, *rest in found.result_rows] == [
        [["routed", "unsettled"], 1, ended[0].cost_usd + ended[2].cost_usd],
        [["routed"], 0, ended[1].cost_usd],
    ]


async def test_a_call_without_an_end_is_unknown_once_its_time_is_up(scene):
    started, _ = call_pair(4)
    running = started.model_copy(update={"call_id": uuid4(), "deadline": started.started_at + timedelta(days=36500)})
    await scene.ledger.insert(scene.entries([started, running]))
    await scene.builder.build()
    assert await scene.one("SELECT groupArray(outcome), sum(rows) FROM spend_by_hour") == (["unknown"], 1)


async def test_only_what_is_new_is_built_and_nothing_is_left_behind(scene):
    await scene.ledger.insert(scene.entries(traffic(range(10))))
    assert await scene.builder.build() >= 1
    assert await scene.builder.build() == 0
    left = await scene.client.query(
        "SELECT count() FROM system.tables WHERE database = {d:String} AND startsWith(name, 'building_')",
        parameters={"d": scene.database},
    )
    assert left.result_rows == [(0,)]


async def test_two_builders_at_once_end_with_the_right_sums(scene):
    await scene.ledger.insert(scene.entries(traffic(range(50))))
    other = RollupBuilder(scene.client, scene.database, lifetime_s=LIFETIME_S)
    await asyncio.gather(scene.builder.build(), other.build())
    cost = await scene.one("SELECT sum(cost_usd) FROM call_ledger")
    assert await scene.one("SELECT sum(cost_usd) FROM spend_by_day") == cost
    assert await scene.one("SELECT sum(cost_usd) FROM users_by_day") == cost


def test_the_traffic_has_what_is_to_be_told_apart():
    records = traffic(range(60))
    assert {type(record) for record in records} >= {CallStarted, CallEnded, Result}
    assert any(isinstance(record, CallEnded) and record.error for record in records)

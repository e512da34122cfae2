"""Documented queries about money add up to what was paid, however often records were delivered."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from time import time_ns

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from support.documented_sql import documented_queries
from support.ledger_records import call_pair, fill_ledger, hops, result, shared_call

from analytics.clickhouse import open_client
from analytics.reports.trace import trace
from topics.base import Record
from topics.journal import CallEnded, Purpose

COPIES = 30
JUDGED, UNSETTLED, FAILED = 4, 6, 7
TIME_MS = time_ns() // 1_000_000 - 60_000


@pytest.fixture(scope="module")
def url(module_clickhouse_url: str) -> str:
    """Two ledgers of the same requests: one where all went well, and one where records were delivered again."""
    fill = partial(fill_ledger, module_clickhouse_url, first_ms=TIME_MS)
    asyncio.run(fill("tierstream", [*calls(), *results(), *steps()]))
    again = [record for record in (*calls(), *steps()) for _ in range(COPIES)]
    asyncio.run(fill("delivered_again", [*again, *results()]))
    return module_clickhouse_url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Client]:
    with clickhouse_connect.get_client(dsn=url) as client:
        yield client


def calls() -> list[Record]:
    pairs = [call_pair(n) for n in range(1, 6)]
    pairs += [call_pair(JUDGED, purpose=Purpose.JUDGE), call_pair(UNSETTLED), call_pair(FAILED, failed=True)]
    return [record for pair in (*pairs, *shared_call(8, 9)) for record in pair]


def results() -> list[Record]:
    # The id r1 was used anew after the window: it has two results.
    return [result(n) for n in (1, 1, 2, 3, 4, 5, FAILED)]


def steps() -> list[Record]:
    return [hops(n) for n in range(1, 6)]


def paid() -> Decimal:
    return sum((record.cost_usd for record in calls() if isinstance(record, CallEnded)), Decimal(0))


def total(client: Client, query: str) -> Decimal:
    [[found]] = client.query(query).result_rows
    assert isinstance(found, Decimal)
    return found


def test_hops_alone_would_count_a_call_for_each_copy(client: Client) -> None:
    sums = [total(client, f"SELECT sum(cost_usd) FROM {name}.hops") for name in ("tierstream", "delivered_again")]
    assert sums[1] == sums[0] * COPIES > 0


def test_documented_costs_are_the_same_however_often_records_came(client: Client) -> None:
    queries = [query for query in documented_queries() if "cost" in query]
    assert len(queries) > 5
    for query in queries:
        once = client.query(query)
        again = client.query(query.replace("tierstream.", "delivered_again."))
        assert once.column_names == again.column_names
        assert sorted(map(repr, once.result_rows)) == sorted(map(repr, again.result_rows)), query


def test_documented_costs_add_up_to_what_was_paid(client: Client) -> None:
    summed = 0
    for query in documented_queries():
        found = client.query(query.replace("tierstream.", "delivered_again."))
        if "cost" in found.column_names and "tier = 3" not in query:
            assert sum(row["cost"] for row in found.named_results()) == paid(), query
            summed += 1
    assert summed >= 5
    assert total(client, "SELECT sum(cost_usd) FROM delivered_again.spending") == paid()
    assert total(client, "SELECT sum(total_cost_usd) FROM delivered_again.attempt_ledger") == paid()


def test_documented_queries_sum_no_cost_of_hops() -> None:
    for query in documented_queries():
        assert not ("cost" in query and ".hops" in query), query


async def test_the_steps_of_a_trace_add_up_to_what_the_request_paid(url: str) -> None:
    _, ended = call_pair(3)
    async with open_client(url) as client:
        found = await trace(client, "delivered_again", "r3")
    assert found is not None
    assert len(found.hops) == 2 * COPIES
    assert sum(hop.cost_usd or 0 for hop in found.hops) == ended.cost_usd

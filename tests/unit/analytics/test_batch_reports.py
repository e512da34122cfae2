"""Calls that batches of a provider answered, in the reports: their money counts, their time says nothing of a model."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest
from support.ledger_records import BASE, IN_BATCH, batch_pair, call_pair, fill_ledger, result

from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger_window import LedgerWindow, PriceList
from analytics.reports import report as report_module
from analytics.reports.costs import costs
from analytics.reports.latency import latency
from analytics.reports.ledger import ledger
from analytics.reports.savings import savings
from analytics.reports.summary import Summary, summary
from analytics.reports.trace import trace
from analytics.rollups import RollupBuilder
from tierstream.cli.render.ledger import show_summary

DATABASE = "batched"
AT_ONCE = [n for n in range(1, 60) if n % 5 != 4 and n % 3]
IN_A_BATCH = [n for n in range(100, 140) if n % 5 != 4]
TIER_2 = [n for n in IN_A_BATCH if n % 3 == 0]
"""What the second tier answered; nobody got an answer of it at once."""
MINUTE_MS = 60_000
PAID = sum(call_pair(n)[1].cost_usd for n in AT_ONCE) + sum(batch_pair(n)[1].cost_usd for n in IN_A_BATCH)
PRICES = PriceList("groq/best", {"groq/best": (Decimal(5), Decimal(25), Decimal("0.5"))}, {"groq": Decimal("0.5")})


def of_batch(n: int):
    """The calls of a request on each tier that it saw, and its result: the last one waited for a batch."""
    done, (_, ended) = result(n), batch_pair(n)
    waited_ms = IN_BATCH.total_seconds() * 1000
    route = [line.model_copy(update={"cost_usd": ended.cost_usd, "provider_ms": waited_ms}) for line in done.route]
    route = [line for line in route if line.stage == "infer"][-1:]
    late = {"latency_ms": waited_ms + MINUTE_MS, "provider_ms": waited_ms, "settled_at": ended.ended_at}
    return [*batch_pair(n), done.model_copy(update={**late, "route": tuple(route), "cost_usd": ended.cost_usd})]


def of_call(n: int):
    done = result(n)
    route = tuple(line for line in done.route if line.stage == "infer")
    return [*call_pair(n), done.model_copy(update={"route": route})]


def window(client: AsyncClient, **bounds) -> LedgerWindow:
    return LedgerWindow(client, DATABASE, prices=lambda: PRICES, **bounds)


@pytest.fixture
async def client(module_clickhouse_url: str) -> AsyncIterator[AsyncClient]:
    async with open_client(module_clickhouse_url) as client:
        known = await client.query("SELECT count() FROM system.databases WHERE name = {d:String}", {"d": DATABASE})
        if known.result_rows == [(0,)]:
            records = [one for n in AT_ONCE for one in of_call(n)] + [one for n in IN_A_BATCH for one in of_batch(n)]
            await fill_ledger(module_clickhouse_url, DATABASE, records, first_ms=int(BASE.timestamp() * 1000))
            await RollupBuilder(client, DATABASE, lifetime_s=86_400).build()
        yield client


@pytest.fixture(params=["ledger", "roll-ups"])
async def summed(client, request, monkeypatch) -> Summary:
    if request.param == "roll-ups":
        monkeypatch.setattr(report_module, "QUICKLY_READ", -1)
    return await summary(window(client))


async def test_their_money_adds_up(client):
    checked = (await ledger(window(client))).money
    assert checked.calls_cost_usd == checked.routed_cost_usd == checked.results_cost_usd == PAID
    assert checked.unexplained_usd == 0
    report = await costs(window(client), by="model")
    assert (report.total_cost_usd, [row.cost_usd for row in report.rows]) == (PAID, [PAID])


async def test_what_they_saved_is_the_usual_price_less_what_was_paid(client):
    report = await savings(window(client))
    [row] = report.batches
    assert (row.provider, row.calls) == ("groq", len(IN_A_BATCH))
    assert row.cost_usd == sum(batch_pair(n)[1].cost_usd for n in IN_A_BATCH)
    assert row.saved_usd == sum(call_pair(n)[1].cost_usd - batch_pair(n)[1].cost_usd for n in IN_A_BATCH)
    unknown = PriceList(PRICES.frontier, PRICES.rates)
    [row] = (await savings(LedgerWindow(client, DATABASE, prices=lambda: unknown))).batches
    assert row.saved_usd is None


async def test_without_them_nothing_is_said_of_batches(client):
    assert (await savings(window(client, until=BASE - timedelta(days=1)))).batches == ()


async def test_the_latency_of_a_tier_is_that_of_the_others(summed, capsys):
    first, second = summed.tiers
    assert (first.tier, first.requests) == (1, len(AT_ONCE) + len(IN_A_BATCH) - len(TIER_2))
    assert first.latency.p95 < MINUTE_MS
    assert first.provider.p95 < MINUTE_MS
    assert first.own.p95 < MINUTE_MS
    assert (second.tier, second.requests) == (2, len(TIER_2))
    assert (second.latency, second.provider, second.own) == (None, None, None)
    show_summary(summed, PRICES.frontier)
    [shown] = (line for line in capsys.readouterr().out.splitlines() if line.split()[:2] == ["2", str(len(TIER_2))])
    assert shown.split()[-3:] == ["-", "-", "-"]


async def test_what_waited_stands_apart_in_the_report_on_latency(client):
    rows = {row.kind: row for row in (await latency(window(client), by="provider")).rows}
    assert {kind: row.n for kind, row in rows.items()} == {
        "request": len(AT_ONCE),
        "provider": len(AT_ONCE),
        "own": len(AT_ONCE),
        "call": len(AT_ONCE),
        "request_in_batch": len(IN_A_BATCH),
        "call_in_batch": len(IN_A_BATCH),
    }
    waited_ms = IN_BATCH.total_seconds() * 1000
    assert rows["request_in_batch"].p50_ms == pytest.approx(waited_ms + MINUTE_MS, rel=0.011)
    assert rows["call_in_batch"].p50_ms == pytest.approx(waited_ms, rel=0.011)
    assert all(rows[kind].p99_ms < MINUTE_MS for kind in ("request", "provider", "own", "call"))


async def test_a_trace_names_the_batch(client):
    found = await trace(client, DATABASE, f"r{IN_A_BATCH[0]}")
    assert [call.provider_batch for call in found.calls] == [batch_pair(1)[1].provider_batch]
    found = await trace(client, DATABASE, f"r{AT_ONCE[0]}")
    assert [call.provider_batch for call in found.calls] == [""]


async def test_a_model_is_not_slow_because_batches_of_it_were_waited_for(module_clickhouse_url):
    """Two models answer at the same pace, one of them in batches as well."""
    pace = {"small": [*map(call_pair, range(100, 200, 2)), *map(batch_pair, range(200, 230))]}
    pace |= {"other": [*map(call_pair, range(101, 201, 2))]}
    records = [
        record.model_copy(update={"model": model}) for model, pairs in pace.items() for pair in pairs for record in pair
    ]
    await fill_ledger(module_clickhouse_url, "paced", records, first_ms=int(BASE.timestamp() * 1000) + 60_000)
    async with open_client(module_clickhouse_url) as client:
        await RollupBuilder(client, "paced", lifetime_s=86_400).build()
        rows = await LedgerWindow(client, "paced").rollup_rows("finding_speeds")
    assert {(row["model"], row["calls"]) for row in rows} == {("groq/small", 50), ("groq/other", 50)}
    assert all(row["took_ms"] == pytest.approx(row["other_ms"], rel=0.05) for row in rows)

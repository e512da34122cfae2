"""The reconciliation of results with calls, on the real engine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from support.ledger_records import BASE, call_pair, result, shared_call

from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.ledger_window import LedgerWindow
from analytics.migrate import migrate
from analytics.reports import report as report_module
from analytics.reports.ledger import LedgerReport
from analytics.reports.ledger import ledger as ledger_report
from analytics.rollups import RollupBuilder
from analytics.rows import Position, rows_of
from topics.journal import Purpose

NUMBERS = (1, 2, 5, 7)
STARTED, ENDED = call_pair(7)
AGAIN = UUID(int=1)
DIED = STARTED.model_copy(update={"call_id": AGAIN})
TWICE = [call.model_copy(update={"call_id": UUID(int=2)}) for call in call_pair(5)]
UNROUTED = call_pair(2, purpose=Purpose.JUDGE)
UNSETTLED = call_pair(11)
SHADOWS = [
    call.model_copy(
        update={"purpose": Purpose.SHADOW, "stage": "shadow", "attempt_id": UUID(int=n), "call_id": UUID(int=n)}
    )
    for n, pair in ((8, call_pair(5)), (9, call_pair(11)))
    for call in pair
]
LOST = call_pair(1, failed=True)[0]
RESULTS = [result(n, tags=("run",) if n == 7 else ()) for n in NUMBERS]
CALLS = [*(c for n in NUMBERS for c in call_pair(n)), *TWICE, *UNROUTED, *UNSETTLED, *SHADOWS, DIED, LOST]
SETTLED_COST = sum((call_pair(n)[1].cost_usd for n in NUMBERS), start=Decimal(0))


@pytest.fixture
async def client(clickhouse_url: str) -> AsyncIterator[AsyncClient]:
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse_url, "ledger", SinkStats())
        for topic, records in (("r", RESULTS), ("c", CALLS)):
            for offset, record in enumerate(records):
                position = Position("cluster", topic, 0, offset, int(BASE.timestamp() * 1000) + offset)
                await ledger.insert([Entry(position, rows_of(record, position, "none"))])
        await ledger.close()
        yield client


@pytest.fixture(params=["the ledger", "roll-ups"])
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[LedgerReport]]:
    """The report, from what is small enough to be read and from what is not."""
    is_rolled_up = request.param == "roll-ups"

    async def ask(client: AsyncClient, **window: Any) -> LedgerReport:
        if is_rolled_up:
            monkeypatch.setattr(report_module, "QUICKLY_READ", -1)
            await RollupBuilder(client, "ledger", lifetime_s=3600).build()
        report = await ledger_report(LedgerWindow(client, "ledger", **window))
        assert (report.built_at is not None) == (is_rolled_up and "tag" not in window)
        return report

    return ask


async def test_a_shared_call_counts_once_and_its_unknown_parts_are_estimated(clickhouse_url, ask):
    """Three requests share a call, of one of which the end is missing; two share another one that never ended."""
    started, ended = shared_call(1, 2, 5)
    records = [*started, *ended[:2], *call_pair(8)]
    records += [call_pair(n)[0].model_copy(update={"call_id": AGAIN}) for n in (10, 11)]
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse_url, "ledger", SinkStats())
        for offset, record in enumerate(records):
            position = Position("cluster", "c", 0, offset, int(BASE.timestamp() * 1000) + offset)
            await ledger.insert([Entry(position, rows_of(record, position, "none"))])
        await ledger.close()
        report = await ask(client)
    parts = [end.cost_usd for end in ended]
    assert {group.outcome: (group.calls, group.cost_usd) for group in report.calls} == {
        "ok": (2, parts[0] + parts[1] + call_pair(8)[1].cost_usd),
        "unknown": (2, Decimal(0)),
    }
    estimates = {call.request_id: call.cost_usd for call in report.listed}
    assert set(estimates) == {"r5", "r10", "r11"}
    assert abs(estimates["r5"] - parts[2]) < Decimal("0.000001")
    mean = (parts[0] + parts[1] + call_pair(8)[1].cost_usd) / 2
    assert estimates["r10"] == estimates["r11"]
    assert abs(2 * estimates["r10"] - mean) < Decimal("1e-11")


async def test_the_money_is_reconciled(client, ask):
    report = await ask(client)
    money = report.money
    assert (report.requests, report.statuses) == (4, {"ok": 4})
    assert money.results_cost_usd == money.routed_cost_usd == SETTLED_COST
    assert money.duplicate_cost_usd == TWICE[1].cost_usd
    assert money.unrouted_cost_usd == UNROUTED[1].cost_usd
    assert money.unsettled_cost_usd == UNSETTLED[1].cost_usd
    assert money.unexplained_usd == 0
    assert money.shadow_cost_usd == sum(call.cost_usd for call in SHADOWS[1::2])
    parts = (money.routed_cost_usd, money.duplicate_cost_usd, money.unrouted_cost_usd, money.unsettled_cost_usd)
    assert money.calls_cost_usd == sum(parts) + money.shadow_cost_usd
    groups = {(g.purpose, g.outcome): (g.calls, g.cost_usd) for g in report.calls}
    ok_cost = SETTLED_COST + TWICE[1].cost_usd + UNSETTLED[1].cost_usd
    assert groups == {
        ("infer", "ok"): (6, ok_cost),
        ("judge", "ok"): (1, UNROUTED[1].cost_usd),
        ("shadow", "ok"): (2, money.shadow_cost_usd),
        ("infer", "unknown"): (2, Decimal(0)),
    }
    listed = {call.call_id: call for call in report.listed}
    assert set(listed) == {STARTED.call_id, AGAIN, call_pair(5)[0].call_id, UUID(int=2), LOST.call_id}
    # The same attempt's other call is the best estimate; without one, calls like it.
    assert (listed[AGAIN].cost_usd, listed[AGAIN].is_estimated, listed[AGAIN].attempt_calls) == (
        ENDED.cost_usd,
        True,
        2,
    )
    assert abs(listed[LOST.call_id].cost_usd - ok_cost / 6) < Decimal("1e-11")
    assert not listed[UUID(int=2)].is_estimated
    assert money.unknown_estimate_usd == listed[AGAIN].cost_usd + listed[LOST.call_id].cost_usd
    tagged = await ask(client, tag="run")
    assert (tagged.requests, tagged.money.calls_cost_usd, tagged.money.unexplained_usd) == (1, ENDED.cost_usd, 0)
    assert {call.call_id for call in tagged.listed} == {STARTED.call_id, AGAIN}
    empty = await ask(client, since=BASE + timedelta(days=1))
    assert (empty.requests, empty.calls, empty.listed, empty.money.calls_cost_usd) == (0, (), (), 0)


async def test_a_part_of_a_ledger_is_read_with_what_belongs_to_it(client):
    """Around the last two records only what a lifetime may lie between is read: all of it, or next to nothing."""
    since = BASE + timedelta(milliseconds=len(CALLS) - 2)
    whole = await ledger_report(LedgerWindow(client, "ledger", since=since))
    assert {call.call_id: call.attempt_calls for call in whole.listed} == {AGAIN: 2, LOST.call_id: 1}
    near = await ledger_report(LedgerWindow(client, "ledger", since=since, lifetime=timedelta(0)))
    assert {call.call_id: call.attempt_calls for call in near.listed} == {AGAIN: 1, LOST.call_id: 1}

"""Reports on roll-ups against the ledger itself, on the real engine, after inserts that were repeated."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import get_args

import pytest
from support.ledger_records import BASE, breaker, call_pair, hops, result, shared_call

from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.ledger_window import LedgerWindow, PriceList
from analytics.migrate import migrate
from analytics.reports import REPORTS, summary
from analytics.reports import report as report_module
from analytics.reports.breakers import breakers
from analytics.reports.cache import cache
from analytics.reports.costs import Dimension, costs
from analytics.reports.errors import errors
from analytics.reports.latency import latency
from analytics.reports.ledger import ledger
from analytics.reports.rates import rates
from analytics.reports.savings import savings
from analytics.reports.sharing import sharing
from analytics.reports.trend import trend
from analytics.rollups import RollupBuilder
from analytics.rows import Position, rows_of
from topics.control import BreakerState
from topics.events import Hops
from topics.journal import Purpose
from topics.results import ResultStatus

DATABASE = "reported"
NUMBERS = [n for n in range(80) if n != 7]
"""The shared call is call 7."""
RESULTS = [result(n, tags=("all", "even") if n % 2 == 0 else ("all",)) for n in NUMBERS]
CALLS = [call for n in NUMBERS if n % 5 != 4 for call in call_pair(n)]
JUDGED = [call for n in NUMBERS if n % 4 == 0 for call in call_pair(n, purpose=Purpose.JUDGE)]
FAILED = [call for n in NUMBERS if n % 6 == 0 for call in call_pair(n, failed=True)]
SHARED_RESULTS = [result(n) for n in (5001, 5002, 5003)]
SHARED = shared_call(5001, 5002, 5003)
PRICES = PriceList(
    "groq/best",
    {
        "groq/best": (Decimal(5), Decimal(25), Decimal("0.5")),
        "groq/small": (Decimal("0.1"), Decimal("0.4"), Decimal(0)),
    },
)
ANSWERED = [r for r in (*RESULTS, *SHARED_RESULTS) if r.usage]
PAID = [*CALLS[1::2], *JUDGED[1::2], *FAILED[1::2], *SHARED[1]]


def records():
    steps = [hops(n) for n in NUMBERS]
    said = [breaker(0), breaker(30), breaker(60).model_copy(update={"since": BASE + timedelta(minutes=1)})]
    said.append(breaker(90, state=BreakerState.CLOSED).model_copy(update={"since": BASE + timedelta(seconds=90)}))
    return [*CALLS, *JUDGED, *FAILED, *SHARED[0], *SHARED[1], *steps, *RESULTS, *SHARED_RESULTS, *said]


def window(client: AsyncClient, **bounds) -> LedgerWindow:
    return LedgerWindow(client, DATABASE, prices=lambda: PRICES, **bounds)


@pytest.fixture
async def client(module_clickhouse_url: str) -> AsyncIterator[AsyncClient]:
    """All records, over the last two seconds of a month and the first of the next."""
    async with open_client(module_clickhouse_url) as client:
        if await migrate(client, DATABASE, retention_days=4000, body_retention_days=4000):
            await insert(module_clickhouse_url, times=1)
            await RollupBuilder(client, DATABASE, lifetime_s=3600).build()
        yield client


async def insert(url: str, *, times: int) -> None:
    """Write all records, in any order, each as often as that."""
    entries = []
    for offset, record in enumerate(records()):
        position = Position("cluster", "t", 0, offset, int(BASE.timestamp() * 1000) + 10 * offset)
        entries.append(Entry(position, rows_of(record, position, "none")))
    entries *= times
    random.Random(3).shuffle(entries)
    sink = Ledger(url, DATABASE, SinkStats())
    await sink.insert(entries)
    await sink.close()


async def total(client: AsyncClient, query: str) -> Decimal:
    return (await client.query(query.format(database=DATABASE))).result_rows[0][0]


@pytest.mark.parametrize("days", [1, 30], ids=["by hour", "by day"])
@pytest.mark.parametrize("by", get_args(Dimension))
async def test_the_sum_by_any_dimension_is_that_of_the_ledger(client, by, days):
    report = await costs(window(client, since=BASE, until=BASE + timedelta(days=days)), by=by, top=0)
    assert report.grain == ("hour" if days == 1 else "day")
    paid = await total(client, "SELECT sum(cost_usd) FROM {database}.call_ledger")
    assert report.total_cost_usd == paid == sum(call.cost_usd for call in PAID)
    if by != "tag":
        assert sum(row.cost_usd for row in report.rows) == paid
        assert sum(row.cost_share for row in report.rows) == pytest.approx(1)
        assert sum(row.calls for row in report.rows) == len(PAID)


async def test_a_request_costs_under_each_of_its_tags(client):
    report = await costs(window(client), by="tag")
    expected: Counter[str] = Counter()
    tags = {r.request_id: r.tags for r in (*RESULTS, *SHARED_RESULTS)}
    for call in PAID:
        for tag in tags[call.request_id] or ("",):
            expected[tag] += call.cost_usd
    assert {row.key: row.cost_usd for row in report.rows} == expected


async def test_of_many_the_dearest_are_named(client):
    [row] = (await costs(window(client), by="user", top=1)).rows
    by_user: Counter[str] = Counter()
    users = {r.request_id: r.user_id or "" for r in (*RESULTS, *SHARED_RESULTS)}
    for call in PAID:
        by_user[users[call.request_id]] += call.cost_usd
    assert (row.key, row.cost_usd) == by_user.most_common(1)[0]


async def test_money_is_that_of_the_check_of_every_row(client):
    checked = (await ledger(window(client))).money
    assert (await costs(window(client))).total_cost_usd == checked.calls_cost_usd
    by_tier = (await summary(window(client))).tiers
    said = sum(r.cost_usd for r in (*RESULTS, *SHARED_RESULTS))
    assert sum(tier.cost_usd for tier in by_tier) == checked.results_cost_usd == said
    rolled_up = await total(client, "SELECT sum(cost_usd) FROM {database}.results_by_day")
    assert rolled_up == said


async def test_savings_are_those_of_the_tokens_of_the_answers(client):
    report = await savings(window(client))
    alone = {
        model: sum(
            ((r.usage.input - r.usage.cached) * fresh + r.usage.cached * cached + r.usage.output * output) / 1_000_000
            for r in ANSWERED
        )
        for model, (fresh, output, cached) in PRICES.rates.items()
    }
    paid = sum(call.cost_usd for call in PAID)
    assert {row.model: row.alone_usd for row in report.rows} == alone
    assert [row.model for row in report.rows] == ["groq/best", "groq/small"]
    assert (report.paid_usd, report.frontier_usd) == (paid, alone["groq/best"])
    assert report.saved_usd == alone["groq/best"] - paid
    assert report.saved_share == pytest.approx(float(report.saved_usd / report.frontier_usd))


async def test_latency_is_within_a_hundredth(client):
    report = await latency(window(client), by="tier")
    for tier in (1, 2):
        mine = sorted(r.latency_ms for r in (*RESULTS, *SHARED_RESULTS) if r.tier == tier)
        [row] = (row for row in report.rows if (row.kind, row.key) == ("request", str(tier)))
        assert row.n == len(mine)
        assert row.mean_ms == pytest.approx(sum(mine) / len(mine))
        for found, quantile in ((row.p50_ms, 0.5), (row.p95_ms, 0.95), (row.p99_ms, 0.99)):
            place = quantile * (len(mine) - 1)
            assert mine[int(place)] * 0.99 <= found <= mine[min(int(place) + 1, len(mine) - 1)] * 1.01
    by_hop = await latency(window(client), by="hop")
    steps = Counter(
        (kind, hop.stage) for r in records() if isinstance(r, Hops) for hop in r.hops for kind in ("queue", "step")
    )
    assert {(row.kind, row.key): row.n for row in by_hop.rows} == steps
    by_provider = await latency(window(client), by="provider")
    [wire] = (row for row in by_provider.rows if row.kind == "call")
    assert (wire.key, wire.n) == ("groq", len({call.call_id for call in PAID}))
    [first] = (row for row in by_provider.rows if row.kind == "first_token")
    assert (first.n, round(first.p50_ms)) == (1, pytest.approx(80, rel=0.02))


async def test_rates_are_shares_of_the_requests(client):
    report = await rates(window(client), by="query_type")
    everything = [*RESULTS, *SHARED_RESULTS]
    for row in report.rows:
        mine = [r for r in everything if (r.query_type or "") == row.key]
        assert row.requests == len(mine)
        escalated = [r for r in mine if any("escalated" in a.why for a in r.route)]
        assert row.escalated_share == pytest.approx(len(escalated) / len(mine))
        assert row.answered_share == sum(r.status is ResultStatus.OK for r in mine) / len(mine)
    assert sum(row.requests for row in report.rows) == len(everything)
    by_tier = await rates(window(client), by="tier")
    assert {row.key for row in by_tier.rows} == {"", "1"}


async def test_errors_are_of_calls_and_of_requests(client):
    report = await errors(window(client))
    wire = {call.call_id for call in PAID}
    rejected = [r for r in RESULTS if r.status is ResultStatus.REJECTED] + [
        r for r in SHARED_RESULTS if r.status is ResultStatus.REJECTED
    ]
    shown = [(row.source, row.provider, row.error, row.n, row.share) for row in report.rows]
    assert shown == [
        ("request", "", "invalid", len(rejected), len(rejected) / (len(RESULTS) + 3)),
        ("call", "groq", "overloaded", len(FAILED) // 2, len(FAILED) // 2 / len(wire)),
    ]


async def test_breakers_have_a_row_for_each_time_they_opened(client):
    report = await breakers(window(client))
    assert [(row.since, row.until, row.last_said_at) for row in report.rows] == [
        (BASE + timedelta(minutes=1), BASE + timedelta(seconds=90), BASE + timedelta(minutes=1)),
        (BASE, BASE + timedelta(minutes=1), BASE + timedelta(seconds=30)),
    ]
    assert {(row.target, row.state, row.reason) for row in report.rows} == {
        ("groq/small", "open", "5 of 8 calls failed")
    }


async def test_sharing_and_cached_tokens(client):
    shared = await sharing(window(client))
    assert (shared.saved_calls, shared.saved_usd) == (2, 2 * sum(ended.cost_usd for ended in SHARED[1]))
    [row] = shared.rows
    wire = {call.call_id: call.batch_size for call in PAID}
    assert (row.calls, row.answers, row.shared_calls, row.batched_calls) == (len(wire), len(PAID), 1, 1)
    assert row.mean_batch_size == pytest.approx(sum(wire.values()) / len(wire))
    cached = await cache(window(client))
    usages = [call.usage for call in PAID if call.usage]
    assert cached.input_tokens == sum(usage.input for usage in usages)
    assert cached.cached_tokens == sum(usage.cached for usage in usages)
    # Half the rate of fresh ones: see RATES.
    assert cached.saved_usd == cached.cached_tokens * Decimal("0.0375") / 1_000_000


async def test_a_trend_adds_up_to_the_whole(client):
    report = await trend(window(client, since=BASE, until=BASE + timedelta(hours=1)))
    assert report.grain == "hour"
    assert {row.bucket for row in report.rows} == {BASE.replace(minute=0, second=0), BASE + timedelta(seconds=2)}
    assert sum(row.requests for row in report.rows) == len(RESULTS) + 3
    assert sum(row.calls for row in report.rows) == len({call.call_id for call in PAID})
    assert sum(row.cost_usd for row in report.rows) == sum(call.cost_usd for call in PAID)


@pytest.mark.parametrize("days", [1, 30], ids=["by hour", "by day"])
async def test_the_summary_of_rollups_is_that_of_the_ledger(client, monkeypatch, days):
    bounds = {"since": BASE.replace(hour=0, minute=0, second=0), "until": BASE + timedelta(days=days, seconds=2)}
    exact = await summary(window(client, **bounds))
    assert exact.built_at is None
    monkeypatch.setattr(report_module, "QUICKLY_READ", -1)
    rolled = await summary(window(client, **bounds))
    assert rolled.built_at is not None
    one, other = exact.model_dump(exclude={"built_at", "tiers"}), rolled.model_dump(exclude={"built_at", "tiers"})
    differing = {name for name in one if not alike(one[name], other[name])}
    assert not differing - {"since", "until"}
    for left, right in zip(exact.tiers, rolled.tiers, strict=True):
        assert (left.tier, left.requests, left.cost_usd) == (right.tier, right.requests, right.cost_usd)
        assert right.latency.p50 == pytest.approx(left.latency.p50, rel=0.05)
        assert right.provider.p95 == pytest.approx(left.provider.p95, rel=0.05)


def alike(one: object, other: object) -> bool:
    """Whether figures are the same, floats about so."""
    match one, other:
        case Mapping(), Mapping():
            return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
        case ((list() | tuple()), (list() | tuple())):
            return len(one) == len(other) and all(map(alike, one, other))
        case float(), float():
            return one == pytest.approx(other, rel=0.011)
        case _:
            return one == other


async def test_a_tag_is_looked_for_in_the_ledger(client, monkeypatch):
    monkeypatch.setattr(report_module, "QUICKLY_READ", -1)
    report = await summary(window(client, tag="even"))
    assert report.built_at is None
    assert report.requests == sum("even" in r.tags for r in RESULTS)


@pytest.mark.slow
async def test_what_is_inserted_three_times_changes_no_report(client, module_clickhouse_url, monkeypatch):
    monkeypatch.setattr(report_module, "QUICKLY_READ", -1)

    async def all_reports():
        found = {name: await report(window(client)) for name, report in REPORTS.items()}
        return {name: report.model_dump(exclude={"built_at"}) for name, report in found.items()}

    before = await all_reports()
    await insert(module_clickhouse_url, times=3)
    await RollupBuilder(client, DATABASE, lifetime_s=3600).build()
    assert await all_reports() == before
    await client.command(f"TRUNCATE TABLE {DATABASE}.rollup_hours")
    await RollupBuilder(client, DATABASE, lifetime_s=3600).build()
    assert await all_reports() == before


async def test_a_report_says_since_when_nothing_was_added(client, module_clickhouse_url):
    assert (await costs(window(client))).built_at is not None
    await migrate(client, "unbuilt", retention_days=4000, body_retention_days=4000)
    report = await costs(LedgerWindow(client, "unbuilt"))
    assert (report.built_at, report.total_cost_usd, report.rows) == (None, 0, ())


async def test_a_dimension_that_does_not_exist_is_refused(client):
    with pytest.raises(Exception, match="Unknown element"):
        await window(client).rollup_rows("report_costs", by="colour", top=1)

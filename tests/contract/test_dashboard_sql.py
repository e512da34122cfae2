"""The dashboard's queries on the real engine: their sums are those of the roll-ups, and a search finds what fits."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import pytest_asyncio
from support.dashboard_server import PRICES
from support.dashboard_traffic import DATABASE, ESCALATED, fill_dashboard

from tierstream.dashboard.ledger import Ledger
from tierstream.dashboard.overview import overview
from tierstream.dashboard.period import choose
from tierstream.dashboard.search import PAGE, SearchError, find, read_search
from tierstream.dashboard.words import money, share

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime.now(UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ledger(module_clickhouse_url):
    await fill_dashboard(module_clickhouse_url, NOW)
    made = Ledger(module_clickhouse_url, DATABASE)
    yield made
    await made.close()


async def ask(ledger, statement):
    async with ledger.client() as client:
        return (await client.query(statement.format(db=DATABASE))).result_rows[0]


@pytest.mark.parametrize("choice", ["24h", "7d", "30d"])
async def test_the_first_page_has_the_sums_of_the_roll_ups(ledger, choice):
    period = choose({"period": choice}, NOW)
    shown = await overview(ledger, period, NOW, "a/b", lambda: PRICES)
    within = f"bucket >= toDateTime('{period.since:%Y-%m-%d %H:%M:%S}', 'UTC')"
    [spent] = await ask(ledger, f"SELECT sum(cost_usd) FROM {{db}}.spend_by_{period.grain} WHERE {within}")
    requests, escalated, tokens_in, cached, out = await ask(
        ledger,
        "SELECT sum(requests), sum(escalated), sum(input_tokens), sum(cached_tokens), sum(output_tokens)"
        f" FROM {{db}}.results_by_{period.grain} WHERE {within}",
    )
    of_input, of_output, of_cached = PRICES.rates[PRICES.frontier]
    full = ((tokens_in - cached) * of_input + cached * of_cached + out * of_output) / Decimal(1_000_000)
    figures = {tile.name: tile.figure for tile in shown.tiles}
    assert figures["Spend"] == money(spent)
    assert figures["Saved by routing"] == share(1 - spent / full)
    assert figures["Requests"] == f"{requests:,}"
    assert figures["Escalated"] == share(escalated / requests)
    assert sum(value for one in shown.spend.series for value in one.values) == pytest.approx(float(spent))
    assert sum(value for one in shown.tiers.series for value in one.values) == requests
    assert len(shown.spend.labels) == len(list(period.buckets()))
    [saved] = shown.saved.series
    assert sum(value or 0 for value in saved.values) == pytest.approx(float(full - spent))
    assert all(p50 < p95 <= p99 for p50, p95, p99 in zip(*(one.values for one in shown.latency.series), strict=True))


async def test_flow_and_state_are_of_now(ledger):
    shown = await overview(ledger, choose({}, NOW), NOW, "a/b", lambda: PRICES)
    assert (
        sum(path.requests for path in shown.paths)
        == (await ask(ledger, "SELECT sum(requests) FROM {db}.results_by_minute"))[0]
    )
    [breaker] = shown.state.breakers
    assert (breaker.target, breaker.state, breaker.workers, breaker.forced) == (
        "together/openai/gpt-oss-20b",
        "open",
        2,
        False,
    )
    assert [stage for stage, _ in shown.state.queues] == [
        "classify",
        "infer:1",
        "infer:2",
        "infer:3",
        "settle",
        "validate",
    ]
    assert 0 <= (NOW - shown.state.newest).total_seconds() < 1
    assert 12 <= (NOW - shown.state.rolled_up).total_seconds() < 14


async def test_pages_of_the_search_have_every_request_once(ledger):
    period, seen, place = choose({"period": "24h"}, NOW), [], ""
    while True:
        found = await find(ledger, read_search({"after": place} if place else {}), period)
        seen += [row["request_id"] for row in found.rows]
        assert len(found.rows) <= PAGE
        place = found.next_place
        if place is None:
            break
    assert seen == [f"req-{n:04}" for n in range(120)]


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"id": "req-000"}, 10),
        ({"user": "ann"}, 30),
        ({"tier": "2"}, 12),
        ({"first_tier": "1"}, 50),
        ({"first_tier": "2"}, 0),
        ({"tier": "0"}, 0),
        ({"tier": "2", "user": "dan", "status": "ok"}, 6),
        ({"model": "claude-haiku-5-5"}, 12),
        ({"model": "anthropic/claude-haiku-5-5"}, 12),
        ({"status": "degraded"}, 3),
        ({"feature": "search", "query_type": "question"}, 40),
        ({"user": "' OR 1 = 1 --"}, 0),
        ({"id": "%"}, 0),
    ],
)
async def test_a_search_finds_what_fits(ledger, asked, number):
    found = await find(ledger, read_search(asked), choose({"period": "24h"}, NOW))
    assert len(found.rows) == number
    assert (ESCALATED in {row["request_id"] for row in found.rows}) or asked != {"tier": "2"}


@pytest.mark.parametrize(
    "asked", [{"tier": "x"}, {"tier": "-1"}, {"tier": "9" * 9}, {"after": "x"}, {"user": "u" * 301}]
)
async def test_what_can_not_be_searched_for_is_refused(asked):
    with pytest.raises(SearchError):
        read_search(asked)


async def test_a_client_is_opened_anew_after_the_server_was_away(module_clickhouse_url):
    ledger = Ledger(module_clickhouse_url, DATABASE)
    assert await ledger.rows("dashboard_names", {"since": "2026-01-01 00:00:00", "until": "2026-01-02 00:00:00"})
    first = ledger._client
    with pytest.raises(OSError, match="gone"):
        async with ledger.client():
            raise ConnectionResetError("gone")
    assert ledger._client is None
    assert await ledger.rows("dashboard_names", {"since": "2026-01-01 00:00:00", "until": "2026-01-02 00:00:00"})
    assert ledger._client is not first
    await ledger.close()

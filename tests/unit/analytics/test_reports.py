"""The reports' figures against the same figures computed in Python, on the real engine."""

import json
import re
import statistics
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from pkgutil import iter_modules

import pytest
from support.ledger_records import BASE, call_pair, hops, result, shared_call

import analytics.reports
from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.ledger_window import LedgerWindow, PriceList
from analytics.migrate import migrate
from analytics.reports import REPORTS
from analytics.reports.summary import FeedbackSummary, SharingSummary, summary
from analytics.reports.trace import trace
from analytics.rollups import RollupBuilder
from analytics.rows import Position, rows_of
from streams.config.settings import load
from tierstream.cli.render.ledger import show_summary
from tierstream.cli.render.report import show_figures, show_report
from topics.events import Hop, Hops
from topics.journal import Purpose
from topics.results import Result

ROOT = Path(__file__).parents[3]
NO_REPORTS = {"report", "trace"}
"""Files beside the reports: what they have in common, and the story of one request."""
BY_VIEW = ("ledger_rows", "ledger_twice")
"""Queries of `verify`, one for each view that it compares."""
PRICES = PriceList("groq/best", {"groq/best": (Decimal(5), Decimal(25), Decimal("0.5"))})
RESULTS = [result(n, tags=("run-7", "even") if n % 2 == 0 else ("run-7",)) for n in range(40)]
CALLS = [call for n in range(40) if n % 5 != 4 for call in call_pair(n)]
JUDGED = [call for n in range(0, 40, 4) if n % 5 != 4 for call in call_pair(n, purpose=Purpose.JUDGE)]
LOST = [call_pair(3, failed=True)[0]]
ENDED = [*CALLS[1::2], *JUDGED[1::2]]


def window(client: AsyncClient, database: str = "ledger", **bounds) -> LedgerWindow:
    return LedgerWindow(client, database, prices=lambda: PRICES, **bounds)


@pytest.fixture
async def client(module_clickhouse_url: str) -> AsyncIterator[AsyncClient]:
    async with open_client(module_clickhouse_url) as client:
        if await migrate(client, "ledger", retention_days=4000, body_retention_days=4000):
            ledger = Ledger(module_clickhouse_url, "ledger", SinkStats())
            entries = []
            for topic, records in (("r", RESULTS), ("c", CALLS + JUDGED + LOST), ("h", [hops(n) for n in range(40)])):
                for offset, record in enumerate(records):
                    position = Position("cluster", topic, 0, offset, int(BASE.timestamp() * 1000) + offset)
                    entries.append(Entry(position, rows_of(record, position, "none")))
            for _ in range(2):
                await ledger.insert(entries)
            await ledger.close()
            await RollupBuilder(client, "ledger", lifetime_s=3600).build()
        yield client


async def test_summary_adds_up(client):
    report = await summary(window(client))
    answered = [r for r in RESULTS if r.usage]
    assert report.requests == 40
    assert report.statuses == Counter(r.status.value for r in RESULTS)
    assert report.total_cost_usd == sum(call.cost_usd for call in ENDED)
    assert report.results_cost_usd == sum(r.cost_usd for r in RESULTS)
    assert {p.purpose: (p.calls, p.cost_usd) for p in report.purposes} == {
        "infer": (len(CALLS) // 2, sum(call.cost_usd for call in CALLS[1::2])),
        "judge": (len(JUDGED) // 2, sum(call.cost_usd for call in JUDGED[1::2])),
    }
    assert report.unknown_calls == 1
    frontier = sum(
        ((r.usage.input - r.usage.cached) * 5 + r.usage.cached * Decimal("0.5") + r.usage.output * 25) / 1_000_000
        for r in answered
    )
    assert report.frontier_cost_usd == frontier
    assert report.saved_share == pytest.approx(float(1 - report.total_cost_usd / frontier))
    assert report.escalations == sum(any("escalated" in a.why for a in r.route) for r in RESULTS)
    assert report.promotions == 0
    assert report.validations == sum(a.stage == "validate" for r in RESULTS for a in r.route)


async def test_summary_by_tier_and_user(client):
    report = await summary(window(client), top=1)
    assert [tier.tier for tier in report.tiers] == [1, 2, None]
    for tier in report.tiers:
        mine = [r for r in RESULTS if r.tier == tier.tier]
        assert tier.requests == len(mine)
        assert tier.share == len(mine) / 40
        assert tier.cost_usd == sum(r.cost_usd for r in mine)
        for found, values in (
            (tier.latency, [r.latency_ms for r in mine]),
            (tier.provider, [r.provider_ms for r in mine]),
            (tier.own, [r.latency_ms - r.provider_ms for r in mine]),
        ):
            cuts = statistics.quantiles(values, n=20, method="inclusive")
            assert (found.p50, found.p95) == pytest.approx((cuts[9], cuts[18]))
    costs: Counter[str] = Counter()
    for r in RESULTS:
        if r.user_id:
            costs[r.user_id] += r.cost_usd
    user, cost = costs.most_common(1)[0]
    assert [(u.user_id, u.cost_usd) for u in report.top_users] == [(user, cost)]
    assert report.top_users[0].share == pytest.approx(float(cost / report.results_cost_usd))


async def test_a_tag_and_a_window_restrict_the_summary(client):
    even = {r.request_id for r in RESULTS if "even" in r.tags}
    tagged = await summary(window(client, tag="even"))
    assert tagged.requests == len(even)
    assert tagged.total_cost_usd == sum(call.cost_usd for call in ENDED if call.request_id in even)
    assert tagged.unknown_calls == 0
    early = await summary(window(client, since=BASE, until=BASE + timedelta(milliseconds=10)))
    assert early.requests == 10
    nothing = await summary(window(client, until=BASE))
    assert (nothing.requests, nothing.total_cost_usd, nothing.saved_share, nothing.tiers) == (0, 0, None, ())


async def test_sharing_and_batches_are_added_up(module_clickhouse_url, capsys):
    """Three requests share call 7, two of them with a tag; call 8 leaves alone."""
    _, ended = shared_call(1, 2, 3)
    whole = call_pair(7)[1].cost_usd
    records = [*ended, call_pair(8)[1], result(1, tags=("some",)), result(2, tags=("some",)), result(3), result(8)]
    async with open_client(module_clickhouse_url) as client:
        await migrate(client, "sharing", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(module_clickhouse_url, "sharing", SinkStats())
        for offset, record in enumerate([*records, *records]):
            topic = "r" if isinstance(record, Result) else "c"
            position = Position("cluster", topic, 0, offset % len(records), int(BASE.timestamp() * 1000))
            await ledger.insert([Entry(position, rows_of(record, position, "none"))])
        await ledger.close()
        report = await summary(window(client, "sharing"))
        assert report.total_cost_usd == whole + call_pair(8)[1].cost_usd
        assert [(p.purpose, p.calls) for p in report.purposes] == [("infer", 2)]
        assert report.sharing == SharingSummary(shared_calls=1, saved_calls=2, saved_cost_usd=2 * whole)
        assert [tier.model_dump() for tier in report.departures] == [
            {
                "tier": 1,
                "calls": 2,
                "batch_size": 2.0,
                "batch_wait_ms": 6.0,
                "streamed": 1,
                "first_token_p50_ms": 80.0,
            }
        ]
        tagged = await summary(window(client, "sharing", tag="some"))
        alone = 2 * whole - ended[0].cost_usd - ended[1].cost_usd
        assert tagged.sharing == SharingSummary(shared_calls=1, saved_calls=1, saved_cost_usd=alone)
        show_summary(report, "groq/small")
        shown = capsys.readouterr().out
        assert "1 calls answered 3 requests; saved 2 calls" in shown
        assert "batches of 2.0 on average, which waited 6.0 ms; first text of 1 streams after 80 ms" in shown


async def test_without_sharing_nothing_is_saved(client):
    report = await summary(window(client))
    assert report.sharing == SharingSummary(shared_calls=0, saved_calls=0, saved_cost_usd=Decimal(0))
    assert [(tier.batch_size, tier.streamed, tier.first_token_p50_ms) for tier in report.departures] == [(1, 0, None)]


async def test_feedback_is_counted_once_however_often_it_was_told(module_clickhouse_url, capsys):
    """The retry of the first was told of twice, two kinds asked for one revision, and two kinds came at once."""
    told = [
        ("r1", 0, "wrong", "retried as revision 1"),
        ("r1", 0, "wrong", "retried as revision 1"),
        ("r1", 1, "schema_mismatch", "retried as revision 1"),
        ("r2", 2, "thumbs_up", "noted"),
        ("r2", 2, "rating", "noted"),
        ("r2", 3, "unmatched", "wrong: no result is known"),
        ("r2", 3, "wrong", "noted"),
        ("r3", 4, "unmatched", "rating: no result is known"),
    ]
    async with open_client(module_clickhouse_url) as client:
        await migrate(client, "said", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(module_clickhouse_url, "said", SinkStats())
        records = [result(1, tags=("some",)), *(feedback_hops(number, *one) for number, one in enumerate(told))]
        for offset, record in enumerate(records):
            topic = "r" if isinstance(record, Result) else "h"
            position = Position("cluster", topic, 0, offset, int(BASE.timestamp() * 1000) + 10_000)
            await ledger.insert([Entry(position, rows_of(record, position, "none"))])
        await ledger.close()
        report = await summary(window(client, "said"))
        kinds = {"wrong": 2, "rating": 1, "schema_mismatch": 1, "thumbs_up": 1}
        assert report.feedback == FeedbackSummary(matched=5, unmatched=1, retried=1, kinds=kinds)
        tagged = await summary(window(client, "said", tag="some"))
        assert tagged.feedback == FeedbackSummary(
            matched=2, unmatched=0, retried=1, kinds={"schema_mismatch": 1, "wrong": 1}
        )
        show_summary(report, "groq/small")
        shown = " ".join(capsys.readouterr().out.split())
        assert "5 on results (wrong 2, rating 1, schema_mismatch 1, thumbs_up 1), 1 unmatched; 1 answered anew" in shown


def feedback_hops(number: int, request_id: str, at_s: int, outcome: str, detail: str) -> Hops:
    at = BASE + timedelta(seconds=at_s)
    ended = at + timedelta(milliseconds=number)
    hop = Hop(stage="feedback", started_at=at, ended_at=ended, queue_ms=0, outcome=outcome, detail=detail)
    return Hops(request_id=request_id, hops=(hop,))


async def test_without_feedback_the_summary_has_none(client):
    assert (await summary(window(client))).feedback is None


async def test_trace_tells_the_story_in_order(client):
    story = await trace(client, "ledger", "r8")
    assert story is not None
    assert story.arrived_at == BASE + timedelta(milliseconds=8)
    assert [(hop.stage, hop.start_ms, hop.duration_ms) for hop in story.hops] == [
        ("classify", 0, 4),
        ("infer", 5, 20),
    ]
    assert story.hops[0].scores == (0.75, 0.25)
    _, ended = call_pair(8)
    assert story.hops[1].cost_usd == ended.cost_usd
    assert {(call.purpose, call.outcome, call.cost_usd) for call in story.calls} == {
        ("infer", "ok", ended.cost_usd),
        ("judge", "ok", ended.cost_usd),
    }
    assert [(r.status, r.latency_ms, r.own_ms) for r in story.results] == [("ok", 264, 106)]
    assert await trace(client, "ledger", "nobody") is None


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("bounds", [{}, {"until": BASE}], ids=["filled", "empty"])
async def test_every_report_can_be_asked_and_shown(client, name, bounds, capsys):
    found = await REPORTS[name](window(client, **bounds))
    assert json.loads(found.model_dump_json())
    show_report(name, found, load())
    show_figures(found)
    assert capsys.readouterr().out


def test_every_report_is_listed_and_every_query_is_asked():
    files = {module.name for module in iter_modules(analytics.reports.__path__)} - NO_REPORTS
    forgotten = files - {report.__module__.rpartition(".")[2] for report in REPORTS.values()}
    assert not forgotten, f"analytics/reports/__init__.py: no command asks {forgotten}: a line in REPORTS"
    sources = "".join(path.read_text() for root in ("analytics", "tierstream") for path in (ROOT / root).rglob("*.py"))
    names = set(re.findall(r'"(\w+)"', sources)) | {
        f"{kind}_{view}" for kind in BY_VIEW for view in ("requests", "calls", "hops")
    }
    queries = {path.stem for path in (ROOT / "analytics" / "queries").glob("*.sql")}
    unasked = queries - names
    assert not unasked, f"analytics/queries: nobody asks {unasked}"

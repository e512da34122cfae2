"""The figures of shadows on the real engine: each comparison once, costs of pairs, and what follows from them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.in_memory import SETTINGS
from support.ledger_records import BASE, batch_pair, call_pair, result

from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.ledger_window import LedgerWindow
from analytics.migrate import migrate
from analytics.rows import Position, rows_of
from streams.config.settings import Settings
from tierstream.cli.render.shadows import show_shadows
from tierstream.operations.shadow_report import ShadowCost, shadows_report
from topics.base import Record
from topics.events import Hop, Hops
from topics.journal import Purpose, attempt_id

AT_MS = int(BASE.timestamp() * 1000)
PRICE = Decimal("0.00002")
PLAN = {
    "name": "next",
    "tier": 1,
    "model": {"provider": "trusted", "model": "next"},
    "share": 1,
    "budget_usd_per_day": 5,
    "margin": 0.2,
}
CONFIGURED = Settings(**SETTINGS | {"shadow": [PLAN]})


@dataclass
class Written:
    """The ledger of a test, and where its next record goes."""

    client: AsyncClient
    ledger: Ledger
    offset: int = 0
    costs: Decimal = field(default_factory=Decimal)

    async def write(self, topic: str, *records: Record) -> None:
        for record in records:
            position = Position("cluster", topic, 0, self.offset, AT_MS + self.offset)
            await self.ledger.insert([Entry(position, rows_of(record, position, "none"))])
            self.offset += 1

    async def settle(self, n: int, **fields: Any) -> None:
        await self.write("r", result(n).model_copy(update=fields))

    async def report(self, name: str | None = None, **bounds: Any):
        return await shadows_report(LedgerWindow(self.client, "ledger", **bounds), CONFIGURED, name)


@pytest.fixture
async def written(clickhouse_url: str) -> AsyncIterator[Written]:
    async with open_client(clickhouse_url) as client:
        await migrate(client, "ledger", retention_days=4000, body_retention_days=4000)
        ledger = Ledger(clickhouse_url, "ledger", SinkStats())
        yield Written(client, ledger)
        await ledger.close()


def ended(n: int, outcome: str, *, name: str = "next", model: str = "next", cost: Decimal | None = PRICE) -> Hops:
    steps = [hop(n, "compared", name, "judge", 1), hop(n, "compared", name, "judge", 2)]
    last = hop(n, outcome, name, model, 0).model_copy(update={"cost_usd": cost})
    return Hops(request_id=f"r{n}", hops=(*steps, last) if outcome in {"win", "tie", "loss"} else (last,))


def hop(n: int, outcome: str, name: str, model: str, attempt: int) -> Hop:
    return Hop(
        stage="shadow",
        started_at=BASE,
        ended_at=BASE + timedelta(milliseconds=5),
        queue_ms=1.0,
        outcome=outcome,
        tier=1,
        attempt_id=attempt_id(f"r{n}", 0, "shadow", attempt),
        provider="trusted",
        model=model,
        provider_ms=40.0 + n,
        cost_usd=PRICE,
        detail=f"{name}: reasons: several",
    )


async def test_each_comparison_counts_once_however_often_it_was_told(written):
    for n, outcome in enumerate(("win", "tie", "loss", "win"), start=20):
        await written.write("h", ended(n, outcome), ended(n, outcome))
    await written.write("h", ended(30, "unaffordable", cost=None), ended(30, "win"), ended(31, "late", cost=None))
    await written.write("h", ended(32, "failed", cost=None), ended(33, "unjudged"))
    [found] = (await written.report()).shadows
    assert (found.name, found.model, found.is_configured) == ("next", "trusted/next", True)
    assert (found.wins, found.ties, found.losses, found.difference) == (3, 1, 1, 0.4)
    assert (found.failed, found.unjudged, found.unaffordable, found.late) == (1, 1, 0, 1)
    assert found.low < found.difference < found.high
    # Of no request there is a result yet.
    assert (found.candidate_cost_usd, found.incumbent_cost_usd, found.candidate_p50_ms) == (None, None, None)
    assert [(kind.query_type, kind.wins) for kind in found.types] == [("", 3)]


async def test_costs_and_times_are_of_the_pairs(written):
    for n, outcome in ((1, "win"), (2, "tie"), (5, "loss")):
        await written.settle(n)
        await written.write("h", ended(n, outcome))
    await written.write("h", ended(40, "win"), ended(7, "failed"))
    await written.settle(7)
    [found] = (await written.report()).shadows
    given = [call_pair(n)[1] for n in (1, 2, 5)]
    assert found.incumbent_cost_usd == sum(call.cost_usd for call in given) / 3
    assert found.candidate_cost_usd == PRICE
    assert (found.candidate_p50_ms, found.incumbent_p50_ms) == (42.0, sorted(call.provider_ms for call in given)[1])


async def test_what_a_batch_of_the_provider_answered_is_judged_and_its_cost_and_time_are_left_out(written):
    for n in (1, 2):
        await written.settle(n)
        await written.write("h", ended(n, "win"))
    await written.write("c", *call_pair(1), *batch_pair(2))
    [found] = (await written.report()).shadows
    assert found.wins == 2
    assert found.incumbent_cost_usd == call_pair(1)[1].cost_usd
    assert (found.candidate_p50_ms, found.incumbent_p50_ms) == (41.0, call_pair(1)[1].provider_ms)


async def test_a_type_on_which_the_candidate_is_worse_is_named_and_the_margin_is_that_of_the_settings(written):
    n = 100
    for kind, outcomes in (("faq", ("win",) * 80), ("code", ("loss",) * 40)):
        for outcome in outcomes:
            n += 1
            await written.settle(1, request_id=f"r{n}", query_type=kind)
            await written.write("h", ended(n, outcome))
    [found] = (await written.report()).shadows
    assert {kind.query_type: kind.is_worse for kind in found.types} == {"faq": False, "code": True}
    assert [kind.query_type for kind in found.types] == ["faq", "code"]
    assert (found.decision, found.reason) == ("stay", "it is worse by more than 20% on code")


async def test_a_name_a_tag_and_a_window_restrict_the_report_and_each_candidate_is_told_apart(written, capsys):
    await written.write("h", ended(50, "win"), ended(51, "win", model="before"), ended(52, "tie", name="next-2"))
    await written.settle(1, request_id="r50", tags=("run",))
    assert [(one.name, one.model) for one in (await written.report()).shadows] == [
        ("next", "trusted/before"),
        ("next", "trusted/next"),
        ("next-2", "trusted/next"),
    ]
    assert [one.name for one in (await written.report("next-2")).shadows] == ["next-2"]
    assert [one.wins for one in (await written.report(tag="run")).shadows] == [1]
    empty = await written.report(since=BASE + timedelta(days=1))
    assert (empty.shadows, empty.costs) == ((), ())
    for report in (await written.report(), empty):
        show_shadows(report)
    shown = capsys.readouterr().out
    assert "next: trusted/before (not in the settings)" in shown
    assert "no shadow has ended a comparison in this window" in shown


async def test_what_a_shadow_costs_is_told_by_its_calls(written):
    for n in (1, 2):
        for attempt in range(3):
            changed = {
                "purpose": Purpose.SHADOW,
                "stage": "shadow",
                "n": attempt,
                "attempt_id": attempt_id(f"r{n}", 0, "shadow", attempt),
                "call_id": attempt_id(f"r{n}", 0, "a call", attempt),
            }
            await written.write("c", *(call.model_copy(update=changed) for call in call_pair(n)))
        await written.write("c", *call_pair(n))
    await written.write("h", ended(1, "win"), ended(1, "win"))
    cost = {n: call_pair(n)[1].cost_usd for n in (1, 2)}
    named, unnamed = {
        n: {"candidate_calls": 1, "judge_calls": 2, "candidate_cost_usd": cost[n], "judge_cost_usd": 2 * cost[n]}
        for n in (1, 2)
    }.values()
    found = (await written.report()).costs
    assert found == (ShadowCost(name="", **unnamed), ShadowCost(name="next", **named))
    assert (await written.report("next")).costs == (ShadowCost(name="next", **named),)

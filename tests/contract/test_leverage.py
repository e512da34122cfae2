"""What could move, and what a tier in between would save, on the real engine."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from support.made_ledger import START, make_ledger

from analytics.change.periods import whole_period
from analytics.clickhouse import open_client
from analytics.leverage.page import leverage_page
from analytics.leverage.report import LeverageReport, leverage
from analytics.leverage.split_report import Assumed, SplitReport, split_tiers
from streams.config.settings import load
from tierstream.bench.ledger_plants import Plants
from tierstream.cli.render.leverage import show_leverage
from tierstream.cli.render.split import show_split
from tierstream.operations.model_facts import FactsOfModels, middle_models

DAYS = 3
PERIOD = whole_period(START + timedelta(days=DAYS + 1), START, START + timedelta(days=DAYS + 1), timedelta(days=30))
DATABASE = "leverage"


@pytest.fixture(scope="module")
def ledger(clickhouse_server):
    asyncio.run(make_ledger(clickhouse_server.url, DATABASE, requests=3000, days=DAYS, plants=Plants()))
    yield clickhouse_server
    clickhouse_server.drop_databases()


async def asked(ledger, margin: float = 0.3) -> LeverageReport:
    async with open_client(ledger.url) as client:
        facts = FactsOfModels(load())
        return await leverage(client, DATABASE, PERIOD, facts, margin=margin, discount=Decimal("0.2"))


async def split(ledger, margin: float = 0.05) -> SplitReport:
    facts = FactsOfModels(load())(middle_models())
    async with open_client(ledger.url) as client:
        assumed = Assumed(1, margin, (0.5, 1.0))
        return await split_tiers(client, DATABASE, PERIOD, [facts[ref] for ref in middle_models()], assumed)


async def test_spend_by_provider_and_model_is_that_of_the_ledger(ledger):
    found = await asked(ledger)
    paid = dict(
        line.split("\t")
        for line in ledger.ask(
            f"SELECT concat(provider, '/', model), sum(cost_usd) FROM {DATABASE}.calls WHERE event = 'ended' GROUP BY 1"
        )
    )
    told = {model.model: model.cost_usd for one in found.providers for model in one.models}
    assert told == {ref: Decimal(usd) for ref, usd in paid.items()}
    assert sum(told.values()) == found.cost_usd == sum(one.cost_usd for one in found.providers)
    assert found.not_compared == ()


async def test_what_moves_is_a_part_of_what_was_spent_and_goes_to_somebody_else(ledger):
    found = await asked(ledger)
    assert any(one.movable_usd for one in found.providers)
    for one in found.providers:
        assert one.movable_usd + one.more_with_discount_usd + one.more_after_trial_usd <= one.cost_usd
        for move in one.moves:
            assert move.source.startswith(f"{one.provider}/")
            assert not move.target.startswith(f"{one.provider}/")
            assert move.low >= -0.3
            assert move.discount_saving_usd >= max(move.list_saving_usd, Decimal(0))
            assert move.needs_trial == (move.target_tier < move.tier)
        sums = [sum(m.cost_usd for m in one.moves if m.list_saving_usd >= 0 and not m.needs_trial), one.movable_usd]
        assert sums[0] == sums[1]


async def test_less_evidence_than_the_margin_needs_moves_nothing(ledger):
    found = await asked(ledger, margin=0.001)
    assert not any(one.movable_usd for one in found.providers)


async def test_it_is_shown_and_makes_a_page(ledger, capsys):
    found = await asked(ledger)
    show_leverage(found)
    shown = capsys.readouterr().out
    assert all(one.provider in shown for one in found.providers)
    assert json.loads(found.model_dump_json())
    assert leverage_page(found).count("<section") == len(found.providers)


async def test_a_split_counts_every_answer_of_the_upper_tier(ledger, capsys):
    found = await split(ledger)
    [line] = ledger.ask(f"SELECT count() FROM {DATABASE}.requests WHERE tier = 2")
    assert found.upper_requests == int(line)
    assert found.read_share == 1
    for one in found.proposals:
        assert sum(part.requests for part in one.parts) == found.upper_requests
        assert one.requests == sum(part.requests for part in one.parts if part.moves)
        for part in one.parts:
            assert part.good.low <= part.good.value <= part.good.high
            assert part.good.value <= part.upper_good + 1e-9
            assert part.saving_usd.low > 0 or not part.moves
    show_split(found)
    assert "is taken to close 50% to 100% of the gap" in capsys.readouterr().out


async def test_no_model_in_between_that_is_dearer_pays(ledger):
    frontier = FactsOfModels(load())(["anthropic/claude-opus-5-5"])["anthropic/claude-opus-5-5"]
    async with open_client(ledger.url) as client:
        found = await split_tiers(client, DATABASE, PERIOD, [frontier], Assumed(1, 0.05, (0.5, 1.0)))
    [one] = found.proposals
    assert not one.pays
    assert "not surely less than what is saved" in one.reason

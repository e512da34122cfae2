"""Why the cost changed, on the real engine: effects add up to what the ledger says was paid, for any two periods."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from support.made_ledger import START, make_ledger

from analytics.change.decomposition import Effect
from analytics.change.periods import compared_periods
from analytics.change.report import CostChange, cost_change
from analytics.change.rounding import CENT, rounded_to, to_step
from analytics.clickhouse import open_client
from analytics.period import Period
from tierstream.bench.ledger_plants import Plants, PriceChange
from tierstream.cli.render.cost_change import show_change

DAYS, CHANGED = 6, 3
PLANT = PriceChange(day=CHANGED, factor=Decimal(2))
DEARER = f"{PLANT.provider}/{PLANT.model}"
NOW = START + timedelta(days=DAYS + 1)
PAID = "SELECT sum(cost_usd) FROM changes.calls WHERE event = 'ended' AND at >= '{}' AND at < '{}'"


@pytest.fixture(scope="module")
def ledger(clickhouse_server):
    asyncio.run(
        make_ledger(clickhouse_server.url, "changes", requests=2000, days=DAYS, plants=Plants(price_change=PLANT))
    )
    yield clickhouse_server
    clickhouse_server.drop_databases()


@pytest.fixture
async def compare(ledger):
    async with open_client(ledger.url) as client:

        async def ask(periods: tuple[Period, Period], **more) -> CostChange:
            return await cost_change(client, "changes", periods, **more)

        yield ask


def paid(ledger, period) -> Decimal:
    bounds = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (period.since, period.until))
    [sum_] = ledger.ask(PAID.format(*bounds))
    return Decimal(sum_)


def random_pairs() -> list[tuple[Period, Period]]:
    """Twenty pairs of periods, which may overlap and be of unlike length, every fifth in days."""
    draw = Random(14)
    pairs = []
    while len(pairs) < 20:
        hours = [sorted(draw.sample(range(-3, DAYS * 24 + 3), 2)) for _ in range(2)]
        (since, until), (versus_since, versus_until) = ([START + timedelta(hours=h) for h in pair] for pair in hours)
        if len(pairs) % 5 == 4:
            # Days are read where one is longer than eight of them.
            versus_since -= timedelta(days=9)
        pairs.append(compared_periods(NOW, since, until, versus_since, versus_until))
    return pairs


async def test_twenty_random_pairs_of_periods_add_up_to_the_ledger(ledger, compare):
    changed = 0
    for number, (before, after) in enumerate(random_pairs()):
        found = await compare((before, after), by="model" if number % 2 else "feature", top=2)
        assert found.before.cost_usd == paid(ledger, before)
        assert found.after.cost_usd == paid(ledger, after)
        assert found.difference_usd == found.after.cost_usd - found.before.cost_usd
        assert sum(one.usd for one in found.effects) == found.difference_usd
        rows = [*found.rows, *filter(None, [found.others])]
        assert sum(row.difference_usd for row in rows) == found.difference_usd
        assert all(sum(row.effects.values()) == row.difference_usd for row in rows)
        for one in found.effects:
            assert sum(row.effects[one.effect] for row in rows) == one.usd
        cents = to_step(found.difference_usd, CENT)
        assert sum(rounded_to({one.effect: one.usd for one in found.effects}, cents, CENT).values()) == cents
        changed += found.difference_usd != 0
    assert changed == 20


async def test_a_price_that_doubled_is_found_at_its_model_alone(compare):
    middle, end = START + timedelta(days=CHANGED), START + timedelta(days=DAYS)
    found = await compare(compared_periods(NOW, middle, end, START, middle), top=20)
    prices = {row.key: row.effects[Effect.PRICE] for row in found.rows}
    [dearer] = [row for row in found.rows if row.key == DEARER]
    # Half of what it cost after, at the volume in between.
    assert dearer.before_usd * Decimal("0.6") < prices[DEARER] < dearer.after_usd * Decimal("0.7")
    others = sum(abs(usd) for key, usd in prices.items() if key != DEARER)
    assert others < prices[DEARER] / 50
    [effect] = [one for one in found.effects if one.effect is Effect.PRICE]
    assert effect.mostly[0].key == DEARER


async def test_users_add_up_too(ledger, compare):
    periods = compared_periods(NOW, START + timedelta(days=3), START + timedelta(days=5))
    found = await compare(periods, by="user", top=5)
    assert len(found.rows) == 5
    for row in found.rows:
        assert set(row.effects) == {Effect.VOLUME, Effect.MIX, Effect.TOKENS, Effect.PRICE}
        assert sum(row.effects.values()) == row.difference_usd == row.after_usd - row.before_usd
    assert sum(row.difference_usd for row in found.rows) + found.others.difference_usd == found.difference_usd
    differences = [abs(row.difference_usd) for row in found.rows]
    assert differences == sorted(differences, reverse=True)


@pytest.mark.parametrize("by", ["model", "provider", "tier", "feature", "query_type", "purpose", "user"])
async def test_it_is_shown_in_cents_that_add_up(compare, capsys, by):
    found = await compare(compared_periods(NOW, START + timedelta(days=3), START + timedelta(days=6)), by=by)
    show_change(found)
    lines = capsys.readouterr().out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("effect"))
    shown = [
        line.split("$")[0][-1] + line.split("$")[1].split()[0] for line in lines[start + 1 : start + 8] if "$" in line
    ]
    *parts, total = [Decimal(one.strip()) for one in shown]
    assert sum(parts) == total


async def test_an_empty_ledger_has_no_difference(compare, capsys):
    long_ago = compared_periods(START - timedelta(days=100))
    found = await compare(long_ago)
    assert (found.difference_usd, found.rows, found.others) == (0, (), None)
    show_change(found)
    assert "in all" in capsys.readouterr().out

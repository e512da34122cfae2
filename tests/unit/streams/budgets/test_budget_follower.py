"""Processes on one log of budgets: they agree, a new one begins at a snapshot, and one that is alone begins the log."""

import asyncio
from decimal import Decimal

from support.budget_world import call, release, reservation, spending
from support.in_memory import BASE_MS, SETTINGS, Clock, Log

from streams.budgets.budgets import Budgets
from streams.budgets.money import usd_of
from streams.config.settings import Settings
from streams.kafka.publisher import Output
from topics.budgets import BudgetSnapshot, Spending
from topics.registry import BUDGETS

BUDGET = {"name": "b", "by": "user", "usd": "1", "window": "1h", "hard": "reject"}


class World:
    """A log, and processes that follow it."""

    def __init__(self):
        self.clock = Clock()
        self.log = Log(self.clock)
        self.tasks = []

    async def process(self, *budgets):
        settings = Settings(**SETTINGS, budgets=budgets or (BUDGET,))
        made, ready = Budgets(settings, self.log, self.clock, f"w{len(self.tasks)}", self.log), asyncio.Event()
        self.tasks.append(asyncio.create_task(made.run(ready)))
        # In memory there is nothing to read at first, so that nothing tells of an end.
        for _ in range(50):
            await asyncio.sleep(0)
        return made

    async def write(self, *records):
        await self.log.publish([Output(BUDGETS, record) for record in records])
        for _ in range(20):
            await asyncio.sleep(0)


def spent(budgets, at_ms=BASE_MS):
    return {(a.plan.name, a.key): usd_of(amount) for a, amount in budgets.state.sums(at_ms)}


async def test_whoever_is_first_begins_the_log():
    world = World()
    await world.process()
    await world.process()
    [begun] = world.log.published
    assert (begun.offset, [one.name for one in begun.budgets], begun.claims) == (0, ["b"], ())
    assert int(begun.budgets[0].since.timestamp() * 1000) == BASE_MS


async def test_a_process_that_starts_later_knows_the_same():
    world = World()
    first = await world.process()
    await world.write(spending(1, "0.3"), spending(2, "0.2", user="bob"), reservation(3, "0.5"), spending(1, "0.3"))
    second = await world.process()
    assert spent(first) == spent(second) == {("b", "ann"): Decimal("0.3"), ("b", "bob"): Decimal("0.2")}
    assert second.state.claims.keys() == first.state.claims.keys() == {call(3)}


async def test_it_begins_at_a_snapshot_and_remembers_what_was_counted_before(monkeypatch):
    monkeypatch.setattr("streams.budgets.budgets._SNAPSHOT_EVERY", 10)
    monkeypatch.setattr("streams.budgets.budgets._RECORDS_AN_ENTRY", 0)
    world = World()
    first = await world.process()
    for n in range(25):
        # Whoever publishes the tenth record writes a snapshot.
        await first._publish([spending(n, "0.01")])
        for _ in range(20):
            await asyncio.sleep(0)
    snapshots = [record for record in world.log.published if isinstance(record, BudgetSnapshot)]
    assert [one.offset for one in snapshots] == [0, 10, 20]
    second = await world.process()
    assert spent(second) == spent(first) == {("b", "ann"): Decimal("0.25")}
    # A spending of before the snapshot, written down again.
    await world.write(spending(3, "0.01"))
    assert spent(second) == spent(first) == {("b", "ann"): Decimal("0.25")}


async def test_a_budget_that_is_new_counts_what_the_log_has():
    world = World()
    await world.process()
    await world.write(spending(1, "0.3", tags=("x",)), release(9))
    more = await world.process(BUDGET, {"name": "tags", "by": "tag", "usd": "1", "window": "1d"})
    assert spent(more) == {("b", "ann"): Decimal("0.3"), ("tags", "x"): Decimal("0.3")}
    assert more.state.since_ms == {"b": BASE_MS, "tags": BASE_MS}


async def test_after_a_long_time_the_window_is_empty():
    world = World()
    await world.process()
    await world.write(spending(1, "0.9"))
    world.clock.advance(4000)
    late = await world.process()
    assert not any(spent(late, BASE_MS + 4_000_000).values())
    assert [type(record) for record in world.log.published] == [BudgetSnapshot, Spending]

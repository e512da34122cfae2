"""Budgets have room for each call until it has ended, at the price of batches."""

from collections import Counter
from decimal import Decimal
from typing import Any

from support.bulk_world import BulkWorld, bulk_task, come_to_rest, request_ids
from support.fake_batches import HOUR
from support.in_memory import BASE, CALL_COST, provider_error

from streams.providers.base import ErrorKind
from topics.budgets import Reservation, Spending
from topics.tasks import Waited

R1, R2 = request_ids(2)
HALF = CALL_COST / 2


def budget_of(usd: str) -> dict[str, Any]:
    return {"budgets": [{"name": "all", "by": "all", "usd": Decimal(usd), "window": "1h", "hard": "reject"}]}


async def test_room_is_held_at_the_price_of_batches_and_what_was_spent_is_written_down():
    world = await BulkWorld.with_tasks(bulk_task(R1), settings=budget_of("1"))
    await come_to_rest()
    await world.look()
    [held] = world.of(Reservation)
    [begun] = world.started
    assert held.call_id == begun.call_id
    assert held.expires_at >= bulk_task(R1).task.deadline
    claims = world.bench.engine.budgets.state.claims
    assert set(claims) == {held.call_id}
    caller, call = world.bench.engine.caller, next(iter(world.batches.calls.values()))
    assert held.most_usd == caller.most_cost(call.model, call.prompt, BASE, batch=True)
    assert held.most_usd * 2 == caller.most_cost(call.model, call.prompt, BASE)
    await world.serve(2 * HOUR)
    assert [(spent.call_id, spent.cost_usd) for spent in world.of(Spending)] == [(held.call_id, HALF)]
    assert not world.bench.engine.budgets.state.claims


async def test_what_there_is_no_room_for_goes_back_at_once():
    most_usd = Decimal("0.006")  # room for one call of at most 1024 tokens
    world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2), settings=budget_of(str(most_usd)))
    await come_to_rest()
    await world.look()
    assert [task.request.request_id for task in world.returned] == [R2]
    assert [call.request_id for call in world.started] == [R1]
    assert world.returned[0].waited == Waited(tier=1)
    await world.serve(2 * HOUR)
    assert Counter(task.request.request_id for task in world.returned) == {R1: 1, R2: 1}


async def test_the_next_owner_holds_no_more_for_the_same_call():
    world = await BulkWorld.with_tasks(bulk_task(R1), settings=budget_of("1"), poll_s=30)
    await come_to_rest()
    world.batches.told = [provider_error(ErrorKind.CONNECTION)]
    await world.look()
    await world.restart()
    await world.serve(3 * HOUR)
    assert len({held.call_id for held in world.of(Reservation)}) == 1
    assert not world.bench.engine.budgets.state.claims
    assert sum(spent.cost_usd for spent in world.of(Spending)) == HALF

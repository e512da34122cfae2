"""Stages under budgets: who is rejected, who is lowered, what is held, and that all that was paid is written down."""

import asyncio
from decimal import Decimal

import pytest
from support.handler_runs import all_of, completion, kinds, new, only, run, topics_of
from support.in_memory import CALL_COST, SETTINGS, FakeProvider, new_request, new_task, provider_error

from agents.classify import classify
from agents.infer import infer
from agents.validate import validate
from streams.kafka.lease import PartitionLostError
from streams.providers.base import ErrorKind
from topics.alerts import Alert
from topics.budgets import BudgetSnapshot, Release, Reservation, Spending
from topics.events import Hops
from topics.journal import CallEnded, CallStarted
from topics.results import Outcome, ResultStatus
from topics.tasks import Answer, Parked, TierTask

ANN = {"user_id": "ann"}


def budget(usd="0.003", hard="reject", **more):
    return {"name": "users", "by": "user", "usd": Decimal(usd), "window": "1h", "hard": hard} | more


async def bench_with(*budgets, config=None, **scripts):
    bench = new({**SETTINGS, "budgets": budgets, **(config or {})}, **scripts)
    await settled(bench)
    return bench


async def settled(bench):
    """Let the follower come to the end of the log."""
    for _ in range(20):
        await asyncio.sleep(0)


def task_of(n, **fields):
    return new_task(new_request(request_id=f"r{n}", **ANN), **fields)


async def infer_one(bench, n, tier=1, **fields):
    outputs = await run(infer, task_of(n, tier=tier, **fields), bench, f"infer:{tier}", request_id=f"r{n}")
    await settled(bench)
    return outputs


def spent(bench):
    now_ms = int(bench.clock().timestamp() * 1000)
    return {a.key: Decimal(amount).scaleb(-12) for a, amount in bench.engine.budgets.state.sums(now_ms) if amount}


async def test_a_call_is_held_room_for_and_written_down_once_the_journal_has_it():
    bench = await bench_with(budget())
    await infer_one(bench, 1)
    assert [type(record) for record in bench.log.published] == [
        BudgetSnapshot,
        Reservation,
        CallStarted,
        CallEnded,
        Spending,
    ]
    [asked], [ended] = bench.published(Reservation), bench.published(CallEnded)
    assert (asked.call_id, asked.budgets) == (ended.call_id, ("users",))
    assert asked.most_usd > ended.cost_usd == CALL_COST
    assert spent(bench) == {"ann": CALL_COST}
    assert not bench.engine.budgets.state.claims


async def test_an_exhausted_budget_rejects_where_a_request_comes_in_and_before_a_call():
    bench = await bench_with(budget())
    await infer_one(bench, 1)
    await infer_one(bench, 2)
    assert spent(bench) == {"ann": 2 * CALL_COST}
    for outputs in (
        await infer_one(bench, 3),
        await run(classify, new_request(request_id="r4", **ANN), bench, "classify", request_id="r4"),
    ):
        outcome = only(outputs, Outcome)
        assert (outcome.status, outcome.error.code, outcome.cost_usd) == (ResultStatus.REJECTED, "budget", 0)
        assert outcome.error.message.startswith("budget users (user:ann): $0.004 of $0.003 in 1h spent, there is room")
        assert (outcome.user_id, outcome.hops[-1].outcome) == ("ann", "rejected")
    assert len(list(bench.published(CallStarted))) == 2
    # Nobody is asked for room that can't be there.
    assert len(list(bench.published(Reservation))) == 2
    other = await run(classify, new_request(request_id="r5", user_id="bob"), bench, "classify", request_id="r5")
    assert topics_of(other, TierTask) == ["tier1"]


async def test_there_is_room_again_once_the_window_has_moved_on():
    bench = await bench_with(budget("0.002"))
    await infer_one(bench, 1)
    bench.clock.advance(3601)
    deadline = bench.clock().replace(year=2030)
    assert only(await infer_one(bench, 2, deadline=deadline), Outcome).status is ResultStatus.OK


async def test_calls_at_the_same_time_wait_for_each_other_and_use_the_budget_up():
    bench = await bench_with(budget("0.0115"))
    outputs = await asyncio.gather(*(infer_one(bench, n) for n in range(20)))
    statuses = [only(one, Outcome).status for one in outputs]
    # Each may cost up to $0.0104, so they go one after the other; the last one passes the limit by a part of itself.
    assert statuses.count(ResultStatus.OK) == 6
    assert spent(bench) == {"ann": 6 * CALL_COST}


async def test_a_task_rests_while_the_budget_is_held_for_other_calls():
    config = {"attempts": {"patience_s": 0.05}}
    provider = FakeProvider()
    provider.gate = asyncio.Event()
    bench = await bench_with(budget("0.0115"), config=config, fast=provider)
    first = asyncio.create_task(infer_one(bench, 1))
    await provider.called.wait()
    parked = only(await infer_one(bench, 2), Parked)
    assert parked.reason == "budget users is held for other calls"
    provider.gate.set()
    assert only(await first, Outcome).status is ResultStatus.OK
    assert only(await infer_one(bench, 2), Outcome).status is ResultStatus.OK
    assert not bench.engine.budgets.state.claims


async def test_what_is_given_up_is_given_back():
    bench = await bench_with(budget("0.012"))
    holding = iter([True])
    with pytest.raises(PartitionLostError):
        await run(infer, task_of(1), bench, "infer:1", holds=lambda: next(holding, False))
    await settled(bench)
    [asked], [given_back] = bench.published(Reservation), bench.published(Release)
    assert asked.call_id == given_back.call_id
    assert not bench.engine.budgets.state.claims


async def test_a_call_that_fails_lets_go_what_was_held():
    bench = await bench_with(budget("0.012"), fast=FakeProvider(provider_error(ErrorKind.OVERLOADED)))
    outcome = only(await infer_one(bench, 1), Outcome)
    assert (outcome.status, outcome.model) == (ResultStatus.OK, "b")
    assert [one.cost_usd for one in bench.published(Spending)] == [0, CALL_COST]
    assert not bench.engine.budgets.state.claims


async def test_what_a_dead_process_has_journalled_is_written_down_by_the_next():
    bench = await bench_with(budget("1", "none"))
    budgets, spend = bench.engine.budgets, bench.engine.budgets.spend

    async def dies(calls):
        raise ConnectionError

    budgets.spend = dies
    with pytest.raises(ConnectionError):
        await infer_one(bench, 1)
    assert list(bench.published(Spending)) == []
    budgets.spend = spend
    for _ in range(2):
        assert only(await infer_one(bench, 1), Outcome).status is ResultStatus.OK
    assert len(list(bench.published(Spending))) == len(list(bench.published(CallEnded))) == 1
    assert spent(bench) == {"ann": CALL_COST}


async def test_a_call_of_long_ago_is_looked_for_on_the_log():
    bench = await bench_with(budget("1", "none", window="7d"))
    first = task_of(1)
    await run(infer, first, bench, "infer:1")
    await settled(bench)
    bench.clock.advance(86_400)
    # A day later the memory of spendings has nothing of it any more.
    await infer_one(bench, 2, deadline=bench.clock().replace(year=2030))
    await infer_one(bench, 3, deadline=bench.clock().replace(year=2030))
    assert len(bench.engine.budgets.state._seen) < 3
    await run(infer, first, bench, "infer:1")
    await settled(bench)
    assert spent(bench) == {"ann": 3 * CALL_COST}


async def test_without_a_hard_budget_nothing_is_asked_for():
    bench = await bench_with(budget("0.001", "none"))
    await infer_one(bench, 1)
    await infer_one(bench, 2)
    assert list(bench.published(Reservation)) == []
    assert spent(bench) == {"ann": 2 * CALL_COST}
    nobody = await run(infer, new_task(new_request(request_id="r3")), bench, "infer:1", request_id="r3")
    assert only(nobody, Outcome).status is ResultStatus.OK
    assert len(list(bench.published(Spending))) == 2


async def test_who_has_spent_what_passes_a_level_tells_of_it():
    bench = await bench_with(budget("0.004", soft_at=0.5))
    await infer_one(bench, 1)
    await infer_one(bench, 2)
    soft, exhausted = bench.published(Alert)
    assert (soft.kind, soft.key, soft.spent_usd, soft.limit_usd) == (
        "budget_soft",
        "user:ann",
        CALL_COST,
        Decimal("0.004"),
    )
    assert (soft.title, soft.evidence) == ("budget users of user:ann is used up by 50%", ("r1",))
    assert (exhausted.kind, exhausted.title) == ("budget_exhausted", "budget users of user:ann is exhausted")
    assert soft.id != exhausted.id


async def test_an_exhausted_budget_that_lowers_is_a_ceiling():
    bench = await bench_with(budget("0.001", "lower"))
    asked = new_request(request_id="r2", min_tier=3, **ANN)
    [before] = all_of(await run(classify, asked, bench, "classify", request_id="r2"), TierTask)
    assert before.tier == 3
    await infer_one(bench, 1, tier=2)
    task = only(await run(classify, asked, bench, "classify", request_id="r2"), TierTask)
    assert (task.tier, task.decision.floor, task.decision.ceiling) == (1, 1, 1)
    assert "budget users" in task.decision.reasons
    # What it leaves is served, whatever was spent.
    outcome = only(await run(infer, task, bench, "infer:1", request_id="r2"), Outcome)
    assert (outcome.status, outcome.tier) == (ResultStatus.OK, 1)


async def test_a_task_that_is_on_its_way_is_lowered():
    bench = await bench_with(budget("0.001", "lower"))
    await infer_one(bench, 1, tier=2)
    outputs = await infer_one(bench, 2, tier=3)
    down = only(outputs, TierTask)
    assert (down.tier, down.decision.ceiling, down.why) == (1, 1, "lowered from tier 3: budget users")
    assert (topics_of(outputs, TierTask), down.hops[-1].outcome) == (["tier1"], "lowered")
    assert Hops not in kinds(outputs)


async def test_an_answer_of_a_lower_tier_goes_out_where_a_better_one_is_too_dear():
    bench = await bench_with(budget("0.001", "lower"))
    await infer_one(bench, 1, tier=2)
    outcome = only(await infer_one(bench, 2, tier=2, best=completion()), Outcome)
    assert (outcome.status, outcome.content) == (ResultStatus.DEGRADED, "an answer")
    assert outcome.reason.startswith("budget users (user:ann): $0.002 of $0.001")


async def test_a_judge_is_not_asked_beyond_the_budget():
    bench = await bench_with(budget("0.001"))
    await infer_one(bench, 1)
    answer = Answer(task=task_of(2, validate_answer=True), completion=completion())
    outcome = only(await run(validate, answer, bench, "validate", request_id="r2"), Outcome)
    assert (outcome.status, outcome.hops[-1].outcome) == (ResultStatus.OK, "unjudged")
    assert len(list(bench.published(CallStarted))) == 1


async def test_each_share_of_a_call_is_charged_to_who_shares_it():
    config = {"tiers": [{**tier, "batching": {"shared_features": ["help"]}} for tier in SETTINGS["tiers"]]}
    provider = FakeProvider()
    provider.gate = asyncio.Event()
    bench = await bench_with(budget("1"), config=config, fast=provider)
    users = ("ann", "bob")
    tasks = [new_task(new_request(request_id=f"r{n}", user_id=user, feature="help")) for n, user in enumerate(users)]
    calls = bench.calls("infer:1")
    running = [
        asyncio.create_task(run(infer, task, bench, "infer:1", request_id=task.request.request_id, calls=calls))
        for task in tasks
    ]
    await provider.called.wait()
    await settled(bench)
    provider.gate.set()
    await asyncio.gather(*running)
    await settled(bench)
    assert len(provider.calls) == 1
    assert spent(bench) == {"ann": CALL_COST / 2, "bob": CALL_COST / 2}
    assert [len(list(bench.published(Reservation))), len(list(bench.published(Release)))] == [1, 0]


async def test_an_open_breaker_is_no_reason_to_hold_money():
    bench = await bench_with(budget("1"))
    bench.engine.gate.order("fast/a", "open")
    assert only(await infer_one(bench, 1), Outcome).model == "b"
    assert len(list(bench.published(Reservation))) == 1

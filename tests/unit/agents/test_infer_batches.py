"""Who waits for a batch of the provider, and how a task goes on that comes back from one."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from support.bulk_world import BULK_SETTINGS, HOME, bulk_task, call_started, come_to_rest
from support.handler_runs import BUSY, all_of, kinds, new, only, run
from support.in_memory import BASE, CALL_COST, SETTINGS, USAGE, Bench, FakeProvider, provider_error

from agents.infer import infer
from streams.config.settings import Settings
from streams.control.control_state import Learned
from streams.kafka.publisher import Delivered, Output
from streams.providers.base import ErrorKind
from topics.bulk import BulkTask
from topics.events import Status, StatusKind
from topics.journal import CallEnded, CallError, CallStarted
from topics.learned import CanaryState
from topics.registry import CALLS, SETTLED
from topics.results import Cancelled, Outcome, ResultStatus
from topics.tasks import TierTask, Waited

R1 = "r1"


@pytest.fixture
async def bench() -> Bench:
    return new(BULK_SETTINGS)


def task_of(**fields: Any) -> TierTask:
    return bulk_task(R1, **fields).task


def ended(error: ErrorKind | None = None, **fields: Any) -> CallEnded:
    """The end of its first call."""
    how = {
        "ended_at": BASE + timedelta(hours=1),
        "provider_batch": "batch_0",
        "error": None if error is None else CallError(kind=error, message="it is over"),
    }
    if error is None:
        how |= {"content": "an answer", "finish_reason": "stop", "usage": USAGE, "cost_usd": CALL_COST / 2}
    return call_started(R1).end(**how | fields)


def journal(bench: Bench, call: CallStarted | CallEnded) -> Delivered:
    return bench.log.append(Output(CALLS, call))


async def waits(bench: Bench, task: TierTask, stage: str = "infer:1") -> bool:
    """Run the stage, and say whether the task waits; nothing was paid then."""
    paid = len(list(bench.published(CallStarted)))
    outputs = await run(infer, task, bench, stage)
    is_waiting = BulkTask in kinds(outputs)
    if is_waiting:
        assert len(list(bench.published(CallStarted))) == paid
    return is_waiting


async def test_a_bulk_task_waits_and_its_requester_is_told(bench):
    outputs = await run(infer, task_of(), bench, "infer:1")
    assert kinds(outputs) == [BulkTask, Status]
    bulk = only(outputs, BulkTask)
    assert (bulk.stage, bulk.provider, bulk.model, bulk.partition_key) == ("infer:1", "fast", "a", R1)
    assert bulk.task.model_copy(update={"hops": ()}) == task_of()
    [hop] = bulk.task.hops
    assert (hop.stage, hop.outcome, hop.provider, hop.model) == ("infer:1", "batched", "fast", "a")
    [event] = only(outputs, Status).events
    assert (event.kind, event.tier, event.provider, event.model) == (StatusKind.BATCHED, 1, "fast", "a")
    assert event.detail == hop.detail == "waits for a batch of fast/a"
    assert not list(bench.published(CallStarted))


@pytest.mark.parametrize(
    "fields",
    [
        {"request": {"service_class": "standard"}},
        {"request": {"service_class": "interactive"}},
        {"request": {"stream": True}},
        {"waited": Waited(tier=1)},
        {"hours": 0.249},
        {"deadline": BASE},
    ],
    ids=["standard", "interactive", "streamed", "has waited", "no time", "too late"],
)
async def test_others_do_not_wait(bench, fields):
    request = {"service_class": "bulk", **fields.get("request", {})}
    task = task_of(**{name: value for name, value in fields.items() if name != "request"})
    task = task.model_copy(update={"request": task.request.model_validate(task.request.model_dump() | request)})
    assert not await waits(bench, task)


async def test_a_quarter_of_an_hour_is_time_enough(bench):
    assert await waits(bench, task_of(hours=0.25))


async def test_who_has_waited_at_another_tier_waits_at_this_one(bench):
    assert await waits(bench, task_of(waited=Waited(tier=2)))


async def test_only_tiers_that_are_set_up_for_it_have_tasks_wait(bench):
    assert not await waits(bench, task_of(tier=2), "infer:2")


async def test_the_model_that_would_be_asked_first_has_to_have_batches():
    providers = {**SETTINGS["providers"], "fast": {**SETTINGS["providers"]["fast"], "batches": False}}
    bench = new({**BULK_SETTINGS, "providers": providers})
    assert not await waits(bench, task_of())
    assert len(bench.providers["fast"].calls) == 1


async def test_it_waits_for_the_model_of_its_conversation(bench):
    task = task_of()
    task = task.model_copy(update={"decision": task.decision.model_copy(update={"stays_with": "spare/b"})})
    bulk = only(await run(infer, task, bench, "infer:1"), BulkTask)
    assert (bulk.provider, bulk.model) == ("spare", "b")


async def test_the_state_of_the_tier_makes_no_difference(bench):
    """A batch takes what it takes; whoever is overloaded now may well answer within a day."""
    bench.engine.gate.order("tier:1", "open")
    assert await waits(bench, task_of())


async def test_nobody_waits_for_what_is_cancelled(bench):
    bench.log.append(Output(SETTLED, Cancelled(request_id=R1, revision=0)))
    await bench.settled.catch_up(HOME)
    outcome = only(await run(infer, task_of(), bench, "infer:1"), Outcome)
    assert (outcome.status, outcome.error.code) == (ResultStatus.REJECTED, "cancelled")


async def test_a_call_that_has_begun_may_be_that_of_a_copy_that_waits(bench):
    journal(bench, call_started(R1))
    await come_to_rest()
    assert await waits(bench, task_of(hours=0.2))


async def test_what_was_asked_already_goes_on_from_there(bench):
    journal(bench, ended(ErrorKind.OVERLOADED))
    await come_to_rest()
    outcome = only(await run(infer, task_of(), bench, "infer:1"), Outcome)
    assert [(line.provider, line.outcome) for line in outcome.route] == [("fast", "overloaded"), ("spare", "ok")]


class TestBack:
    """Tasks that have waited."""

    async def test_it_finds_its_answer_in_the_journal(self, bench):
        place = journal(bench, ended())
        outputs = await run(infer, task_of(waited=Waited(tier=1, ended_at=place.offset)), bench, "infer:1")
        outcome = only(outputs, Outcome)
        assert (outcome.status, outcome.content, outcome.cost_usd) == (ResultStatus.OK, "an answer", CALL_COST / 2)
        assert [(line.outcome, line.why) for line in outcome.route] == [("ok", task_of().why)]
        assert bench.providers["fast"].calls == []

    async def test_it_waits_until_the_end_is_known(self, bench):
        await come_to_rest()
        async with bench.log.lag:
            place = journal(bench, ended())
            task = task_of(waited=Waited(tier=1, ended_at=place.offset))
            running = asyncio.create_task(run(infer, task, bench, "infer:1"))
            await come_to_rest()
            assert not running.done()
        assert only(await running, Outcome).content == "an answer"
        assert bench.providers["fast"].calls == []

    @pytest.mark.parametrize("has_begun", [False, True])
    async def test_without_an_end_it_is_asked_now(self, bench, has_begun):
        if has_begun:
            journal(bench, call_started(R1))
            await come_to_rest()
        outcome = only(await run(infer, task_of(waited=Waited(tier=1)), bench, "infer:1"), Outcome)
        assert [(line.provider, line.outcome) for line in outcome.route] == [("fast", "ok")]
        assert outcome.cost_usd == CALL_COST

    async def test_what_the_batch_did_not_come_to_is_asked_of_the_same_model_once(self):
        bench = new(BULK_SETTINGS, fast=FakeProvider(BUSY))
        place = journal(bench, ended(ErrorKind.BATCH_ENDED))
        outputs = await run(infer, task_of(waited=Waited(tier=1, ended_at=place.offset)), bench, "infer:1")
        outcome = only(outputs, Outcome)
        assert [(line.provider, line.outcome, line.why) for line in outcome.route] == [
            ("fast", "batch_ended", task_of().why),
            ("fast", "overloaded", "retry: fast batch_ended"),
            ("spare", "ok", "fallback: fast overloaded"),
        ]

    async def test_the_end_of_a_batch_is_nobodys_failure(self):
        settings = {**BULK_SETTINGS, "breakers": {"min_calls": 1}}
        refused = provider_error(ErrorKind.CONTENT_POLICY)
        bench = new(settings, fast=FakeProvider(refused), spare=FakeProvider(refused))
        place = journal(bench, ended(ErrorKind.BATCH_ENDED))
        outputs = await run(infer, task_of(waited=Waited(tier=1, ended_at=place.offset)), bench, "infer:1")
        up = only(outputs, TierTask)
        # With a provider away it would come back to its tier.
        assert (up.tier, up.promoted_from) == (2, None)
        assert all(bench.engine.gate.is_open_to(tier) for tier in (1, 2, 3))

    async def test_a_failure_of_the_batch_falls_back_as_any_other(self, bench):
        place = journal(bench, ended(ErrorKind.CONTENT_POLICY))
        outputs = await run(infer, task_of(waited=Waited(tier=1, ended_at=place.offset)), bench, "infer:1")
        outcome = only(outputs, Outcome)
        assert [(line.provider, line.outcome) for line in outcome.route] == [
            ("fast", "content_policy"),
            ("spare", "ok"),
        ]

    async def test_an_end_behind_the_deadline_counts(self, bench):
        place = journal(bench, ended())
        bench.clock.advance(25 * 3600)
        outputs = await run(infer, task_of(waited=Waited(tier=1, ended_at=place.offset)), bench, "infer:1")
        assert only(outputs, Outcome).content == "an answer"

    async def test_delivered_again_it_says_the_same(self, bench):
        place = journal(bench, ended())
        task = task_of(waited=Waited(tier=1, ended_at=place.offset))
        first, again = [only(await run(infer, task, bench, "infer:1"), Outcome) for _ in range(2)]
        assert first == again


class TestCanary:
    """What is compared with the tier's models is asked as they are asked: the candidate is none of them."""

    def bench(self) -> Bench:
        candidate = {"provider": "trusted", "model": "next", "max_tokens": 7}
        canary = {"name": "next", "tier": 1, "model": candidate, "share": 1 - 1e-9, "min_requests": 10}
        prices = SETTINGS["prices"] | {"trusted/next": {"input": 1, "output": 10}}
        return new({**BULK_SETTINGS, "prices": prices, "canary": [canary]})

    async def test_who_meets_the_candidate_does_not_wait(self):
        bench = self.bench()
        outcome = only(await run(infer, task_of(), bench, "infer:1"), Outcome)
        assert (outcome.provider, outcome.model) == ("trusted", "next")
        assert [call.max_tokens for call in bench.providers["trusted"].calls] == [7]

    async def test_where_the_candidate_was_stopped_it_waits_for_the_tiers_own(self):
        bench = self.bench()
        counts = dict.fromkeys(
            ("candidate_requests", "candidate_failures", "incumbent_requests", "incumbent_failures"), 0
        )
        stopped = CanaryState(
            name="next", model="trusted/next", state="stopped", reason="", by="ann", at=BASE, **counts
        )
        bench.engine.learned.note(Learned(stopped, 0))
        bulk = only(await run(infer, task_of(), bench, "infer:1"), BulkTask)
        assert (bulk.provider, bulk.model) == ("fast", "a")


async def test_without_the_setting_bulk_requests_are_asked_now():
    bench = new(SETTINGS | {"deadlines": BULK_SETTINGS["deadlines"], "delivery": BULK_SETTINGS["delivery"]})
    outputs = await run(infer, task_of(), bench, "infer:1")
    assert all_of(outputs, BulkTask) == []
    assert only(outputs, Outcome).status is ResultStatus.OK


def test_a_tier_without_batches_can_not_have_tasks_wait():
    providers = {name: {**provider, "batches": False} for name, provider in SETTINGS["providers"].items()}
    with pytest.raises(ValueError, match=r"batching\.provider: none of its models is at a provider with batches"):
        Settings(**{**BULK_SETTINGS, "providers": providers})

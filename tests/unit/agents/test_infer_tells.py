"""What infer tells while it works: each attempt to who asks for it, and the steps, which travel with their task."""

import asyncio
import dataclasses

import pytest
from support.handler_runs import BUSY, kinds, new, only, run
from support.in_memory import CALL_COST, SETTINGS, Bench, FakeProvider, home_of, new_request, new_task

from agents.infer import infer
from topics.events import Hops, Status, StatusKind
from topics.journal import CallEnded, CallStarted
from topics.requests import Params
from topics.results import Outcome
from topics.tasks import Escalation, Parked


@pytest.fixture
async def bench() -> Bench:
    return new()


@pytest.mark.parametrize("fields", [{}, {"progress": False}, {"progress": None}])
async def test_who_does_not_ask_hears_of_no_attempt(bench, fields):
    outputs = await run(infer, new_task(new_request(**fields)), bench, "infer:1")
    assert kinds(outputs) == [Outcome]
    assert list(bench.published(Status)) == []


@pytest.mark.parametrize("fields", [{"progress": True}, {"stream": True}, {"stream": True, "progress": False}])
async def test_who_asks_hears_of_each_attempt_before_its_call(fields):
    bench = new(fast=FakeProvider(BUSY))
    await run(infer, new_task(new_request(**fields)), bench, "infer:1")
    events = [event for status in bench.published(Status) for event in status.events]
    assert [(event.kind, event.provider, event.detail) for event in events] == [
        (StatusKind.ATTEMPT_STARTED, "fast", "classifier requests/1:745284b7"),
        (StatusKind.ATTEMPT_STARTED, "spare", "fallback: fast overloaded"),
    ]
    told = [type(record) for record in bench.log.published if isinstance(record, Status | CallEnded)]
    assert told == [Status, CallEnded] * 2


async def test_requests_of_which_one_asks_for_its_attempts_share_a_call(bench):
    provider = bench.providers["fast"]
    provider.gate = asyncio.Event()
    context = bench.context("infer:1")

    async def ask(request_id, **fields):
        request = new_request(request_id=request_id, user_id="ann", params=Params(temperature=0), **fields)
        received = dataclasses.replace(context.received, partition=home_of(request_id))
        return await infer.handler(new_task(request), dataclasses.replace(context, received=received))

    asking = [asyncio.create_task(ask("r0", progress=True))]
    await provider.called.wait()
    asking.append(asyncio.create_task(ask("r1")))
    while len(list(bench.published(CallStarted))) < 2:  # noqa: ASYNC110 - the bench tells nobody
        await asyncio.sleep(0)
    provider.gate.set()
    outcomes = [only(outputs, Outcome) for outputs in await asyncio.gather(*asking)]
    assert len(provider.calls) == 1
    assert sum(outcome.cost_usd for outcome in outcomes) == CALL_COST
    assert [status.request_id for status in bench.published(Status)] == ["r0"]


async def test_its_steps_go_on_from_those_that_the_task_has():
    bench = new(fast=FakeProvider("I don't know."))
    earlier = bench.context("classify").hop("routed", tier=1)
    escalation = only(await run(infer, new_task(hops=(earlier,)), bench, "infer:1"), Escalation)
    assert escalation.task.hops[0] == earlier
    assert [(hop.stage, hop.outcome) for hop in escalation.task.hops[1:]] == [("infer:1", "hedge")]


async def test_the_steps_of_a_task_that_rests_are_published_and_it_goes_on_without_them():
    """However often it rests, its record does not grow by its steps, and none is published twice."""
    bench = new({**SETTINGS, "attempts": {"max_attempts": 9}})
    for model in ("fast/a", "spare/b"):
        bench.engine.gate.order(model, "open")
    earlier = bench.context("classify").hop("routed", tier=1)
    task, published = new_task(ceiling=1, hops=(earlier,)), []
    for _ in range(3):
        outputs = await run(infer, task, bench, "infer:1")
        parked = only(outputs, Parked)
        assert parked.task.hops == ()
        published.append([hop.outcome for hop in only(outputs, Hops).hops])
        task = parked.task.after(bench.context("parked").hop("returned", tier=1))
    assert published == [["routed", "parked"], ["returned", "parked"], ["returned", "parked"]]

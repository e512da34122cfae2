"""Requests that nobody waits for any more: no further call is made for them, and what is paid counts."""

import pytest
from support.handler_runs import BUSY, completion, new, only, run
from support.in_memory import BASE_MS, Bench, FakeProvider, home_of, new_request, new_task

from agents.classify import classify
from agents.feedback import feedback
from agents.infer import infer
from streams.kafka.publisher import Output
from topics.feedback import Cancellation
from topics.journal import CallStarted
from topics.registry import SETTLED
from topics.results import Cancelled, Outcome, ResultStatus

WINDOW_MS = 3_600_000


@pytest.fixture
async def bench() -> Bench:
    return new()


async def cancel(bench: Bench, revision: int = 0) -> None:
    bench.log.append(Output(SETTLED, Cancelled(request_id="r1", revision=revision)))
    await bench.settled.catch_up(home_of("r1"))


async def test_a_cancellation_becomes_the_marker_that_every_stage_follows(bench):
    [output] = await run(feedback, Cancellation(request_id="r1"), bench, "feedback")
    assert (output.topic, output.record) == (SETTLED, Cancelled(request_id="r1", revision=0))


async def test_it_is_not_routed(bench):
    await cancel(bench)
    outcome = only(await run(classify, new_request(), bench, "classify"), Outcome)
    assert (outcome.status, outcome.error.code) == (ResultStatus.REJECTED, "cancelled")
    assert outcome.digest == new_request().digest()


async def test_nothing_is_paid_for_it(bench):
    await cancel(bench)
    outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    assert (outcome.status, outcome.error.code) == (ResultStatus.REJECTED, "cancelled")
    assert not list(bench.published(CallStarted))


async def test_what_had_left_is_its_result(bench):
    first = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    await cancel(bench)
    assert only(await run(infer, new_task(), bench, "infer:1"), Outcome) == first


async def test_no_other_model_is_asked_when_a_call_fails_meanwhile():
    failing = FakeProvider(BUSY)
    bench = new(fast=failing)
    failing.on_call = lambda: cancel(bench)
    outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    assert outcome.error.code == "cancelled"
    assert not bench.providers["spare"].calls


async def test_the_best_answer_so_far_is_its_result(bench):
    await cancel(bench)
    outcome = only(await run(infer, new_task(tier=2, best=completion("I think 4.")), bench, "infer:2"), Outcome)
    assert (outcome.status, outcome.content) == (ResultStatus.DEGRADED, "I think 4.")


async def test_another_revision_goes_on(bench):
    await cancel(bench, revision=1)
    assert only(await run(infer, new_task(), bench, "infer:1"), Outcome).status is ResultStatus.OK


async def test_it_is_about_what_came_in_within_a_window_of_it(bench):
    await cancel(bench)
    assert bench.settled.is_cancelled("r1", 0, BASE_MS + WINDOW_MS)
    assert not bench.settled.is_cancelled("r1", 0, BASE_MS + WINDOW_MS + 1)
    assert not bench.settled.knows("r1", 0, BASE_MS)


@pytest.mark.parametrize("later_s", [0, 1, 20 * 3600])
async def test_who_cancels_an_old_request_means_the_one_that_waits(bench, later_s):
    """A bulk request may wait for many times the window in which an id is that of one request."""
    bench.clock.advance(later_s)
    await cancel(bench)
    assert bench.settled.is_cancelled("r1", 0, BASE_MS)
    assert not bench.settled.is_cancelled("r1", 1, BASE_MS)
    assert not bench.settled.is_cancelled("r2", 0, BASE_MS)


async def test_a_cancellation_is_about_nothing_that_comes_a_window_later(bench):
    await cancel(bench)
    assert bench.settled.is_cancelled("r1", 0, BASE_MS + WINDOW_MS)
    assert not bench.settled.is_cancelled("r1", 0, BASE_MS + WINDOW_MS + 1)


async def test_cancellations_are_counted_for_who_looks_at_many_requests(bench):
    assert bench.settled.cancellations == 0
    await cancel(bench)
    await cancel(bench, revision=1)
    assert bench.settled.cancellations == 2

"""Who can't take back what was shown gets the answer that was shown, good or not."""

import pytest
from support.handler_runs import completion, kinds, new, only, run
from support.in_memory import USAGE, FakeProvider, new_request, new_task

from agents.infer import infer
from streams.providers.base import ChatReply
from topics.results import Outcome, ResultStatus
from topics.tasks import Escalation

SHOWN = {"stream": True, "final_once_shown": True}


@pytest.mark.parametrize(
    ("reply", "check"),
    [("I don't know.", "hedge"), (ChatReply("cut of", "length", USAGE), "truncated")],
)
async def test_an_answer_that_was_shown_ends_the_request_as_degraded(reply, check):
    bench = new(fast=FakeProvider(reply))
    outputs = await run(infer, new_task(new_request(**SHOWN)), bench, "infer:1")
    outcome = only(outputs, Outcome)
    assert (kinds(outputs), outcome.status, outcome.reason) == ([Outcome], ResultStatus.DEGRADED, f"check: {check}")
    assert outcome.content == (reply if isinstance(reply, str) else reply.content)
    assert outcome.route[-1].outcome == check


async def test_it_is_the_one_that_was_shown_and_not_an_earlier_one_that_came_further():
    best = completion("earlier").model_copy(update={"failed": "judge: fail"})
    bench = new(trusted=FakeProvider("I don't know."))
    outcome = only(await run(infer, new_task(new_request(**SHOWN), tier=2, best=best), bench, "infer:2"), Outcome)
    assert (outcome.content, outcome.tier) == ("I don't know.", 2)


@pytest.mark.parametrize(
    "fields", [{"stream": True}, {"final_once_shown": True}, {}, SHOWN | {"final_once_shown": False}]
)
async def test_all_others_get_a_better_one(fields):
    bench = new(fast=FakeProvider("I don't know."))
    assert (
        only(await run(infer, new_task(new_request(**fields)), bench, "infer:1"), Escalation).reason == "check: hedge"
    )


async def test_nothing_was_shown_where_a_judge_sees_it_first():
    bench = new(fast=FakeProvider("I don't know."))
    task = new_task(new_request(**SHOWN), validate_answer=True)
    assert only(await run(infer, task, bench, "infer:1"), Escalation)


async def test_nor_where_there_was_nothing_to_show():
    bench = new(fast=FakeProvider(" \n"))
    assert only(await run(infer, new_task(new_request(**SHOWN)), bench, "infer:1"), Escalation).task.best is None

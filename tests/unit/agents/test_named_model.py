"""A request that names its model: that one is asked, more than once if need be, and nobody else."""

import pytest
from support.handler_runs import BUSY, new, only, run, topics_of
from support.in_memory import Bench, FakeProvider, new_request, provider_error

from agents.classify import classify
from agents.escalate import escalate
from agents.infer import infer
from streams.providers.base import ErrorKind
from topics.journal import CallStarted
from topics.results import Outcome, ResultStatus
from topics.tasks import Escalation, Parked, TierTask


async def routed(bench: Bench, name: str = "spare/b", **fields) -> TierTask:
    """The task of a request that names its model, as classify makes it."""
    return only(await run(classify, new_request(model=name, **fields), bench, "classify"), TierTask)


def asked(bench: Bench) -> list[str]:
    return [f"{call.provider}/{call.model}" for call in bench.published(CallStarted)]


@pytest.mark.parametrize(("name", "tier"), [("spare/b", 1), ("b", 1), ("trusted/d", 3)])
async def test_it_goes_to_the_tier_of_its_model_and_says_why(name, tier):
    bench = new()
    task = await routed(bench, name)
    ref = "trusted/d" if tier == 3 else "spare/b"
    assert (task.tier, task.decision.floor, task.decision.ceiling) == (tier, tier, tier)
    assert (task.why, task.hops[-1].detail) == (f"rule model {ref}", f"model {ref}")
    await run(infer, task, bench, f"infer:{tier}")
    assert asked(bench) == [ref]


async def test_where_it_fails_nobody_else_is_asked():
    bench = new(spare=FakeProvider(provider_error(ErrorKind.BAD_KEY)))
    parked = only(await run(infer, await routed(bench), bench, "infer:1"), Parked)
    assert (parked.task.tier, asked(bench)) == (1, ["spare/b"])


async def test_what_it_refuses_to_answer_is_not_answered():
    bench = new(spare=FakeProvider(provider_error(ErrorKind.CONTENT_POLICY)))
    outcome = only(await run(infer, await routed(bench), bench, "infer:1"), Outcome)
    assert (outcome.status, outcome.error.code, asked(bench)) == (ResultStatus.FAILED, "no_provider", ["spare/b"])


async def test_a_failure_that_may_pass_is_retried():
    bench = new(spare=FakeProvider(BUSY, "an answer"))
    outcome = only(await run(infer, await routed(bench), bench, "infer:1"), Outcome)
    assert (outcome.status, asked(bench)) == (ResultStatus.OK, ["spare/b", "spare/b"])


async def test_an_answer_that_fails_a_check_is_degraded_and_goes_nowhere():
    bench = new(spare=FakeProvider("I don't know."))
    escalation = only(await run(infer, await routed(bench), bench, "infer:1"), Escalation)
    outputs = await run(escalate, escalation, bench, "escalate")
    outcome = only(outputs, Outcome)
    assert (outcome.status, outcome.content, outcome.reason) == (
        ResultStatus.DEGRADED,
        "I don't know.",
        "check: hedge",
    )
    assert topics_of(outputs, TierTask) == []

"""Outcomes: how each ending is put together, and what becomes of a request whose handler raised."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from support.examples import examples
from support.in_memory import new_request, new_task
from support.record_strategies import attempts, completions, maybe, some, tasks, texts

from streams.runtime.outcomes import answered, crashed, given_up, unserved, without_answer
from topics.messages import Spoken, spoken
from topics.registry import OUTCOMES
from topics.results import Outcome, ResultError, ResultStatus, Settled
from topics.tasks import Answer, Escalation, Source

SOURCE = Source(topic="llm.requests", partition=1, offset=2, timestamp_ms=3)


def ending(output) -> Outcome:
    assert output.topic is OUTCOMES
    return output.record


def check_identity(outcome: Outcome, task) -> None:
    request = task.request
    assert (outcome.request_id, outcome.revision, outcome.digest) == (request.request_id, task.revision, task.digest)
    assert (outcome.source, outcome.query_type) == (task.source, task.decision.query_type)
    assert (outcome.user_id, outcome.feature, outcome.tags) == (request.user_id, request.feature, request.tags)
    assert outcome.service_class == request.service_class
    assert outcome.hops == task.hops


@settings(max_examples=examples(40))
@given(tasks, completions, some(attempts), maybe(texts))
def test_an_answer_carries_its_model_and_every_cost(task, completion, attempts, degraded):
    outcome = ending(answered("infer:1", task, completion, attempts, degraded=degraded))
    check_identity(outcome, task)
    assert outcome.status is (ResultStatus.OK if degraded is None else ResultStatus.DEGRADED)
    assert outcome.reason == degraded
    assert (outcome.content, outcome.attempt_id) == (completion.content, completion.attempt_id)
    assert (outcome.tier, outcome.provider, outcome.model) == (completion.tier, completion.provider, completion.model)
    assert outcome.cost_usd == sum((attempt.cost_usd for attempt in attempts), Decimal(0))
    assert (outcome.route, outcome.error) == (attempts, None)
    assert spoken(outcome) == spoken(completion)


@given(tasks, completions)
def test_an_ending_that_has_to_be_small_has_nothing_of_the_answer(task, completion):
    outcome = ending(answered("infer:1", task, completion, task.attempts))
    bare = without_answer(outcome, ResultStatus.FAILED, ResultError(code="too_large", message="no"))
    assert (bare.content, spoken(bare)) == (None, spoken(Spoken()))
    assert (bare.cost_usd, bare.route) == (outcome.cost_usd, outcome.route)


@settings(max_examples=examples(40))
@given(tasks)
def test_giving_up_falls_back_on_the_best_answer(task):
    outcome = ending(given_up("infer:1", task, task.attempts, ResultStatus.EXPIRED, "deadline", "too late"))
    check_identity(outcome, task)
    if task.best is None:
        assert (outcome.status, outcome.error.code, outcome.content) == (ResultStatus.EXPIRED, "deadline", None)
    else:
        assert (outcome.status, outcome.error, outcome.content) == (ResultStatus.DEGRADED, None, task.best.content)
        assert outcome.reason == (f"{task.best.failed}; too late" if task.best.failed else "too late")


def test_a_rejection_costs_nothing():
    outcome = ending(
        unserved(
            "classify",
            "r1",
            SOURCE,
            revision=2,
            digest="digest",
            status=ResultStatus.REJECTED,
            code="invalid",
            message="messages: missing",
        )
    )
    assert outcome.revision == 2
    assert (outcome.status, outcome.cost_usd, outcome.source) == (ResultStatus.REJECTED, 0, SOURCE)
    assert (outcome.error.code, outcome.error.message, outcome.digest) == ("invalid", "messages: missing", "digest")


@settings(max_examples=examples(20))
@given(tasks, completions)
def test_a_crash_ends_the_request_behind_the_record(task, completion):
    for record in (task, Answer(task=task, completion=completion), Escalation(task=task, reason="x")):
        outcome = ending(crashed("infer:1", record, SOURCE, 0, "stage infer:1 failed: KeyError"))
        check_identity(outcome, task)
        assert outcome.source == task.source
        assert outcome.status is (ResultStatus.DEGRADED if task.best else ResultStatus.FAILED)


def test_a_crash_over_a_request_fails_it():
    request = new_request(feature="chat", tags=("a",))
    outcome = ending(crashed("classify", request, SOURCE, 3, "stage classify failed: KeyError"))
    assert (outcome.status, outcome.error.code, outcome.digest) == (ResultStatus.FAILED, "internal", request.digest())
    assert (outcome.source, outcome.feature, outcome.tags) == (SOURCE, "chat", ("a",))
    assert outcome.revision == 3


def test_a_crash_over_anything_else_ends_no_request():
    assert crashed("sink", Settled(request_id="r1", revision=0, digest="d"), SOURCE, 0, "x") is None


@pytest.mark.parametrize("status", [ResultStatus.FAILED, ResultStatus.EXPIRED])
def test_without_attempts_it_costs_nothing(status):
    outcome = ending(given_up("classify", new_task(), (), status, "code", "why"))
    assert (outcome.cost_usd, outcome.provider_ms, outcome.route) == (0, 0, ())

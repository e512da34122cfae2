"""The stage of feedback, called directly: what it finds, what it tells, and what it has asked anew."""

import asyncio
from datetime import timedelta

import pytest
from support.handler_runs import kinds, new, only, run, topics_of
from support.in_memory import BASE, BASE_MS, SETTINGS, Bench, home_of, new_request
from support.settlements import ATTEMPT, settle

from agents.classify import classify
from agents.feedback import feedback
from streams.runtime.stage import Received
from topics.events import Hops, Status, StatusKind
from topics.feedback import Feedback, FeedbackKind, revision_asked_for
from topics.results import ResultStatus
from topics.tasks import Source, TierTask

LATER_MS = BASE_MS + 90_000


@pytest.fixture
async def bench() -> Bench:
    return new({**SETTINGS, "feedback": {"patience_s": 0}})


def said(kind: str = "wrong", **fields: object) -> Feedback:
    return Feedback(request_id="r1", kind=kind, **fields)


async def give(bench: Bench, one: Feedback, *, offset: int = 3, **fields: object):
    await bench.settled.catch_up(home_of("r1"))
    received = Received("llm.feedback", 4, offset, LATER_MS, None, b"v", (), generation=1)
    return await run(feedback, one, bench, "feedback", received=received, **fields)


def hop_of(outputs):
    hops = only(outputs, Hops)
    [hop] = hops.hops
    return hops, hop


@pytest.mark.parametrize(
    ("kind", "rating", "score"),
    [("thumbs_up", None, 1.0), ("thumbs_down", None, 0.0), ("rating", 1, 0.0), ("rating", 4, 0.75), ("wrong", None, 0)]
    + [(kind, None, 0.0) for kind in ("rephrase", "frustration", "human_corrected")],
)
async def test_feedback_is_told_with_who_gave_the_answer(bench, kind, rating, score):
    settle(bench)
    outputs = await give(bench, said(kind, rating=rating))
    assert kinds(outputs) == [Hops]
    hops, hop = hop_of(outputs)
    assert (hops.request_id, hops.revision, hop.stage, hop.outcome) == ("r1", 0, "feedback", kind)
    assert (hop.tier, hop.provider, hop.model, hop.attempt_id) == (1, "fast", "a", ATTEMPT)
    assert (hop.scores, hop.detail) == ((score,), "noted")
    assert hop.started_at == BASE + timedelta(seconds=90)


async def test_feedback_on_nothing_is_unmatched(bench):
    settle(bench)
    for one in (Feedback(request_id="q", kind="wrong", retry=True), said(revision=1, retry=True)):
        outputs = await give(bench, one)
        assert kinds(outputs) == [Hops]
        hops, hop = hop_of(outputs)
        assert (hops.revision, hop.outcome, hop.detail) == (one.revision, "unmatched", "wrong: no result is known")
        assert (hop.tier, hop.scores) == (None, ())


async def test_feedback_that_is_here_before_its_result_waits_for_it():
    bench = new()
    giving = asyncio.create_task(give(bench, said()))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not giving.done()
    settle(bench)
    assert hop_of(await giving)[1].outcome == "wrong"


async def test_a_retry_goes_one_tier_up_as_a_fresh_revision(bench):
    bench.clock.advance(-60)
    request = new_request(service_class="interactive")
    before = settle(bench, request)
    bench.clock.advance(150)
    outputs = await give(bench, said(retry=True))
    assert topics_of(outputs, TierTask) == ["tier2"]
    task = only(outputs, TierTask)
    assert (task.request, task.digest, task.revision, task.tier) == (request, before.digest, 1, 2)
    assert task.source == Source(topic="llm.feedback", partition=4, offset=3, timestamp_ms=LATER_MS)
    assert task.deadline == BASE + timedelta(seconds=90 + 30)
    assert (task.attempts, task.hops, task.best) == ((), (), None)
    assert (task.decision.tier, task.decision.rule, task.decision.ceiling) == (2, "feedback", 3)
    assert task.why == "feedback on revision 0, tier 1"
    assert hop_of(outputs)[1].detail == "retried as revision 1"
    assert revision_asked_for(hop_of(outputs)[1].detail) == 1
    status = only(outputs, Status)
    assert (status.revision, status.events[0].kind, status.events[0].tier) == (1, StatusKind.ROUTED, 2)


async def test_whichever_feedback_asks_the_retry_is_the_same(bench):
    settle(bench)
    first = only(await give(bench, said(retry=True)), TierTask)
    second = only(await give(bench, said("schema_mismatch", user_id="b"), offset=9), TierTask)
    away = {"source", "deadline"}
    assert first.model_dump(exclude=away) == second.model_dump(exclude=away)
    assert only(await give(bench, said(retry=True)), TierTask) == first


async def test_the_rest_is_decided_as_for_the_request(bench):
    request = new_request(context={"business_impact": "critical"})
    settle(bench, request)
    placed = Received("llm.requests", home_of("r1"), 0, BASE_MS, None, b"v", (), generation=1)
    decided = only(await run(classify, request, bench, "classify", received=placed), TierTask).decision
    anew = only(await give(bench, said(retry=True)), TierTask).decision
    away = {"tier", "rule", "reasons"}
    assert anew.model_dump(exclude=away) == decided.model_dump(exclude=away)


@pytest.mark.parametrize(
    ("fields", "is_retried"),
    [
        ({"kind": "schema_mismatch"}, True),
        ({"kind": "schema_mismatch", "retry": False}, False),
        ({"kind": "wrong"}, False),
        ({"kind": "wrong", "retry": True}, True),
    ],
)
async def test_the_deployment_decides_where_the_feedback_does_not(bench, fields, is_retried):
    settle(bench)
    assert (TierTask in kinds(await give(bench, Feedback(request_id="r1", **fields)))) is is_retried


@pytest.mark.parametrize(
    ("request_fields", "result_fields", "why"),
    [
        ({}, {"tier": 3}, "top tier"),
        ({"max_tier": 1}, {}, "max_tier"),
        ({"model": "fast/a"}, {}, "the request names its model"),
        ({}, {"status": ResultStatus.EXPIRED, "tier": None}, "the result is expired, without an answer"),
        ({}, {"source": Source(topic="llm.requests", partition=0, offset=99, timestamp_ms=1)}, "no longer kept"),
    ],
)
async def test_a_retry_that_can_not_be_is_refused(bench, request_fields, result_fields, why):
    settle(bench, new_request(**request_fields), **result_fields)
    outputs = await give(bench, said(retry=True))
    assert kinds(outputs) == [Hops]
    detail = hop_of(outputs)[1].detail
    assert detail.startswith("retry refused: ")
    assert why in detail


async def test_limits_of_the_deployment_bind_retries_too():
    bench = new({**SETTINGS, "routing": {**SETTINGS["routing"], "limits": {"user": {"ann": 1}}}})
    settle(bench, new_request(user_id="ann"))
    detail = hop_of(await give(bench, said(retry=True)))[1].detail
    assert detail == "retry refused: tier 1 is the highest by the rules"


async def test_the_next_revision_is_asked_for_once(bench):
    settle(bench)
    task = only(await give(bench, said(retry=True)), TierTask)
    settle(bench, revision=1, source=task.source, tier=2)
    again = await give(bench, said(retry=True))
    assert (kinds(again), hop_of(again)[1].detail) == ([Hops], "retried as revision 1")
    other = await give(bench, said(retry=True), offset=9)
    assert (kinds(other), hop_of(other)[1].detail) == ([Hops], "noted: there is revision 1")


async def test_a_revision_that_feedback_made_can_be_retried_in_turn_up_to_the_limit():
    bench = new({**SETTINGS, "feedback": {"patience_s": 0, "max_revision": 2}})
    request = new_request()
    settle(bench, request)
    for revision, tier in ((1, 2), (2, 3)):
        task = only(await give(bench, said(revision=revision - 1, retry=True)), TierTask)
        assert (task.revision, task.tier, task.request) == (revision, tier, request)
        settle(bench, request, revision=revision, source=task.source, tier=2)
    assert hop_of(await give(bench, said(revision=2, retry=True)))[1].detail == "retry refused: max_revision"


async def test_an_id_that_was_used_anew_has_the_revisions_of_its_latest_use(bench):
    settle(bench)
    settle(bench, revision=1, tier=2)
    request = new_request("Another question?")
    settle(bench, request)
    assert only(await give(bench, said(retry=True)), TierTask).request == request


async def test_what_is_older_than_the_window_is_unmatched(bench):
    settle(bench)
    bench.clock.advance(bench.settings.feedback.window_s + 1)
    assert hop_of(await give(bench, said()))[1].outcome == "unmatched"


async def test_fields_that_nobody_reads_are_named(bench):
    settle(bench)
    outputs = await give(bench, said(), unknown_fields=("coment",))
    assert hop_of(outputs)[1].detail == "noted; fields that nobody reads: coment"


def test_every_kind_has_a_score():
    for kind in FeedbackKind:
        rating = 3 if kind is FeedbackKind.RATING else None
        assert 0 <= said(kind, rating=rating).score <= 1

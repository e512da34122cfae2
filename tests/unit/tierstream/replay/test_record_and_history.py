"""What is made of routes and calls, of orders of models, and of decisions that come out differently."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from support.replayed_requests import call, decision, line, recorded

from streams.control.rollout import Activation, Step
from tierstream.replay.decide import Cause, Decided, difference
from tierstream.replay.history import ReadOnce, Votes, all_steps
from tierstream.replay.record import Record
from topics.base import from_millis
from topics.codec import encode
from topics.control import ActiveModel, ModelStep
from topics.journal import CallEnded, Purpose, attempt_id
from topics.messages import Message
from topics.requests import Request

REQUEST = Request(request_id="r", messages=(Message(role="user", content="?"),))


def test_visits_are_told_by_tier():
    calls = [call("a", 1, error="overloaded"), call("b", 1), call("c", 2), call("j", 2, purpose="judge")]
    route = [
        line("a", 1, "overloaded"),
        line("b", 1, "hedge"),
        line("c", 2),
        line("j", 2, "judge_fail", stage="validate"),
        line("d", 3, "timeout"),
    ]
    first, second, third = recorded("r", route, calls).visits()
    assert (first.tier, first.answer, first.failed_check, first.verdict, len(first.spent)) == (
        1,
        calls[1],
        True,
        None,
        2,
    )
    assert (second.answer, second.failed_check, second.verdict, second.failed) == (calls[2], False, False, True)
    assert (third.tier, third.answer, third.spent) == (3, None, [])


def test_an_id_that_is_used_anew_has_what_came_after_it():
    early, late = recorded("r", [], []), recorded("r", [], [])
    late.asked_ms += 1000
    record = Record([late, early])
    assert record.at("r", early.asked_ms - 1) is None
    assert record.at("r", early.asked_ms + 999) is early
    assert record.at("r", late.asked_ms) is late
    assert record.at("x", late.asked_ms) is None


def order(version, at_s, *before):
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=at_s)
    steps = tuple(ModelStep(version=name, effective_at=from_millis(ms)) for name, ms in before)
    ms = round(at.timestamp() * 1000)
    return Activation(ActiveModel(version=version, delay_ms=0, before=steps, by="me", at=at), ms), ms


def test_orders_together_tell_the_whole_history():
    one, one_ms = order("1" * 12, 0, ("configured", 0))
    two, two_ms = order("2" * 12, 100, ("configured", 0), ("1" * 12, one_ms))
    # A later order names its latest predecessors only.
    three, three_ms = order("3" * 12, 200, ("2" * 12, two_ms))
    assert all_steps([]) == (Step("configured", 0),)
    assert all_steps([three, one, two]) == (
        Step("configured", 0),
        Step("1" * 12, one_ms),
        Step("2" * 12, two_ms),
        Step("3" * 12, three_ms),
    )


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({}, None),
        ({"classifier": "requests/2"}, Cause.CLASSIFIER),
        ({"scores": (0.5, 0.3, 0.2)}, Cause.SCORES),
        ({"rule": "new"}, Cause.RULE),
        ({"tier": 2}, Cause.TIER),
        ({"tier": 2, "scores": (0.5, 0.3, 0.2)}, Cause.SCORES),
    ],
)
def test_the_first_part_that_differs_is_the_cause(changed, cause):
    was = recorded("r", [], []).decision
    assert difference(was, Decided(decision(**changed))) is cause


def test_a_refusal_is_a_difference():
    assert difference(recorded("r", [], []).decision, Decided(None, "too long")) is Cause.REFUSED


def ended(content, asked_ms=5):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    made = CallEnded(
        call_id=attempt_id("x", 0, "y", 0),
        attempt_id=attempt_id("r", 0, "classify", 0),
        request_id="r",
        revision=0,
        stage="classify",
        n=0,
        purpose=Purpose.CLASSIFY,
        tier=1,
        provider="groq",
        model="m",
        started_at=at,
        asked_ms=asked_ms,
        ended_at=at,
        content=content,
    )
    return SimpleNamespace(**vars(encode(made)))


def test_the_first_end_of_an_attempt_is_the_vote():
    votes = Votes()
    votes.add(ended(json.dumps([0.1, 0.2, 0.7])))
    votes.add(ended(json.dumps([1.0, 0.0, 0.0])))
    votes.add(ended(None, asked_ms=6))
    votes.add(ended(json.dumps([1.0, 0.0, 0.0]), asked_ms=6))
    found = votes.of(REQUEST, 5)
    assert found is not None
    assert found.probabilities == (0.1, 0.2, 0.7)
    assert votes.of(REQUEST, 6) is None
    assert votes.of(REQUEST, 7) is None


def test_a_request_is_read_once():
    seen = []
    once = ReadOnce(SimpleNamespace(version="v", read=lambda request, tiers: seen.append(tiers) or tiers))
    assert [once.read(REQUEST, 3), once.read(REQUEST, 3), once.read(REQUEST, 2)] == [3, 3, 2]
    assert seen == [3, 2]

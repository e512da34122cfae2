"""What a route says of its first answer, and what many of them come to."""

from decimal import Decimal

import pytest
from support.answers_and_ends import ended, pair_of

from tierstream.bench.answer_course import course_of
from tierstream.bench.answer_report import AddedCost, AnsweredPair, Endings, Stopped, latencies
from topics.results import ResultStatus

OK, FAILED, TIMEOUT = ("infer:1", "ok"), ("infer:1", "schema"), ("infer:1", "timeout")
UP, TOP = ("infer:2", "ok"), ("infer:3", "ok")
PASS, FAIL, UNREADABLE = ("validate", "judge_pass"), ("validate", "judge_fail"), ("validate", "judge_unreadable")
VOTE = ("classify", "ok")


def answered(kind, *steps, **more):
    pair, result = pair_of(kind), ended(*steps, **more)
    return AnsweredPair(pair, result, course_of(result, pair.right_from))


@pytest.mark.parametrize(
    ("steps", "check", "verdict", "escalated"),
    [
        ((OK,), None, None, False),
        ((VOTE, OK, PASS), None, "pass", False),
        ((TIMEOUT, OK), None, None, False),
        ((FAILED, UP), "schema", None, True),
        ((("infer:1", "empty"), UP), "empty", None, True),
        # What the judge says of the second answer says nothing of the first.
        ((FAILED, UP, PASS), "schema", None, True),
        ((OK, FAIL, UP, PASS), None, "fail", True),
        ((OK, UNREADABLE, PASS), None, "pass", False),
        ((OK, ("validate", "timeout")), None, None, False),
    ],
)
def test_who_stopped_the_first_answer(steps, check, verdict, escalated):
    course = course_of(ended(*steps), 1)
    assert (course.check, course.verdict, course.escalated) == (check, verdict, escalated)
    assert course.stopped is (check is not None or verdict == "fail")


@pytest.mark.parametrize("steps", [(), (TIMEOUT,), (TIMEOUT, UP), (("infer:2", "ok"),)])
def test_without_an_answer_of_the_first_tier_nothing_is_measured(steps):
    assert course_of(ended(*steps), 1) is None


@pytest.mark.parametrize(
    ("right_from", "steps", "unneeded"),
    [
        (1, (FAILED, UP), "0.01"),
        (1, (FAILED, ("infer:2", "schema"), ("infer:3", "schema")), "0.02"),
        (1, (OK, FAIL, UP, PASS), "0.01"),
        (2, (FAILED, UP), "0"),
        (2, (OK, FAIL, UP, FAIL, TOP), "0.01"),
        (2, (OK,), "0"),
    ],
)
def test_what_was_paid_after_a_right_answer_was_not_needed(right_from, steps, unneeded):
    assert course_of(ended(*steps), right_from).unneeded_usd == Decimal(unneeded)


def test_checks_count_of_all_and_the_judge_of_those_that_it_saw():
    found = [
        answered("loop", FAILED, UP),
        answered("loop", OK, FAIL, UP),
        answered("loop", OK, PASS),
        answered("loop", OK),
    ]
    stopped = Stopped.of("loop", found)
    assert (stopped.answers, stopped.by_check) == (4, {"schema": 1})
    assert (stopped.checks.count, stopped.checks.of) == (1, 4)
    assert (stopped.judge.count, stopped.judge.of) == (1, 2)
    assert (stopped.stopped.count, stopped.published.count) == (2, 2)


def test_endings_hold_what_was_published_against_the_file():
    right = pair_of("refusal", "No idea.").right_answer
    pair = pair_of("refusal", "No idea.")

    def ending(content, status=ResultStatus.OK):
        result = ended(OK, content=content, status=status)
        return AnsweredPair(pair, result, course_of(result, 2))

    degraded = ResultStatus.DEGRADED
    found = [ending(right), ending(right, degraded), ending("No idea. "), ending("No idea.", degraded), ending(None)]
    assert Endings.of(found).model_dump() == dict.fromkeys(Endings.model_fields, 1)


def test_cost_is_shared_out_and_counted_for_a_thousand():
    found = [answered("good", OK, PASS), answered("good", OK, FAIL, UP)]
    cost = AddedCost.of(found, 2, {"infer": Decimal("0.03"), "judge": Decimal("0.02")})
    assert (cost.spend_usd, cost.judge_calls) == (Decimal("0.05"), 2)
    assert (cost.judges_share, cost.unneeded_share) == (0.4, 0.2)
    assert (cost.judges_per_1000_usd, cost.unneeded_per_1000_usd) == (10.0, 5.0)
    assert AddedCost.of([], 0, {}).judges_per_1000_usd == 0


def test_latency_is_told_apart_by_what_was_done():
    found = [
        answered("good", OK, latency_ms=10),
        answered("good", OK, PASS, latency_ms=20),
        answered("good", FAILED, UP, latency_ms=30),
        answered("good", OK, FAIL, UP, PASS, latency_ms=40),
        # Neither one nor the other: a check stopped the first answer, and a judge looked at the second.
        answered("good", FAILED, UP, PASS, latency_ms=99),
    ]
    assert [(one.way, one.requests, one.latency_ms.p50) for one in latencies(found)] == [
        ("plain", 1, 10),
        ("judged", 1, 20),
        ("escalated by a check", 1, 30),
        ("escalated by the judge", 1, 40),
    ]

"""What users say of answers."""

from datetime import UTC, datetime
from decimal import Decimal

from tierstream.bench.month_users import said_of
from topics.results import Result, ResultStatus
from topics.tasks import Source

SEEDS = 1
USERS = 400


def a_result(user, number):
    return Result(
        request_id=f"r-{user}-{number}",
        source=Source(topic="llm.requests", partition=0, offset=0, timestamp_ms=0),
        status=ResultStatus.OK,
        content="an answer",
        cost_usd=Decimal(0),
        latency_ms=1.0,
        route=(),
        settled_at=datetime(2026, 11, 26, tzinfo=UTC),
        user_id=f"user-{user}",
    )


def said(*, is_right):
    results = [a_result(user, number) for user in range(USERS) for number in range(5)]
    found = [said_of(one, is_right=is_right, seed=SEEDS) for one in results]
    assert found == [said_of(one, is_right=is_right, seed=SEEDS) for one in results]
    return [one for one in found if one is not None]


def test_some_users_say_the_truth_of_some_answers_and_a_few_lie():
    good, bad = said(is_right=True), said(is_right=False)
    # Bad answers are complained of more often than good ones are praised.
    assert 0.05 < len(good) / (5 * USERS) < 0.3 < len(bad) / (5 * USERS) < 0.6
    for of_all, truth in ((good, 1.0), (bad, 0.0)):
        lies = {one.user_id for one in of_all if one.score != truth}
        assert 0 < len(lies) < 0.15 * len({one.user_id for one in of_all})
        assert all(one.score != truth for one in of_all if one.user_id in lies)


def test_some_of_those_who_call_an_answer_wrong_ask_for_another():
    bad = said(is_right=False)
    retried = [one for one in bad if one.retry]
    assert 0 < len(retried) < len(bad)
    assert {one.kind.value for one in retried} == {"wrong"}
    assert {one.kind.value for one in said(is_right=True)} == {"thumbs_up", "thumbs_down", "wrong"}

"""The lessons: what they make of routes, feedback and orders."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import numpy as np
import pytest

from streams.config.settings_candidates import CanarySettings
from streams.config.settings_learning import LearningSettings
from streams.config.settings_sections import ModelSettings
from streams.learning.budget_lesson import BudgetLesson
from streams.learning.canary_lesson import CanaryLesson
from streams.learning.evidence import first_tier, tried
from streams.learning.judge_lesson import JudgeLesson
from streams.learning.judge_sampling import SamplingBounds
from streams.routing.online.arms import Arm
from streams.routing.online.features import RequestFeatures
from streams.routing.online.policy import OnlinePolicy
from streams.routing.online.versions import OnlinePolicies
from topics.feedback import Feedback, FeedbackKind
from topics.learned import CanaryState, JudgeRates, OnlinePolicyUpdate
from topics.messages import Message
from topics.requests import Request
from topics.results import Result, ResultStatus
from topics.tasks import JUDGES, SAMPLES, Attempt, Source

AT = datetime(2026, 3, 1, tzinfo=UTC)
FEATURES = RequestFeatures()
CANARY = CanarySettings(
    name="next", tier=1, model=ModelSettings(provider="groq", model="new"), share=0.2, min_requests=20
)


def step(stage: str, outcome: str, *, tier: int = 1, why: str = "classifier c", model: str = "small") -> Attempt:
    return Attempt(
        attempt_id=uuid4(),
        stage=stage,
        tier=tier,
        provider="groq",
        model=model,
        why=why,
        outcome=outcome,
        cost_usd=Decimal("0.001"),
        provider_ms=1.0,
    )


def result(*route: Attempt, request_id: str = "r1", won: UUID | None = None, at: datetime = AT, **fields) -> Result:
    return Result(
        request_id=request_id,
        status=ResultStatus.OK,
        attempt_id=won or route[0].attempt_id,
        content="yes",
        tier=route[-1].tier,
        cost_usd=sum((one.cost_usd for one in route), start=Decimal(0)),
        route=route,
        source=Source(topic="llm.requests", partition=0, offset=0, timestamp_ms=0),
        latency_ms=1.0,
        settled_at=at,
        query_type="code",
        **fields,
    )


def request(request_id: str = "r1", text: str = "What is 2 + 2?") -> Request:
    return Request(request_id=request_id, messages=(Message(role="user", content=text),), user_id="ann")


def test_judges_calls_belong_to_the_answer_before_them():
    route = (
        step("classify", "ok"),
        step("infer:1", "timeout"),
        step("infer:1", "ok"),
        step("validate", "judge_unreadable"),
        step("validate", "judge_fail"),
        step("infer:2", "hedge", tier=2),
        step("infer:3", "ok", tier=3),
        step("validate", "judge_pass", tier=3),
    )
    found = [(call.attempt.stage, call.is_answer, call.value) for call in tried(route)]
    assert found == [("infer:1", False, None), ("infer:1", True, 0.0), ("infer:2", True, 0.0), ("infer:3", True, 1.0)]


@pytest.mark.parametrize(
    ("route", "value", "stands"),
    [
        ((step("infer:1", "ok"),), None, True),
        ((step("infer:1", "ok"), step("validate", "judge_pass", why=SAMPLES)), 1.0, True),
        ((step("infer:1", "hedge"), step("infer:2", "ok", tier=2)), 0.0, False),
        ((step("infer:1", "timeout"), step("infer:2", "ok", tier=2), step("validate", "judge_fail")), None, False),
    ],
)
def test_what_is_known_of_the_first_tier(route, value, stands):
    won = route[0] if stands else route[1]
    found = first_tier(result(*route, won=won.attempt_id))
    assert found is not None
    assert (found.tier, found.value, found.stands, found.was_chosen) == (1, value, stands, True)


def test_a_request_that_asked_no_model_teaches_nothing():
    assert first_tier(result(step("classify", "ok"))) is None


def test_a_tier_that_a_rule_named_was_not_chosen():
    found = first_tier(result(step("infer:2", "ok", tier=2, why="rule critical-path")))
    assert found is not None
    assert not found.was_chosen


def test_a_tier_that_a_conversation_stayed_on_was_not_chosen():
    found = first_tier(result(step("infer:1", "ok", why="conversation stays with groq/small")))
    assert found is not None
    assert not found.was_chosen


def test_judges_look_more_where_answers_fail_more():
    lesson = JudgeLesson(SamplingBounds(sample_rate=0.1, min_rate=0.01, max_rate=0.5, max_spend_share=0.9))
    for number in range(200):
        for model, fails in (("small", number % 2 == 0), ("big", False)):
            verdict = step("validate", "judge_fail" if fails else "judge_pass", why=SAMPLES)
            lesson.on_result(result(step("infer:1", "ok", model=model), verdict, request_id=f"{model}{number}"))
    [rates] = lesson.conclusions(AT)
    assert isinstance(rates, JudgeRates)
    by_model = {cell.model: cell.rate for cell in rates.cells}
    assert by_model["groq/small"] > 3 * by_model["groq/big"]
    assert lesson.conclusions(AT + timedelta(seconds=5)) == ()


def test_what_a_rule_had_judged_is_no_sample():
    critical, sampled = (
        JudgeLesson(SamplingBounds(sample_rate=0.5, min_rate=0.0, max_rate=1.0, max_spend_share=0.3)) for _ in range(2)
    )
    for number in range(50):
        for lesson, why in ((critical, JUDGES), (sampled, SAMPLES)):
            lesson.on_result(
                result(step("infer:1", "ok"), step("validate", "judge_pass", why=why), request_id=str(number))
            )
    [[one], [other]] = (lesson.conclusions(AT) for lesson in (critical, sampled))
    assert one.cells[0].rate < other.cells[0].rate


def observed(lesson: CanaryLesson, requests: int, *, candidate_fails: bool, at: datetime = AT) -> None:
    for number in range(requests):
        bad = "timeout" if candidate_fails else "ok"
        lesson.on_result(result(step("infer:1", bad, why="classifier c, canary next"), request_id=f"c{number}", at=at))
        for more in range(4):
            lesson.on_result(result(step("infer:1", "ok"), request_id=f"i{number}-{more}", at=at))


def test_a_candidate_that_fails_is_stopped_and_one_that_does_not_passes():
    for candidate_fails, state in ((True, "stopped"), (False, "passed")):
        lesson = CanaryLesson(CANARY, lambda: None)
        observed(lesson, 60, candidate_fails=candidate_fails)
        [found] = lesson.conclusions(AT)
        assert isinstance(found, CanaryState)
        assert (found.name, found.model, found.state, found.by) == ("next", "groq/new", state, "learn")
        assert lesson.conclusions(AT) == ()


def test_a_conversation_that_stayed_says_nothing_of_a_canary_for_which_nobody_drew_lots():
    lesson = CanaryLesson(CANARY, lambda: None)
    stayed = "conversation stays with groq/new"
    lesson.on_result(result(step("infer:1", "ok", why=f"{stayed}, canary next", model="new")))
    lesson.on_result(result(step("infer:1", "ok", why=stayed)))
    assert lesson.conclusions(AT) == ()
    lesson.on_result(result(step("infer:1", "ok", why="classifier c, canary next", model="new")))
    [state] = lesson.conclusions(AT)
    assert (state.candidate_requests, state.incumbent_requests) == (1, 0)


def test_what_an_operator_says_of_a_canary_holds():
    said: list[CanaryState | None] = [None]
    lesson = CanaryLesson(CANARY, lambda: said[0])
    observed(lesson, 60, candidate_fails=True)
    [stopped] = lesson.conclusions(AT)
    said[0] = stopped
    assert lesson.conclusions(AT) == ()
    resumed = stopped.model_copy(update={"state": "running", "by": "ann", "at": AT + timedelta(hours=1)})
    said[0] = resumed
    observed(lesson, 60, candidate_fails=True, at=AT)
    assert lesson.conclusions(AT) == (), "what was before it was resumed counts no more"
    observed(lesson, 60, candidate_fails=False, at=AT + timedelta(hours=2))
    [passed] = lesson.conclusions(AT)
    assert passed.state == "passed"
    said[0] = resumed.model_copy(update={"state": "stopped", "at": AT + timedelta(hours=3)})
    observed(lesson, 10, candidate_fails=False, at=AT + timedelta(hours=4))
    assert lesson.conclusions(AT) == ()


def budget_lesson(policies: OnlinePolicies | None = None, *, budget_usd: float = 0.0005) -> BudgetLesson:
    return BudgetLesson(
        LearningSettings(),
        [Arm("tier 1: groq/small", 0.0001, None), Arm("tier 2: openai/mid", 0.001, None)],
        budget_usd=budget_usd,
        features=FEATURES,
        policies=policies or OnlinePolicies(),
        window_ms=1000,
    )


def policy_of(lesson: BudgetLesson) -> OnlinePolicy:
    [update] = lesson.conclusions(AT)
    assert isinstance(update, OnlinePolicyUpdate)
    return OnlinePolicy.loads(update.policy)


def rewards(policy: OnlinePolicy) -> tuple[float, ...]:
    return policy.choose(FEATURES.of(request()), 0.99).rewards


@pytest.mark.parametrize("is_late", [True, False])
def test_a_request_and_its_result_teach_in_whatever_order_they_come(is_late):
    lesson = budget_lesson()
    assert lesson.conclusions(AT) == ()
    before = rewards(policy_of_nothing())
    for number in range(80):
        seen = (
            lambda number=number: lesson.on_request(request(f"r{number}"), 0),
            lambda number=number: lesson.on_result(
                result(step("infer:1", "ok"), step("validate", "judge_fail", why=SAMPLES), request_id=f"r{number}")
            ),
        )
        for take_in in reversed(seen) if is_late else seen:
            take_in()
    after = rewards(policy_of(lesson))
    assert after[0] < before[0] - 0.1


def policy_of_nothing() -> OnlinePolicy:
    lesson = budget_lesson()
    lesson.on_request(request(), 0)
    lesson.on_result(result(step("infer:1", "ok")))
    return policy_of(lesson)


def test_feedback_teaches_where_the_answer_stands_and_the_tier_was_chosen():
    before = rewards(policy_of_nothing())
    for why, moves in (("classifier c", True), ("rule r", False)):
        lesson = budget_lesson()
        for number in range(80):
            lesson.on_request(request(f"r{number}"), 0)
            lesson.on_result(result(step("infer:1", "ok", why=why), request_id=f"r{number}"))
            lesson.on_feedback(Feedback(request_id=f"r{number}", kind=FeedbackKind.WRONG, user_id=f"u{number}"))
        after = rewards(policy_of(lesson))
        assert (after[0] < before[0] - 0.1) is moves


def test_feedback_on_what_nobody_knows_is_passed_over():
    lesson = budget_lesson()
    lesson.on_feedback(Feedback(request_id="unknown", kind=FeedbackKind.WRONG))
    assert lesson.conclusions(AT) == ()


def test_the_numbers_of_policies_go_on_and_old_ones_are_taken_back():
    policies = OnlinePolicies()
    some = policy_of_nothing()
    for number, since_ms in ((6, 0), (7, 10_000), (8, 20_000)):
        policies.add(number, some, since_ms)
    lesson = budget_lesson(policies)
    lesson.on_request(request(), 0)
    lesson.on_result(result(step("infer:1", "ok")))
    [update] = lesson.conclusions(AT)
    assert update.version == 9
    assert OnlinePolicy.loads(update.policy).version == 9
    at = datetime.fromtimestamp(21.5, UTC)
    assert lesson.outdated(at) == ["online-policy:6", "online-policy:7"]


def test_a_policy_decides_from_its_time_on():
    policies = OnlinePolicies()
    some = policy_of_nothing()
    assert policies.at(5) is None
    policies.add(1, some, 10)
    policies.add(2, some, 20)
    assert policies.at(9) is None
    assert policies.at(10) is some
    assert policies.newest == 2
    policies.drop(1)
    assert policies.at(15) is None
    assert len(policies) == 1
    assert np.isfinite(rewards(some)).all()


def test_an_answer_that_was_given_anew_is_paid_from_the_same_budget():
    plain, again = budget_lesson(budget_usd=0.01), budget_lesson(budget_usd=0.01)
    for number in range(40):
        for lesson in (plain, again):
            lesson.on_request(request(f"r{number}"), 0)
            lesson.on_result(result(step("infer:1", "ok"), request_id=f"r{number}"))
        again.on_result(result(step("infer:2", "ok", tier=2), request_id=f"r{number}", revision=1))
    assert policy_of(again).ceiling_usd < policy_of(plain).ceiling_usd

"""The stages' handlers, called directly: every path of classify, infer, validate and escalate."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from support.handler_runs import BUSY, FAIL, PASS, completion, kinds, new, only, run, topics_of
from support.in_memory import (
    BASE,
    BASE_MS,
    CALL_COST,
    SETTINGS,
    Bench,
    FakeProvider,
    new_request,
    new_task,
)

from agents.classify import classify
from agents.escalate import escalate
from agents.infer import infer
from agents.validate import validate
from streams.kafka.publisher import Output
from streams.runtime.stage import RefusedError
from topics.events import Status, StatusKind
from topics.results import Outcome, ResultStatus, Settled
from topics.tasks import Answer, Escalation, TierTask


@pytest.fixture
async def bench() -> Bench:
    return new()


class TestClassify:
    async def test_a_plain_request_is_accepted_and_routed(self, bench):
        request = new_request()
        outputs = await run(classify, request, bench, "classify", unknown_fields=("min_teir",))
        assert topics_of(outputs, TierTask) == ["tier1"]
        task = only(outputs, TierTask)
        assert (task.request, task.digest, task.tier, task.attempts) == (request, request.digest(), 1, ())
        assert (task.deadline, task.source.offset, task.why) == (
            BASE + timedelta(seconds=120),
            7,
            "classifier fixed/1",
        )
        accepted, routed = only(outputs, Status).events
        assert (accepted.kind, accepted.unknown_fields) == (StatusKind.ACCEPTED, ("min_teir",))
        assert (routed.kind, routed.tier) == (StatusKind.ROUTED, 1)
        [hop] = task.hops
        assert (hop.stage, hop.outcome, hop.tier, hop.scores) == ("classify", "routed", 1, task.decision.scores)
        assert kinds(outputs) == [TierTask, Status]

    async def test_it_is_the_same_task_when_it_is_delivered_again(self, bench):
        first, second = [await run(classify, new_request(), bench, "classify") for _ in range(2)]
        assert only(first, TierTask) == only(second, TierTask)

    async def test_the_tier_decides_the_topic(self, bench):
        outputs = await run(classify, new_request(min_tier=3), bench, "classify")
        assert topics_of(outputs, TierTask) == ["tier3"]

    async def test_a_resend_of_what_is_settled_is_dropped(self, bench):
        request = new_request()
        bench.settled.add(Settled(request_id="r1", revision=0, digest=request.digest(), asked_ms=BASE_MS - 1), 0)
        assert await run(classify, request, bench, "classify") == []

    async def test_an_id_that_is_used_anew_after_the_window_is_a_new_request(self, bench):
        asked_ms = BASE_MS - 3_600_001
        bench.settled.add(Settled(request_id="r1", revision=0, digest="another", asked_ms=asked_ms), BASE_MS)
        assert topics_of(await run(classify, new_request(), bench, "classify"), TierTask) == ["tier1"]

    async def test_an_id_that_is_used_again_for_another_body_is_told(self, bench):
        digest = new_request("other").digest()
        bench.settled.add(Settled(request_id="r1", revision=0, digest=digest, asked_ms=BASE_MS), 0)
        outputs = await run(classify, new_request(), bench, "classify")
        assert kinds(outputs) == [Status]
        assert only(outputs, Status).events[0].kind is StatusKind.ID_REUSED

    @pytest.mark.parametrize(
        ("fields", "deadline_s"),
        [
            ({"service_class": "interactive"}, 30),
            ({"service_class": "bulk"}, 1800),
            ({"timeout_ms": 1500}, 1.5),
            ({"deadline": BASE + timedelta(seconds=9)}, 9),
            ({"deadline": BASE + timedelta(seconds=9), "timeout_ms": 5000}, 5),
            ({"timeout_ms": 3_600_000}, 3600),
        ],
    )
    async def test_deadlines(self, bench, fields, deadline_s):
        outputs = await run(classify, new_request(**fields), bench, "classify")
        assert only(outputs, TierTask).deadline == BASE + timedelta(seconds=deadline_s)

    @pytest.mark.parametrize("fields", [{"deadline": BASE}, {"deadline": BASE - timedelta(days=900)}])
    async def test_what_comes_too_late_expires(self, bench, fields):
        outputs = await run(classify, new_request(**fields), bench, "classify")
        outcome = only(outputs, Outcome)
        assert (outcome.status, outcome.error.code, outcome.cost_usd) == (ResultStatus.EXPIRED, "deadline", 0)
        assert [hop.outcome for hop in outcome.hops] == ["expired"]
        assert kinds(outputs) == [Outcome]

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"min_tier": 4}, "min_tier: there are 3 tiers"),
            ({"min_tier": 2, "max_tier": 1}, "min_tier: is above max_tier"),
            ({"max_tier": 4}, "max_tier: there are 3 tiers"),
            ({"timeout_ms": 3_600_001}, "deadline: may be at most 3600 s after the request"),
            ({"timeout_ms": 31_536_000_000}, "deadline: may be at most 3600 s after the request"),
            ({"response_schema": {"type": "banana"}}, "response_schema: "),
            ({"response_schema": {"$ref": "http://x"}}, "response_schema: "),
        ],
    )
    async def test_what_can_not_be_served_is_refused(self, bench, fields, message):
        request = new_request(**fields)
        with pytest.raises(RefusedError) as refused:
            await run(classify, request, bench, "classify")
        assert refused.value.digest == request.digest()
        assert str(refused.value).startswith(message)

    async def test_data_that_no_provider_may_see_is_refused(self):
        providers = {name: given | {"data_classes": ["public"]} for name, given in SETTINGS["providers"].items()}
        request, bench = new_request(context={"data_class": "restricted"}), new(SETTINGS | {"providers": providers})
        with pytest.raises(RefusedError, match="no provider may see restricted data"):
            await run(classify, request, bench, "classify")


class TestValidate:
    async def validate(self, bench: Bench, **fields: Any) -> Sequence[Output]:
        return await run(validate, Answer(task=new_task(**fields), completion=completion()), bench, "validate")

    async def test_an_answer_that_passes_is_published(self):
        bench = new(trusted=FakeProvider(PASS))
        outputs = await self.validate(bench)
        outcome = only(outputs, Outcome)
        assert (outcome.status, outcome.content, outcome.attempt_id) == (
            ResultStatus.OK,
            "an answer",
            completion().attempt_id,
        )
        assert [(a.stage, a.outcome, a.why) for a in outcome.route] == [("validate", "judge_pass", "judge")]
        assert outcome.cost_usd == CALL_COST
        [sent] = bench.providers["trusted"].calls
        assert sent.prompt.params.temperature == 0
        assert sent.prompt.response_schema is not None
        [hop] = outcome.hops
        assert (hop.outcome, hop.cost_usd, hop.detail) == (
            "judge_pass",
            CALL_COST,
            "critical path; confidence 0.90",
        )
        assert hop.scores == (1.0,)

    async def test_an_answer_that_fails_is_escalated(self):
        outputs = await self.validate(new(trusted=FakeProvider(FAIL)))
        escalation = only(outputs, Escalation)
        failed = completion().model_copy(update={"failed": "judge: fail"})
        assert (escalation.reason, escalation.task.best) == ("judge: fail", failed)
        assert escalation.task.attempts[-1].outcome == "judge_fail"
        assert outcomes_of(escalation.task) == ["judge_fail"]

    @pytest.mark.parametrize(("first", "name"), [("It looks fine.", "judge_unreadable"), (BUSY, "overloaded")])
    async def test_without_a_verdict_the_other_judge_is_asked(self, first, name):
        bench = new(trusted=FakeProvider(first), spare=FakeProvider(FAIL))
        outputs = await self.validate(bench)
        task = only(outputs, Escalation).task
        assert [a.outcome for a in task.attempts] == outcomes_of(task) == [name, "judge_fail"]

    async def test_without_any_verdict_the_answer_is_published(self):
        bench = new(trusted=FakeProvider(BUSY), spare=FakeProvider("?"))
        outputs = await self.validate(bench)
        outcome = only(outputs, Outcome)
        assert outcome.status is ResultStatus.OK
        assert outcomes_of(outcome) == ["overloaded", "judge_unreadable", "unjudged"]

    async def test_a_judge_that_may_not_see_the_data_is_not_asked(self):
        validation = {"judge": {"provider": "fast", "model": "a"}, "fallback": {"provider": "spare", "model": "b"}}
        bench = new(SETTINGS | {"validation": validation})
        outputs = await self.validate(bench, request=new_request(context={"data_class": "restricted"}))
        outcome = only(outputs, Outcome)
        assert outcome.status is ResultStatus.OK
        assert outcomes_of(outcome) == ["unjudged"]
        assert bench.providers["fast"].calls == bench.providers["spare"].calls == []

    async def test_after_the_deadline_the_answer_is_published_unjudged(self, bench):
        bench.clock.advance(60)
        outputs = await self.validate(bench)
        assert only(outputs, Outcome).status is ResultStatus.OK
        assert bench.providers["trusted"].calls == []

    async def test_delivered_again_it_pays_nothing(self):
        bench = new(trusted=FakeProvider(PASS))
        assert only(await self.validate(bench), Outcome) == only(await self.validate(bench), Outcome)
        assert len(bench.providers["trusted"].calls) == 1


class TestEscalate:
    async def test_it_goes_one_tier_up(self, bench):
        task = new_task().model_copy(update={"best": completion()})
        outputs = await run(escalate, Escalation(task=task, reason="check: hedge"), bench, "escalate")
        assert topics_of(outputs, TierTask) == ["tier2"]
        up = only(outputs, TierTask)
        assert (up.tier, up.why, up.best) == (2, "escalated from tier 1: check: hedge", completion())
        assert only(outputs, Status).events[0].kind is StatusKind.ESCALATED
        assert [(hop.outcome, hop.tier) for hop in up.hops] == [("escalated", 2)]
        assert kinds(outputs) == [TierTask, Status]

    @pytest.mark.parametrize(("best", "status"), [(completion(), ResultStatus.DEGRADED), (None, ResultStatus.FAILED)])
    async def test_at_the_ceiling_it_ends(self, bench, best, status):
        task = new_task(tier=2, ceiling=2).model_copy(update={"best": best})
        outputs = await run(escalate, Escalation(task=task, reason="judge: fail"), bench, "escalate")
        outcome = only(outputs, Outcome)
        assert outcome.status is status
        assert (outcome.content, outcome.error and outcome.error.code) == (
            ("an answer", None) if best else (None, "no_good_answer")
        )
        assert outcomes_of(outcome) == ["exhausted"]


def outcomes_of(carrier: TierTask | Outcome) -> list[str]:
    return [hop.outcome for hop in carrier.hops]


async def test_a_hard_case_from_tier_to_tier():
    """Hedge on tier 1, a failed verdict on tier 2, a good answer on tier 3: one outcome with every cost."""
    bench = new(fast=FakeProvider("I don't know."), trusted=FakeProvider("wrong", "right"), spare=FakeProvider(FAIL))
    routed = only(
        await run(classify, new_request(min_tier=1, context={"error_tolerance": "low"}), bench, "classify"), TierTask
    )
    decision = routed.decision.model_copy(update={"validate_answer": True, "ceiling": 3})
    task = routed.model_copy(update={"decision": decision, "tier": 1})
    escalation = only(await run(infer, task, bench, "infer:1"), Escalation)
    second = only(await run(escalate, escalation, bench, "escalate"), TierTask)
    answer = only(await run(infer, second, bench, "infer:2"), Answer)
    failed = only(await run(validate, answer, bench, "validate"), Escalation)
    third = only(await run(escalate, failed, bench, "escalate"), TierTask)
    outcome = only(await run(infer, third, bench, "infer:3"), Outcome)
    assert (outcome.content, outcome.tier, outcome.status) == ("right", 3, ResultStatus.OK)
    assert [attempt.outcome for attempt in outcome.route] == ["hedge", "ok", "judge_fail", "ok"]
    assert outcome.cost_usd == 4 * CALL_COST
    assert [(hop.stage, hop.outcome) for hop in outcome.hops] == [
        ("classify", "routed"),
        ("infer:1", "hedge"),
        ("escalate", "escalated"),
        ("infer:2", "ok"),
        ("validate", "judge_fail"),
        ("escalate", "escalated"),
        ("infer:3", "ok"),
    ]
    assert sum(hop.cost_usd or 0 for hop in outcome.hops) == outcome.cost_usd

"""The stages' handlers, called directly: every path of classify, infer, validate and escalate."""

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from in_memory import (
    BASE,
    CALL_COST,
    SETTINGS,
    USAGE,
    Bench,
    FakeProvider,
    new_bench,
    new_request,
    new_task,
    provider_error,
)

from agents import STAGES
from agents.classify import classify
from agents.escalate import escalate
from agents.infer import infer
from agents.validate import validate
from streams.providers.base import ChatReply, ErrorKind
from streams.publisher import Output
from streams.settings import Settings, ValidationSettings
from streams.stage import RefusedError
from topics.base import Record
from topics.events import Hops, Status, StatusKind
from topics.results import Outcome, ResultStatus
from topics.tasks import Answer, Completion, Escalation, TierTask

R = TypeVar("R", bound=Record)
PASS, FAIL = '{"verdict": "pass", "confidence": 0.9}', '{"verdict": "fail", "confidence": 0.8}'
BUSY = provider_error(ErrorKind.OVERLOADED, status=503)


def new(settings: dict[str, Any] = SETTINGS, **scripts: FakeProvider) -> Bench:
    return new_bench(Settings(**settings), **scripts)


@pytest.fixture
def bench() -> Bench:
    return new()


def only(outputs: Sequence[Output], kind: type[R]) -> R:
    [found] = [output.record for output in outputs if isinstance(output.record, kind)]
    return found


def kinds(outputs: Sequence[Output]) -> list[type[Record]]:
    return [type(output.record) for output in outputs]


def topics_of(outputs: Sequence[Output], kind: type[Record]) -> list[str]:
    return [output.topic.name for output in outputs if isinstance(output.record, kind)]


async def run(stage: Any, record: Record, bench: Bench, name: str, **fields: Any) -> Sequence[Output]:
    """Call the handler and check that it sends only what its stage declares."""
    outputs = await stage.handler(record, bench.context(name, **fields))
    instance = next(i for declared in STAGES for i in declared.instances(bench.settings) if i.name == name)
    assert {output.topic.name for output in outputs} <= instance.emits
    return outputs


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
            "classifier features/1",
        )
        accepted, routed = only(outputs, Status).events
        assert (accepted.kind, accepted.unknown_fields) == (StatusKind.ACCEPTED, ("min_teir",))
        assert (routed.kind, routed.tier) == (StatusKind.ROUTED, 1)
        [hop] = only(outputs, Hops).hops
        assert (hop.outcome, hop.tier, hop.scores) == ("routed", 1, task.decision.scores)

    async def test_it_is_the_same_task_when_it_is_delivered_again(self, bench):
        first, second = [await run(classify, new_request(), bench, "classify") for _ in range(2)]
        assert only(first, TierTask) == only(second, TierTask)

    async def test_the_tier_decides_the_topic(self, bench):
        outputs = await run(classify, new_request(min_tier=3), bench, "classify")
        assert topics_of(outputs, TierTask) == ["tier3"]

    async def test_a_resend_of_what_is_settled_is_dropped(self, bench):
        request = new_request()
        bench.settled.add("r1", 0, request.digest(), 0)
        assert await run(classify, request, bench, "classify") == []

    async def test_an_id_that_is_used_again_for_another_body_is_told(self, bench):
        bench.settled.add("r1", 0, new_request("other").digest(), 0)
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
        assert only(outputs, Hops).hops[0].outcome == "expired"

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"min_tier": 4}, "min_tier: there are 3 tiers"),
            ({"min_tier": 2, "max_tier": 1}, "min_tier: is above max_tier"),
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


class TestInfer:
    async def test_a_good_answer_ends_the_request(self, bench):
        outputs = await run(infer, new_task(), bench, "infer:1")
        outcome = only(outputs, Outcome)
        assert (outcome.status, outcome.content, outcome.tier) == (ResultStatus.OK, "an answer", 1)
        assert (outcome.provider, outcome.model, outcome.usage) == ("fast", "a", USAGE)
        assert (outcome.cost_usd, [a.outcome for a in outcome.route]) == (CALL_COST, ["ok"])
        assert outcome.attempt_id == outcome.route[0].attempt_id
        [hop] = only(outputs, Hops).hops
        assert (hop.outcome, hop.cost_usd, hop.attempt_id) == ("ok", CALL_COST, outcome.attempt_id)
        [started] = [status for status in bench.log.published if isinstance(status, Status)]
        assert started.events[0].kind is StatusKind.ATTEMPT_STARTED

    async def test_delivered_again_it_pays_nothing_and_says_the_same(self, bench):
        first = await run(infer, new_task(), bench, "infer:1")
        again = await run(infer, new_task(), bench, "infer:1")
        assert only(first, Outcome) == only(again, Outcome)
        assert len(bench.providers["fast"].calls) == 1

    async def test_after_its_deadline_it_still_passes_on_what_is_paid(self, bench):
        first = await run(infer, new_task(), bench, "infer:1")
        bench.clock.advance(600)
        assert only(await run(infer, new_task(), bench, "infer:1"), Outcome) == only(first, Outcome)

    async def test_an_error_falls_back_to_the_next_provider(self):
        bench = new(fast=FakeProvider(BUSY))
        outputs = await run(infer, new_task(), bench, "infer:1")
        outcome = only(outputs, Outcome)
        assert (outcome.status, outcome.provider, outcome.cost_usd) == (ResultStatus.OK, "spare", CALL_COST)
        assert [attempt.outcome for attempt in outcome.route] == ["overloaded", "ok"]
        assert outcome.route[1].why == "fallback: fast overloaded"
        assert len({attempt.attempt_id for attempt in outcome.route}) == 2
        assert topics_of(outputs, Hops) == ["hops", "hops"]

    async def test_a_chain_without_an_answer_is_promoted(self):
        bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY))
        outputs = await run(infer, new_task(), bench, "infer:1")
        assert topics_of(outputs, TierTask) == ["tier2"]
        task = only(outputs, TierTask)
        assert (task.tier, len(task.attempts), task.why) == (2, 2, "promoted from tier 1: overloaded")
        assert only(outputs, Status).events[0].tier == 2
        done = only(await run(infer, task, bench, "infer:2"), Outcome)
        assert (done.status, done.tier, len(done.route)) == (ResultStatus.OK, 2, 3)

    async def test_what_is_too_long_for_one_model_of_a_tier_skips_the_others(self):
        bench = new(fast=FakeProvider(provider_error(ErrorKind.CONTEXT_TOO_LONG)))
        outputs = await run(infer, new_task(), bench, "infer:1")
        assert only(outputs, TierTask).tier == 2
        assert bench.providers["spare"].calls == []

    @pytest.mark.parametrize("kind", list(ErrorKind))
    async def test_every_kind_of_error_leads_on(self, kind):
        bench = new(fast=FakeProvider(provider_error(kind)))
        assert only(await run(infer, new_task(), bench, "infer:1"), (TierTask, Outcome)) is not None

    async def test_nobody_answers_at_the_ceiling(self):
        bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY))
        outcome = only(await run(infer, new_task(ceiling=1), bench, "infer:1"), Outcome)
        assert (outcome.status, outcome.error.code, outcome.content) == (ResultStatus.FAILED, "no_provider", None)
        assert len(outcome.route) == 2

    async def test_nobody_answers_at_the_ceiling_but_there_is_an_earlier_answer(self):
        bench = new(trusted=FakeProvider(BUSY))
        task = new_task(tier=3).model_copy(update={"best": completion("better than nothing")})
        outcome = only(await run(infer, task, bench, "infer:3"), Outcome)
        assert (outcome.status, outcome.content, outcome.error) == (ResultStatus.DEGRADED, "better than nothing", None)

    @pytest.mark.parametrize(
        ("reply", "check", "best"),
        [
            ("I don't know.", "hedge", "I don't know."),
            (ChatReply("cut of", "length", USAGE), "truncated", "cut of"),
            (" ", "empty", None),
        ],
    )
    async def test_a_failed_check_escalates_and_keeps_the_answer(self, reply, check, best):
        outputs = await run(infer, new_task(), new(fast=FakeProvider(reply)), "infer:1")
        escalation = only(outputs, Escalation)
        assert escalation.reason == f"check: {check}"
        assert (escalation.task.best and escalation.task.best.content) == best
        assert escalation.task.attempts[-1].outcome == check
        assert escalation.task.cost_usd == CALL_COST

    async def test_an_answer_outside_its_schema_escalates(self):
        task = new_task(new_request(response_schema={"type": "object"}))
        outputs = await run(infer, task, new(fast=FakeProvider("no object")), "infer:1")
        assert only(outputs, Escalation).reason == "check: schema"

    async def test_an_empty_answer_does_not_replace_a_better_one(self):
        task = new_task().model_copy(update={"best": completion("earlier")})
        outputs = await run(infer, task, new(fast=FakeProvider(" ")), "infer:1")
        assert only(outputs, Escalation).task.best.content == "earlier"

    async def test_an_answer_on_a_critical_path_goes_to_the_judge(self, bench):
        outputs = await run(infer, new_task(validate_answer=True), bench, "infer:1")
        answer = only(outputs, Answer)
        assert (answer.completion.content, answer.task.attempts[0].outcome) == ("an answer", "ok")

    @pytest.mark.parametrize("tier", [2, 3])
    async def test_at_the_ceiling_no_judge_is_asked(self, bench, tier):
        task = new_task(tier=tier, ceiling=tier, validate_answer=True)
        assert only(await run(infer, task, bench, f"infer:{tier}"), Outcome).status is ResultStatus.OK

    async def test_without_a_judge_nobody_is_asked(self):
        bench = new()
        settings = bench.settings.model_copy(update={"validation": ValidationSettings()})
        bench = dataclasses.replace(bench, engine=dataclasses.replace(bench.engine, settings=settings))
        assert only(await run(infer, new_task(validate_answer=True), bench, "infer:1"), Outcome)

    async def test_the_deadline_ends_it_before_a_call(self, bench):
        bench.clock.advance(60)
        outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
        assert (outcome.status, outcome.error.code) == (ResultStatus.EXPIRED, "deadline")
        assert bench.providers["fast"].calls == []

    async def test_the_deadline_ends_it_between_two_calls(self):
        fast = FakeProvider(BUSY)
        bench = new(fast=fast)

        async def slow() -> None:
            bench.clock.advance(61)

        fast.on_call = slow
        outputs = await run(infer, new_task(), bench, "infer:1")
        outcome = only(outputs, Outcome)
        assert (outcome.status, len(outcome.route)) == (ResultStatus.EXPIRED, 1)
        assert len([o for o in outputs if isinstance(o.record, Hops)]) == 1
        assert bench.providers["spare"].calls == []

    async def test_used_up_money_ends_it_with_the_best_answer(self):
        request = new_request(max_cost_usd=CALL_COST)
        bench = new(fast=FakeProvider("I don't know."))
        escalation = only(await run(infer, new_task(request), bench, "infer:1"), Escalation)
        up = escalation.task.model_copy(update={"tier": 2})
        outcome = only(await run(infer, up, bench, "infer:2"), Outcome)
        assert (outcome.status, outcome.content, outcome.cost_usd) == (
            ResultStatus.DEGRADED,
            "I don't know.",
            CALL_COST,
        )
        assert bench.providers["trusted"].calls == []

    async def test_used_up_money_without_an_answer_fails(self):
        bench = new(fast=FakeProvider(provider_error(ErrorKind.CUT, usage=USAGE)))
        outcome = only(
            await run(infer, new_task(new_request(max_cost_usd=Decimal("0.001"))), bench, "infer:1"), Outcome
        )
        assert (outcome.status, outcome.error.code) == (ResultStatus.FAILED, "max_cost")
        assert bench.providers["spare"].calls == []

    async def test_restricted_data_goes_only_to_who_may_see_it(self, bench):
        task = new_task(new_request(context={"data_class": "restricted"}))
        promoted = only(await run(infer, task, bench, "infer:1"), TierTask)
        assert (promoted.tier, promoted.why) == (2, "promoted from tier 1: no provider may see the request")
        assert only(await run(infer, promoted, bench, "infer:2"), Outcome).provider == "trusted"
        assert bench.providers["fast"].calls == bench.providers["spare"].calls == []

    async def test_restricted_data_at_its_ceiling_fails_without_a_call(self, bench):
        task = new_task(new_request(context={"data_class": "restricted"}), ceiling=1)
        outcome = only(await run(infer, task, bench, "infer:1"), Outcome)
        assert (outcome.error.code, outcome.route) == ("no_provider", ())


def completion(content: str = "an answer") -> Completion:
    return Completion(
        attempt_id="dca8c1d7-23d1-527e-839e-1b10e9936607",
        tier=1,
        provider="fast",
        model="a",
        content=content,
        finish_reason="stop",
        usage=USAGE,
    )


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
        assert sent.params.temperature == 0
        assert sent.response_schema is not None
        assert only(outputs, Hops).hops[0].detail == "confidence 0.90"

    async def test_an_answer_that_fails_is_escalated(self):
        outputs = await self.validate(new(trusted=FakeProvider(FAIL)))
        escalation = only(outputs, Escalation)
        assert (escalation.reason, escalation.task.best) == ("judge: fail", completion())
        assert escalation.task.attempts[-1].outcome == "judge_fail"

    @pytest.mark.parametrize(("first", "name"), [("It looks fine.", "judge_unreadable"), (BUSY, "overloaded")])
    async def test_without_a_verdict_the_other_judge_is_asked(self, first, name):
        bench = new(trusted=FakeProvider(first), spare=FakeProvider(FAIL))
        outputs = await self.validate(bench)
        assert [a.outcome for a in only(outputs, Escalation).task.attempts] == [name, "judge_fail"]
        assert topics_of(outputs, Hops) == ["hops", "hops"]

    async def test_without_any_verdict_the_answer_is_published(self):
        bench = new(trusted=FakeProvider(BUSY), spare=FakeProvider("?"))
        outputs = await self.validate(bench)
        assert only(outputs, Outcome).status is ResultStatus.OK
        hops = [output.record.hops[0].outcome for output in outputs if isinstance(output.record, Hops)]
        assert hops == ["overloaded", "judge_unreadable", "unjudged"]

    async def test_a_judge_that_may_not_see_the_data_is_not_asked(self):
        validation = {"judge": {"provider": "fast", "model": "a"}, "fallback": {"provider": "spare", "model": "b"}}
        bench = new(SETTINGS | {"validation": validation})
        outputs = await self.validate(bench, request=new_request(context={"data_class": "restricted"}))
        assert only(outputs, Outcome).status is ResultStatus.OK
        assert only(outputs, Hops).hops[0].outcome == "unjudged"
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
        assert only(outputs, Hops).hops[0].outcome == "escalated"

    @pytest.mark.parametrize(("best", "status"), [(completion(), ResultStatus.DEGRADED), (None, ResultStatus.FAILED)])
    async def test_at_the_ceiling_it_ends(self, bench, best, status):
        task = new_task(tier=2, ceiling=2).model_copy(update={"best": best})
        outputs = await run(escalate, Escalation(task=task, reason="judge: fail"), bench, "escalate")
        outcome = only(outputs, Outcome)
        assert outcome.status is status
        assert (outcome.content, outcome.error and outcome.error.code) == (
            ("an answer", None) if best else (None, "no_good_answer")
        )
        assert only(outputs, Hops).hops[0].outcome == "exhausted"


async def test_a_hard_case_from_tier_to_tier():
    """Hedge on tier 1, a failed verdict on tier 2, a good answer on tier 3: one outcome with every cost."""
    bench = new(fast=FakeProvider("I don't know."), trusted=FakeProvider("wrong", FAIL, "right"))
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


def test_the_topology_is_declared():
    names = [i.name for stage in STAGES for i in stage.instances(Settings(**SETTINGS))]
    assert names == ["classify", "infer:1", "infer:2", "infer:3", "validate", "escalate"]

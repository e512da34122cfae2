"""Who judges which answers, why, and what becomes of those that fail or find no judge."""

import asyncio
from typing import Any

import pytest
from support.handler_runs import BUSY, FAIL, PASS, all_of, completion, new, only, run, topics_of
from support.in_memory import SETTINGS, Bench, FakeProvider, new_request, new_task

from agents.escalate import escalate
from agents.infer import infer
from agents.validate import validate
from streams.admission import UnavailableError
from streams.validation.best_answer import better
from topics.base import Record
from topics.events import Hops, Status, StatusKind
from topics.journal import CallEnded
from topics.learned import JudgeRate, JudgeRates
from topics.results import Outcome, ResultStatus
from topics.tasks import Answer, Completion, Escalation, Parked, TierTask

WHY = '{"verdict": "fail", "confidence": 0.8, "problems": ["wrong"], "reason": "It cites\\n clause 9."}'
TOLD, SAID = "judge: fail: wrong", "It cites clause 9."


def configured(**validation: Any) -> dict[str, Any]:
    return SETTINGS | {"validation": SETTINGS["validation"] | validation}


def learned(bench: Bench, rate: float, **cell: Any) -> None:
    """Have the deployment learned a rate of the answers of fast/a, and none of all others."""
    cells = (JudgeRate(tier=1, model="fast/a", query_type="faq", rate=rate, reason="12 of 60 failed"),) if cell else ()
    rates = JudgeRates(others=0 if cells else rate, reason="nothing", cells=cells, at=bench.clock())
    bench.engine.learned._rates = rates
    bench.engine.learned._cells = {(one.tier, one.model, one.query_type): one for one in rates.cells}


def answer(by: Completion | None = None, **fields: Any) -> Answer:
    extra = {name: fields.pop(name) for name in ("why", "withheld") if name in fields}
    fields.setdefault("validate_answer", True)
    return Answer(task=new_task(**fields), completion=by or completion(), **extra)


def of(provider: str, model: str) -> Completion:
    return completion().model_copy(update={"provider": provider, "model": model})


def outcomes_of(record: Outcome | TierTask | Hops) -> list[str]:
    return [hop.outcome for hop in record.hops]


class TestWhoJudges:
    @pytest.mark.parametrize(
        ("by", "judge"),
        [(of("fast", "a"), "trusted"), (of("trusted", "d"), "spare"), (of("trusted", "c"), "spare")],
        ids=["another family", "of the first judge's family", "the first judge itself"],
    )
    async def test_a_judge_of_another_family_is_asked(self, by, judge):
        bench = new(trusted=FakeProvider(PASS), spare=FakeProvider(PASS))
        [hop] = only(await run(validate, answer(by), bench, "validate"), Outcome).hops
        assert (hop.provider, hop.detail) == (judge, "critical path; confidence 0.90")

    async def test_one_of_the_same_family_is_asked_where_no_other_can_be_had_and_the_hop_says_so(self):
        bench = new(trusted=FakeProvider(PASS), spare=FakeProvider(BUSY))
        [_, hop] = only(await run(validate, answer(of("trusted", "d")), bench, "validate"), Outcome).hops
        assert (hop.model, hop.detail) == ("c", "critical path; of the answerer's family; confidence 0.90")

    async def test_nobody_judges_its_own_answers_whoever_serves_the_model(self):
        judges = [{"provider": "trusted", "model": "c"}, {"provider": "fast", "model": "vendor/C"}]
        bench = new(configured(judges=judges))
        outcome = only(await run(validate, answer(of("trusted", "c")), bench, "validate"), Outcome)
        assert (outcome.status, outcomes_of(outcome)) == (ResultStatus.OK, ["unjudged"])
        assert not any(provider.calls for provider in bench.providers.values())

    async def test_a_list_of_judges_replaces_the_pair(self):
        bench = new(
            configured(judges=[{"provider": "spare", "model": "b"}]),
            spare=FakeProvider("?"),
            trusted=FakeProvider(PASS),
        )
        outcome = only(await run(validate, answer(), bench, "validate"), Outcome)
        assert outcomes_of(outcome) == ["judge_unreadable", "unjudged"]

    async def test_a_verdict_with_a_reason_is_told(self):
        bench = new(trusted=FakeProvider(WHY))
        escalation = only(await run(validate, answer(), bench, "validate"), Escalation)
        [hop] = escalation.task.hops
        assert (escalation.reason, escalation.task.best.failed) == (TOLD, TOLD)
        assert (escalation.said, escalation.task.best.said) == (SAID, SAID)
        assert hop.detail == "critical path; confidence 0.80; wrong"
        assert hop.scores == (0.0,)


async def test_judges_calls_leave_together():
    batching = {"max_wait_ms": 10_000, "max_size": 3, "idle_below": 0}
    bench = new(configured(batching=batching), trusted=FakeProvider(PASS))
    calls = bench.calls("validate")
    ids = [f"r{n}" for n in range(3)]
    found = await asyncio.gather(
        *(
            run(validate, answer(request=new_request(request_id=name)), bench, "validate", request_id=name, calls=calls)
            for name in ids
        )
    )
    assert [only(outputs, Outcome).status for outputs in found] == ["ok"] * 3
    assert {ended.batch_size for ended in bench.published(CallEnded)} == {3}


class TestWhyItLooks:
    async def infer(self, bench: Bench, **fields: Any) -> Record:
        tier = fields.get("tier", 1)
        [found] = [o.record for o in await run(infer, new_task(**fields), bench, f"infer:{tier}")]
        return found

    @pytest.mark.parametrize(("rate", "kind"), [(0.0, Outcome), (1.0, Answer)])
    async def test_a_sample_at_the_rate_of_the_settings(self, rate, kind):
        found = await self.infer(new(configured(sample_rate=rate)))
        assert isinstance(found, kind)
        if isinstance(found, Answer):
            assert (found.why, found.withheld) == ("sampled at 1: the setting", True)
            assert not found.task.decision.validate_answer

    @pytest.mark.parametrize(("rate", "kind"), [(0.0, Outcome), (1.0, Answer)])
    async def test_what_was_learned_of_the_model_wins(self, rate, kind):
        bench = new(configured(sample_rate=0.5))
        learned(bench, rate, of="fast/a")
        found = await self.infer(bench)
        assert isinstance(found, kind)
        if isinstance(found, Answer):
            assert found.why == "sampled at 1: 12 of 60 failed"
        assert isinstance(await self.infer(bench, tier=2), Outcome)

    async def test_whoever_wants_no_sample_gets_none_whatever_was_learned(self):
        bench = new()
        learned(bench, 1.0)
        assert isinstance(await self.infer(bench), Outcome)

    async def test_the_sample_is_picked_by_the_digest_and_anew_on_each_tier(self):
        bench = new(configured(sample_rate=0.25))
        picked = {1: set(), 2: set()}
        for n in range(200):
            for tier, ids in picked.items():
                request = new_request(request_id=f"r{n}")
                if isinstance(await self.infer(bench, request=request, tier=tier), Answer):
                    ids.add(n)
        assert all(30 <= len(ids) <= 70 for ids in picked.values())
        assert len(picked[1] & picked[2]) < 25
        again = [
            n
            for n in range(200)
            if isinstance(await self.infer(bench, request=new_request(request_id=f"r{n}")), Answer)
        ]
        assert set(again) == picked[1]

    async def test_no_record_where_nobody_may_judge(self):
        only_itself = configured(sample_rate=1.0, judges=[{"provider": "fast", "model": "a"}])
        assert isinstance(await self.infer(new(only_itself)), Outcome)

    @pytest.mark.parametrize(
        "fields",
        [{"tier": 3}, {"ceiling": 1}, {"request": new_request(stream=True)}],
        ids=["top", "ceiling", "streamed"],
    )
    async def test_a_sample_that_can_not_be_helped_is_looked_at_and_goes_out(self, fields):
        bench = new(configured(sample_rate=1.0), spare=FakeProvider(FAIL), trusted=FakeProvider("an answer", FAIL))
        looked_at = await self.infer(bench, **fields)
        assert isinstance(looked_at, Answer)
        assert not looked_at.withheld
        judge = new(spare=FakeProvider(FAIL), trusted=FakeProvider(FAIL))
        outcome = only(await run(validate, looked_at, judge, "validate"), Outcome)
        assert (outcome.status, outcome.content, outcome.reason) == (ResultStatus.OK, "an answer", None)
        assert outcomes_of(outcome)[-1] == "judge_fail"

    async def test_a_streamed_sample_shows_its_text_and_a_critical_answer_does_not(self):
        bench = new(configured(sample_rate=1.0))
        await self.infer(bench, request=new_request(stream=True))
        await self.infer(bench, request=new_request(stream=True, request_id="r2"), validate_answer=True)
        sampled, critical = bench.providers["fast"].calls
        assert (sampled.on_piece is None, critical.on_piece is None) == (False, True)

    async def test_a_sample_that_fails_goes_up(self):
        outputs = await run(
            validate, answer(validate_answer=False, why="sampled"), new(trusted=FakeProvider(FAIL)), "validate"
        )
        assert only(outputs, Escalation).reason == "judge: fail"


class TestTopTier:
    async def test_by_default_no_critical_answer_waits_there(self):
        outputs = await run(infer, new_task(tier=3, validate_answer=True), new(), "infer:3")
        assert only(outputs, Outcome).status is ResultStatus.OK

    async def test_where_it_does_a_fail_is_degraded_and_says_why(self):
        bench = new(configured(judge_top_tier=True), spare=FakeProvider(WHY), trusted=FakeProvider("clause 9"))
        given = only(await run(infer, new_task(tier=3, validate_answer=True), bench, "infer:3"), Answer)
        failed = only(await run(validate, given, bench, "validate"), Escalation)
        outcome = only(await run(escalate, failed, bench, "escalate"), Outcome)
        assert (outcome.status, outcome.content) == (ResultStatus.DEGRADED, "clause 9")
        assert (outcome.reason, outcome.said) == (TOLD, SAID)
        assert outcomes_of(outcome) == ["ok", "judge_fail", "exhausted"]


class TestWithoutJudge:
    async def test_it_passes_by_default(self):
        bench = new(trusted=FakeProvider(BUSY), spare=FakeProvider(BUSY))
        outcome = only(await run(validate, answer(), bench, "validate"), Outcome)
        assert (outcome.status, outcome.hops[-1].outcome, outcome.hops[-1].detail) == (
            "ok",
            "unjudged",
            "critical path",
        )

    async def test_it_goes_up(self):
        bench = new(configured(without_judge="escalate"), trusted=FakeProvider(BUSY), spare=FakeProvider("?"))
        escalation = only(await run(validate, answer(), bench, "validate"), Escalation)
        assert (escalation.reason, escalation.task.best.failed) == ("no judge", "no judge")
        assert outcomes_of(escalation.task) == ["overloaded", "judge_unreadable", "unjudged"]

    async def test_it_rests_and_is_judged_when_it_comes_back(self):
        bench = new(configured(without_judge="park"), trusted=FakeProvider(BUSY), spare=FakeProvider(BUSY))
        outputs = await run(validate, answer(), bench, "validate")
        parked = only(outputs, Parked)
        assert (parked.reason, parked.completion, parked.task.hops) == ("no judge", completion(), ())
        assert only(outputs, Status).events[0].kind is StatusKind.PARKED
        assert outcomes_of(only(outputs, Hops)) == ["overloaded", "overloaded", "parked"]
        bench.providers["trusted"].script = [PASS]
        back = Answer(task=parked.task, completion=parked.completion)
        outcome = only(await run(validate, back, bench, "validate"), Outcome)
        assert (outcome.status, [a.outcome for a in outcome.route]) == (
            "ok",
            ["overloaded", "overloaded", "judge_pass"],
        )

    @pytest.mark.parametrize("said", ["?", FAIL])
    async def test_it_rests_only_where_a_judge_may_be_back(self, said):
        bench = new(configured(without_judge="park"), trusted=FakeProvider(said), spare=FakeProvider("?"))
        assert all_of(await run(validate, answer(), bench, "validate"), Parked) == []

    async def test_it_does_not_rest_past_its_deadline(self):
        bench = new(configured(without_judge="park"))
        bench.clock.advance(60)
        outcome = only(await run(validate, answer(), bench, "validate"), Outcome)
        assert (outcome.status, outcomes_of(outcome)) == (ResultStatus.OK, ["unjudged"])

    @pytest.mark.parametrize("then", ["escalate", "park"])
    async def test_a_sample_always_passes(self, then, monkeypatch):
        bench = new(configured(without_judge=then))

        async def away(*_: object, **__: object) -> None:
            raise UnavailableError("trusted/c", "breaker_open", None)

        monkeypatch.setattr("streams.runtime.stage.Context.pay", away)
        outputs = await run(validate, answer(validate_answer=False, why="sampled"), bench, "validate")
        assert only(outputs, Outcome).status is ResultStatus.OK


class TestNextTier:
    @pytest.mark.parametrize(
        ("context", "has"),
        [("none", (False, False)), ("reason", (True, False)), ("answer", (True, True))],
    )
    async def test_it_is_told_as_much_as_the_settings_say(self, context, has):
        bench = new(SETTINGS | {"escalation": {"context": context}}, trusted=FakeProvider("right"))
        best = completion("It is </earlier_answer> clause 9.").model_copy(update={"failed": TOLD, "said": SAID})
        await run(infer, new_task(tier=2, best=best), bench, "infer:2")
        [call] = bench.providers["trusted"].calls
        first, *notes = call.prompt.messages
        assert first == new_request().messages[0]
        told = "".join(note.text for note in notes)
        assert (f"<finding>\n{TOLD}: {SAID}\n</finding>" in told, "clause 9.\n</earlier_answer>" in told) == has
        assert "is </earlier_answer>" not in told

    async def test_it_is_the_same_after_a_restart(self):
        best = completion().model_copy(update={"failed": TOLD})
        prompts = []
        for _ in range(2):
            bench = new()
            await run(infer, new_task(tier=2, best=best), bench, "infer:2")
            prompts.append(bench.providers["trusted"].calls[0].prompt)
        assert prompts[0] == prompts[1]

    async def test_a_promotion_alone_tells_nothing(self):
        bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY))
        up = only(await run(infer, new_task(), bench, "infer:1"), TierTask)
        await run(infer, up, bench, "infer:2")
        assert bench.providers["trusted"].calls[0].prompt.messages == new_request().messages

    async def test_no_note_stands_behind_words_that_the_model_is_to_go_on_with(self):
        request = new_request().model_copy(
            update={
                "messages": (
                    *new_request().messages,
                    new_request("{").messages[0].model_copy(update={"role": "assistant"}),
                )
            }
        )
        bench = new()
        best = completion().model_copy(update={"failed": TOLD})
        await run(infer, new_task(request, tier=2, best=best), bench, "infer:2")
        assert bench.providers["trusted"].calls[0].prompt.messages == request.messages

    async def test_no_note_where_the_model_has_no_room_for_it(self):
        tiers = [
            SETTINGS["tiers"][0],
            {"name": "two", "models": [{"provider": "trusted", "model": "c", "context_window": 1180}]},
            SETTINGS["tiers"][2],
        ]
        bench = new(SETTINGS | {"tiers": tiers, "escalation": {"context": "answer"}})
        best = completion("word " * 2000).model_copy(update={"failed": TOLD})
        await run(infer, new_task(tier=2, best=best), bench, "infer:2")
        assert bench.providers["trusted"].calls[0].prompt.messages == new_request().messages

    async def test_requesters_are_told_what_the_judge_said_and_the_route_and_the_hops_are_not(self):
        escalation = Escalation(task=new_task(), reason=TOLD, said=SAID)
        outputs = await run(escalate, escalation, new(), "escalate")
        up = only(outputs, TierTask)
        assert (up.why, up.hops[-1].detail) == ("escalated from tier 1: judge: fail", TOLD)
        assert only(outputs, Status).events[0].detail == f"{TOLD}: {SAID}"
        assert topics_of(outputs, TierTask) == ["tier2"]


@pytest.mark.parametrize(
    ("earlier", "later", "reason", "wins"),
    [
        ("judge: fail: wrong", "check: truncated", "the second", "earlier"),
        ("check: truncated", "judge: fail", "the second", "later"),
        ("judge: fail", "judge: fail: evasive", "the second", "later"),
        ("check: hedge", "check: schema", "the second", "later"),
        ("judge: fail", "check: hedge", "the second", "earlier"),
        ("no judge", "judge: fail", "the second", "earlier"),
        ("check: truncated", "check: empty", " ", "earlier"),
        (None, "check: hedge", "the second", "later"),
    ],
)
def test_the_best_answer_is_the_one_that_came_furthest(earlier, later, reason, wins):
    best = completion("the first").model_copy(update={"failed": earlier})
    found = better(best, completion(reason), later)
    assert (found.content, found.failed) == (("the first", earlier) if wins == "earlier" else (reason, later))


async def test_time_that_is_up_ends_it_with_the_best_answer_and_why():
    bench = new()
    bench.clock.advance(60)
    best = completion().model_copy(update={"failed": TOLD})
    outcome = only(await run(infer, new_task(tier=2, best=best), bench, "infer:2"), Outcome)
    assert (outcome.status, outcome.reason) == ("degraded", f"{TOLD}; the deadline passed before an answer was found")

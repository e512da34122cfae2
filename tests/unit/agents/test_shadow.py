"""The shadow stage: a candidate answers what was answered, and a judge says twice which answer is better."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from support.handler_runs import completion, kinds, new, only, run
from support.in_memory import BASE, CALL_COST, SETTINGS, Bench, FakeProvider, new_request, new_task, provider_error

from agents.infer import infer
from agents.shadow import shadow
from streams.kafka.lease import PartitionLostError
from streams.providers.base import ErrorKind
from topics.control import BreakerState
from topics.events import Hop, Hops
from topics.journal import CallEnded, CallStarted, Purpose
from topics.results import Outcome
from topics.shadow import ShadowTask
from topics.tasks import Answer, Escalation

CANDIDATE = {"provider": "trusted", "model": "next", "timeout_s": 7}
JUDGES = [{"provider": "spare", "model": "judge"}, {"provider": "fast", "model": "other judge"}]
PLAN = {"name": "next", "tier": 1, "model": CANDIDATE, "share": 1, "budget_usd_per_day": 1000, "judges": JUDGES}
A, B, SAME = (json.dumps({"better": better, "reason": f"it is {better}"}) for better in ("A", "B", "same"))


def configured(**fields: Any) -> dict[str, Any]:
    priced = {ref: {"input": 1, "output": 10} for ref in ("trusted/next", "spare/judge", "fast/other judge")}
    return {**SETTINGS, "prices": SETTINGS["prices"] | priced, "shadow": [{**PLAN, **fields}]}


def with_plan(plan: dict[str, Any] | None = None, **scripts: FakeProvider) -> Bench:
    return new(configured(**plan or {}), **scripts)


def given(text: str = "an answer", **fields: Any) -> ShadowTask:
    return ShadowTask(task=new_task(**fields), completion=completion(text), shadow="next")


async def hops_of(bench: Bench, record: ShadowTask | None = None, **fields: Any) -> list[Hop]:
    return list(only(await run(shadow, record or given(), bench, "shadow", **fields), Hops).hops)


def told(hops: Sequence[Hop]) -> list[str]:
    return [hop.outcome for hop in hops]


def paid(bench: Bench) -> list[str]:
    return [f"{call.provider}/{call.model}" for call in bench.published(CallStarted)]


class TestWhatIsCompared:
    async def test_an_answer_leaves_a_shadow_task_beside_its_outcome(self):
        bench = with_plan()
        outputs = await run(infer, new_task(), bench, "infer:1")
        outcome, task = only(outputs, Outcome), only(outputs, ShadowTask)
        assert kinds(outputs) == [Outcome, ShadowTask]
        assert (task.shadow, task.completion.attempt_id, task.completion.content) == (
            "next",
            outcome.attempt_id,
            "an answer",
        )
        assert (task.task.attempts, task.task.hops, task.task.tier) == ((), (), 1)
        assert task.task.deadline == BASE + bench.settings.deadlines.longest
        plain = only(await run(infer, new_task(), new(), "infer:1"), Outcome)
        # How long a call waited for its batch is real time.
        assert outcome.model_copy(update={"hops": ()}) == plain.model_copy(update={"hops": ()})

    async def test_without_a_shadow_there_is_no_further_record(self):
        assert kinds(await run(infer, new_task(), new(), "infer:1")) == [Outcome]

    async def test_a_share_is_picked_by_the_digest_and_the_same_one_again(self):
        bench = with_plan({"share": 0.3})
        ids = [f"r{n}" for n in range(300)]
        runs = [
            {
                name
                for name in ids
                if ShadowTask
                in kinds(await run(infer, new_task(new_request(request_id=name)), bench, "infer:1", request_id=name))
            }
            for _ in range(2)
        ]
        assert runs[0] == runs[1]
        assert 60 < len(runs[0]) < 120

    @pytest.mark.parametrize(
        "plan", [{"tier": 2}, {"share": 0}, {"query_types": ["code"]}, {"model": SETTINGS["tiers"][0]["models"][0]}]
    )
    async def test_what_the_shadow_is_not_about_leaves_none(self, plan):
        assert kinds(await run(infer, new_task(), with_plan(plan), "infer:1")) == [Outcome]

    async def test_a_request_that_the_candidate_may_not_see_leaves_none(self):
        request = new_request(context={"data_class": "restricted"})
        plan = {
            "tier": 2,
            "model": {"provider": "spare", "model": "next"},
            "judges": [{"provider": "trusted", "model": "d"}],
        }
        settings = configured(**plan)
        settings["prices"]["spare/next"] = {"input": 1, "output": 10}
        bench = new(settings)
        assert kinds(await run(infer, new_task(request, tier=2), bench, "infer:2")) == [Outcome]
        seen = new_task(new_request(), tier=2)
        assert ShadowTask in kinds(await run(infer, seen, bench, "infer:2"))

    async def test_nor_does_one_that_no_judge_may_see(self):
        request = new_request(context={"data_class": "restricted"})
        assert kinds(await run(infer, new_task(request, tier=2), with_plan({"tier": 2}), "infer:2")) == [Outcome]

    async def test_answers_that_fail_a_check_or_wait_for_a_judge_leave_none(self):
        failed = await run(infer, new_task(), with_plan(fast=FakeProvider("I don't know.")), "infer:1")
        assert kinds(failed) == [Escalation]
        judged = await run(infer, new_task(validate_answer=True), with_plan(), "infer:1")
        assert kinds(judged) == [Answer]

    async def test_a_record_that_would_hardly_fit_is_left_out_and_the_answer_goes_its_way(self):
        settings = configured() | {"kafka": {"record_max_bytes": 20_000, "request_max_bytes": 2_000}}
        bench = new(settings, fast=FakeProvider("x" * 10_000))
        assert kinds(await run(infer, new_task(), bench, "infer:1")) == [Outcome]


class TestTheComparison:
    @pytest.mark.parametrize(
        ("first", "second", "outcome", "scores"),
        [
            (B, A, "win", (1.0, 1.0)),
            (A, B, "loss", (0.0, 0.0)),
            (SAME, SAME, "tie", (0.5, 0.5)),
            (A, A, "tie", (0.0, 1.0)),
            (B, B, "tie", (1.0, 0.0)),
            (B, SAME, "tie", (1.0, 0.5)),
        ],
    )
    async def test_only_what_both_orders_say_is_a_win_or_a_loss(self, first, second, outcome, scores):
        bench = with_plan(trusted=FakeProvider("another answer"), spare=FakeProvider(first, second))
        hops = await hops_of(bench)
        assert told(hops) == ["compared", "compared", outcome]
        assert hops[-1].scores == scores
        worth = {1.0: "better", 0.5: "same", 0.0: "worse"}
        assert hops[-1].detail == f"next: {worth[scores[0]]} / {worth[scores[1]]}"
        assert not any("it is" in (hop.detail or "") for hop in hops)
        assert (hops[-1].provider, hops[-1].model, hops[-1].cost_usd) == ("trusted", "next", CALL_COST)
        assert [(hop.provider, hop.model, hop.cost_usd) for hop in hops[:-1]] == [("spare", "judge", CALL_COST)] * 2
        assert len({hop.attempt_id for hop in hops}) == 3
        ended = list(bench.published(CallEnded))
        assert {(call.purpose, call.stage) for call in ended} == {(Purpose.SHADOW, "shadow")}

    async def test_the_judge_sees_both_orders_and_not_who_answered(self):
        bench = with_plan(trusted=FakeProvider("new text"), spare=FakeProvider(SAME))
        await hops_of(bench, given("old text"))
        first, second = (call.prompt.messages[-1].text for call in bench.providers["spare"].calls)
        assert first.index("old text") < first.index("new text")
        assert second.index("new text") < second.index("old text")
        prompts = [message.text for call in bench.providers["spare"].calls for message in call.prompt.messages]
        assert not any(name in text for text in prompts for name in ("trusted", "fast", "incumbent", "candidate"))
        assert bench.providers["trusted"].calls[0].prompt.messages == given().task.request.messages

    async def test_a_failed_check_is_a_loss_without_a_judge(self):
        bench = with_plan(trusted=FakeProvider("I don't know."))
        hops = await hops_of(bench)
        assert (told(hops), hops[0].detail, hops[0].scores) == (["loss"], "next: check hedge", (0.0, 0.0))
        assert paid(bench) == ["trusted/next"]

    async def test_the_same_text_is_a_tie_without_a_judge(self):
        bench = with_plan(trusted=FakeProvider(" an answer\n"))
        assert told(await hops_of(bench)) == ["tie"]
        assert paid(bench) == ["trusted/next"]

    async def test_a_candidate_that_gives_no_answer_has_failed(self):
        bench = with_plan(trusted=FakeProvider(provider_error(ErrorKind.SERVER_ERROR)))
        [hop] = await hops_of(bench)
        assert (hop.outcome, hop.detail, hop.model) == ("failed", "next: server_error", "next")

    @pytest.mark.parametrize(
        "broken", ["no json", '{"better": "C", "reason": ""}', '{"better": "A"}', provider_error(ErrorKind.TIMEOUT)]
    )
    @pytest.mark.parametrize("good", [0, 1])
    async def test_a_judge_that_gives_no_verdict_is_replaced_and_its_other_one_counts_for_nothing(self, broken, good):
        script = FakeProvider(*[A] * good, broken)
        bench = with_plan(trusted=FakeProvider("another"), spare=script, fast=FakeProvider(B, A))
        hops = await hops_of(bench)
        assert told(hops) == ["compared"] * (3 + good) + ["win"]
        assert paid(bench)[-2:] == ["fast/other judge"] * 2

    async def test_without_any_verdict_it_is_unjudged(self):
        broken = FakeProvider("no json")
        bench = with_plan(trusted=FakeProvider("another"), spare=broken, fast=broken)
        hops = await hops_of(bench)
        assert told(hops) == ["compared", "compared", "unjudged"]
        assert hops[-1].cost_usd == CALL_COST

    async def test_neither_candidate_nor_incumbent_judges_and_strangers_come_first(self):
        judges = [CANDIDATE, {"provider": "spare", "model": "a"}, {"provider": "fast", "model": "kin"}, JUDGES[0]]
        settings = configured(judges=judges)
        settings["prices"] |= {ref: {"input": 1, "output": 10} for ref in ("spare/a", "fast/kin")}
        bench = new(settings, trusted=FakeProvider("another"), spare=FakeProvider("x"), fast=FakeProvider(SAME))
        await hops_of(bench)
        assert paid(bench) == ["trusted/next", "spare/judge", "fast/kin", "fast/kin"]


class TestOnceOnly:
    async def test_delivered_again_it_pays_nothing_and_says_the_same(self):
        bench = with_plan(trusted=FakeProvider("another"), spare=FakeProvider(B, A))
        first, again = [await hops_of(bench) for _ in range(2)]
        assert [hop.model_copy(update={"ended_at": hop.started_at}) for hop in again] == first
        assert len(paid(bench)) == 3

    @pytest.mark.parametrize("survivors", [1, 2, 3, 4])
    async def test_after_a_crash_it_goes_on_where_it_was(self, survivors):
        """Whatever number of its calls had ended."""
        bench = with_plan(trusted=FakeProvider("another"), spare=FakeProvider(B, "broken"), fast=FakeProvider(B, A))
        with pytest.raises(PartitionLostError):
            await hops_of(bench, holds=lambda: len(list(bench.published(CallEnded))) < survivors)
        assert len(list(bench.published(CallEnded))) == survivors
        bench.clock.advance(10)
        hops = await hops_of(bench)
        assert told(hops) == ["compared"] * 4 + ["win"]
        models = [call.model for call in bench.published(CallEnded)]
        assert models == ["next", "judge", "judge", "other judge", "other judge"]

    async def test_another_judge_after_a_restart_begins_anew(self):
        bench = with_plan(trusted=FakeProvider("another"), spare=FakeProvider(A), fast=FakeProvider(B, A))
        bench.engine.gate.order("spare/judge", "open")
        assert told(await hops_of(bench)) == ["compared", "compared", "win"]
        bench.engine.gate.order("spare/judge", "closed")
        assert told(await hops_of(bench)) == ["compared", "compared", "win"]
        assert paid(bench) == ["trusted/next", "fast/other judge", "fast/other judge"]


class TestBounds:
    async def test_past_its_deadline_nothing_is_paid(self):
        bench = with_plan()
        bench.clock.advance(600)
        [hop] = await hops_of(bench)
        assert (hop.outcome, hop.provider, hop.model) == ("late", "trusted", "next")
        assert paid(bench) == []

    async def test_past_its_deadline_what_was_paid_counts(self):
        bench = with_plan(trusted=FakeProvider("another"), spare=FakeProvider(B, A))
        await hops_of(bench)
        bench.clock.advance(600)
        assert told(await hops_of(bench)) == ["compared", "compared", "win"]

    async def test_without_money_nothing_is_paid(self):
        bench = with_plan({"budget_usd_per_day": "0.01"}, trusted=FakeProvider("another"), spare=FakeProvider(B, A))
        one, other = given(), given(request=new_request(request_id="r2"))
        assert told(await hops_of(bench, one))[-1] == "win"
        bench.clock.advance(30)
        assert told(await hops_of(bench, one))[-1] == "win"
        # In the partition of the first one.
        lease = bench.lease("r1")
        [hop] = await hops_of(bench, other, lease=lease)
        assert (hop.outcome, hop.detail) == ("unaffordable", "next: of $0.01 a day nothing is left for now")
        assert len(paid(bench)) == 3

    async def test_what_is_booked_is_what_was_spent(self):
        bench = with_plan({"budget_usd_per_day": "1"}, trusted=FakeProvider("another"), spare=FakeProvider(B, A))
        await hops_of(bench)
        [purse] = bench.engine.shadow_budgets._purses.values()
        assert purse.level == -3 * CALL_COST == Decimal("-0.006")

    async def test_a_candidate_that_breaks_down_leaves_the_breaker_of_its_model_alone(self):
        plan = {"model": {"provider": "spare", "model": "b", "requests_per_minute": 600}, "judges": [JUDGES[1]]}
        bench = with_plan(plan, spare=FakeProvider(provider_error(ErrorKind.BAD_KEY, status=401)))
        first = await hops_of(bench)
        second = await hops_of(bench, given(request=new_request(request_id="r2")), request_id="r2")
        assert [first[0].outcome, second[0].outcome] == ["failed", "failed"]
        assert second[0].cost_usd is None
        shown = {one.target: one.state for one in bench.engine.gate.snapshot()}
        assert shown["shadow:next"] is BreakerState.OPEN
        assert shown["spare/b"] is BreakerState.CLOSED

    async def test_one_that_waits_for_its_turn_in_vain_has_not_failed(self):
        plan = {"model": CANDIDATE | {"requests_per_minute": 1}}
        bench = with_plan(plan, trusted=FakeProvider("an answer"))
        assert told(await hops_of(bench)) == ["tie"]
        [hop] = await hops_of(bench, given(request=new_request(request_id="r2")), request_id="r2")
        assert hop.outcome == "unjudged"
        assert "rate_limited" in hop.detail

    async def test_one_that_the_settings_have_no_longer_is_told(self):
        [hop] = await hops_of(with_plan({"name": "another"}), given())
        assert (hop.outcome, hop.detail) == ("unjudged", "next: the settings know it no longer")

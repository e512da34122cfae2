"""A tool loop over its stages: what infer tells, where classify sends what follows, and who is asked."""

from typing import Any

from support.handler_runs import BUSY, all_of, new, only, run
from support.in_memory import BASE_MS, CALL_COST, SETTINGS, USAGE, Bench, FakeProvider, new_task, provider_error
from support.tool_talk import assistant, call, calls, result, talk, user

from agents.classify import classify
from agents.infer import infer
from streams.control.control_state import Learned
from streams.kafka.publisher import Output
from streams.learning.canary import canary_of
from streams.providers.base import ErrorKind
from topics.conversations import Conversation, conversation_key
from topics.journal import CallEnded, CallStarted, Purpose, attempt_id
from topics.learned import CanaryState
from topics.messages import ToolCall
from topics.registry import CALLS, CONVERSATIONS
from topics.requests import Request
from topics.results import Outcome
from topics.tasks import Escalation, Parked, TierTask

LOOP = talk(user(), calls(), result())
STAYS = "conversation stays with spare/b"


async def known(bench: Bench, *records: Conversation) -> None:
    for record in records:
        bench.log.append(Output(CONVERSATIONS, record))
    await bench.engine.conversations._log.catch_up(range(bench.log.partitions))


def made_by(provider: str = "spare", model: str = "b", tier: int = 1) -> Conversation:
    key = conversation_key(None, (call(),))
    return Conversation(key=key, provider=provider, model=model, tier=tier, usage=USAGE, at=new_task().deadline)


async def routed(bench: Bench, request: Request = LOOP) -> TierTask:
    return only(await run(classify, request, bench, "classify"), TierTask)


def answered_before(bench: Bench, task: TierTask, *made: ToolCall) -> None:
    """Have the journal say that the first model of the tier answered before a restart."""
    stage = f"infer:{task.tier}"
    started = CallStarted(
        call_id=attempt_id("call", 0, stage, 0),
        attempt_id=attempt_id(task.request.request_id, task.revision, stage, 0),
        request_id=task.request.request_id,
        revision=task.revision,
        stage=stage,
        n=0,
        purpose=Purpose.INFER,
        tier=task.tier,
        provider="fast",
        model="a",
        started_at=bench.clock(),
        asked_ms=BASE_MS,
        deadline=task.deadline,
    )
    ended = started.end(
        ended_at=bench.clock(),
        content="Let me look.",
        finish_reason="tool_calls",
        usage=USAGE,
        cost_usd=CALL_COST,
        tool_calls=made,
    )
    for record in (started, ended):
        bench.log.append(Output(CALLS, record))


def asked(bench: Bench) -> list[str]:
    return [f"{one.provider}/{one.model}" for one in bench.published(CallStarted)]


class TestInfer:
    async def test_tells_which_model_made_calls(self):
        bench, task = new(), new_task(talk(user(), user_id="ann"))
        answered_before(bench, task, call("call_1"), call("call_2", '{"order": 18}'))
        told = only(await run(infer, task, bench, "infer:1"), Conversation)
        key = conversation_key("ann", (call("call_2"),))
        expected = Conversation(key=key, provider="fast", model="a", tier=1, usage=USAGE, at=bench.clock())
        assert told == expected

    async def test_tells_nothing_of_an_answer_without_calls(self):
        bench, task = new(), new_task(talk(user()))
        answered_before(bench, task)
        assert all_of(await run(infer, task, bench, "infer:1"), Conversation) == []

    async def test_tells_nothing_of_an_answer_that_failed_a_check(self):
        bench, task = new(), new_task(talk(user()))
        answered_before(bench, task, call(name="delete"))
        outputs = await run(infer, task, bench, "infer:1")
        assert only(outputs, Escalation).reason == "check: unknown_tool"
        assert all_of(outputs, Conversation) == []

    async def test_asks_the_model_of_the_conversation_first_and_the_others_behind_it(self):
        bench = new(spare=FakeProvider(BUSY))
        await known(bench, made_by())
        outcome = only(await run(infer, await routed(bench), bench, "infer:1"), Outcome)
        assert [(line.provider, line.why) for line in outcome.route] == [
            ("spare", STAYS),
            ("fast", "fallback: spare overloaded"),
        ]

    async def test_asks_the_others_where_it_can_not_be_had(self):
        bench = new()
        await known(bench, made_by())
        bench.engine.gate.order("spare/b", "open")
        outcome = only(await run(infer, await routed(bench), bench, "infer:1"), Outcome)
        assert [line.provider for line in outcome.route] == ["fast"]

    async def test_asks_it_again_when_it_was_parked_meanwhile(self):
        bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY, BUSY, "an answer"))
        await known(bench, made_by())
        task = (await routed(bench)).model_copy(update={"promoted_from": 1})
        for tier in (2, 3):
            bench.engine.gate.order(f"tier:{tier}", "open")
        parked = only(await run(infer, task, bench, "infer:1"), Parked)
        assert parked.task.stays_with == "spare/b"

    async def test_a_higher_tier_is_asked_in_its_own_order(self):
        bench = new()
        await known(bench, made_by())
        up = (await routed(bench)).model_copy(update={"tier": 2})
        assert up.stays_with is None
        await run(infer, up, bench, "infer:2")
        assert asked(bench) == ["trusted/c"]


class TestClassify:
    async def test_sends_the_loop_where_it_was_and_says_so(self):
        bench = new()
        await known(bench, made_by("trusted", "c", 2))
        task = await routed(bench)
        stays = "conversation stays with trusted/c"
        assert (task.tier, task.decision.stays_with, task.why, task.decision.rule) == (2, "trusted/c", stays, None)
        assert task.hops[-1].detail == stays

    async def test_sends_it_as_any_other_where_nothing_is_known(self):
        bench = new()
        task = await routed(bench)
        assert (task.tier, task.decision.stays_with, task.why) == (1, None, "classifier fixed/1")
        assert task.decision == (await routed(bench, talk(user(), tools=()))).decision

    async def test_reads_nothing_of_a_conversation_without_tools(self, monkeypatch):
        bench = new()
        await known(bench, made_by())
        monkeypatch.setattr("streams.runtime.conversations.conversation_key", None)
        talked = talk(user(), assistant(), user("And order 18?"), tools=())
        assert (await routed(bench, talked)).decision.stays_with is None

    async def test_a_budget_takes_it_down(self):
        settings: dict[str, Any] = {**SETTINGS, "routing": {**SETTINGS["routing"], "limits": {"user": {"ann": 1}}}}
        bench = new(settings)
        key = conversation_key("ann", (call(),))
        await known(bench, made_by("trusted", "c", 2).model_copy(update={"key": key}))
        task = await routed(bench, talk(*LOOP.messages, user_id="ann"))
        assert (task.tier, task.decision.stays_with) == (1, None)


async def test_a_loop_goes_on_where_it_was_escalated_to():
    bench, first = new(), new_task(talk(user()))
    second = first.model_copy(update={"tier": 2})
    answered_before(bench, second, call())
    told = only(await run(infer, second, bench, "infer:2"), Conversation)
    assert told.tier == 2
    await known(bench, told.model_copy(update={"provider": "trusted", "model": "c"}))
    assert (await routed(bench)).tier == 2


class TestACanary:
    @staticmethod
    def bench(share: float) -> Bench:
        candidate = {"provider": "trusted", "model": "next"}
        return new(
            {
                **SETTINGS,
                "prices": SETTINGS["prices"] | {"trusted/next": {"input": 1, "output": 10}},
                "canary": [{"name": "next", "tier": 1, "model": candidate, "share": share, "min_requests": 10}],
            }
        )

    async def test_gets_no_loop_that_others_began(self):
        bench = self.bench(1 - 1e-9)
        await known(bench, made_by())
        await run(infer, await routed(bench), bench, "infer:1")
        assert asked(bench) == ["spare/b"]

    async def test_keeps_a_loop_that_it_began(self):
        bench = self.bench(1e-9)
        await known(bench, made_by("trusted", "next"))
        outcome = only(await run(infer, await routed(bench), bench, "infer:1"), Outcome)
        assert asked(bench) == ["trusted/next"]
        assert canary_of(outcome.route[0].why) == "next"

    async def test_loses_it_when_it_is_stopped(self):
        bench = self.bench(1e-9)
        await known(bench, made_by("trusted", "next"))
        counts = dict.fromkeys(
            ("candidate_requests", "candidate_failures", "incumbent_requests", "incumbent_failures"), 0
        )
        state = CanaryState(
            name="next", model="trusted/next", state="stopped", reason="", by="ann", at=bench.clock(), **counts
        )
        bench.engine.learned.note(Learned(state, 0))
        await run(infer, await routed(bench), bench, "infer:1")
        assert asked(bench) == ["fast/a"]


async def test_the_next_step_goes_to_the_fallback_that_made_the_calls_while_the_first_model_was_away():
    away = provider_error(ErrorKind.SERVER_ERROR, status=500)
    bench = new(fast=FakeProvider(away, "an answer"))
    await known(bench, made_by())
    outcome = only(await run(infer, await routed(bench), bench, "infer:1"), Outcome)
    assert [line.provider for line in outcome.route] == ["spare"]
    assert [one.provider for one in bench.published(CallEnded)] == ["spare"]

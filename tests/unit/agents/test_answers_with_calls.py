"""Answers that call tools: checked, kept as the best one, shown to judges and to the next tier."""

import json

import pytest
from support.asked import called, conversation
from support.handler_runs import completion, new, only, run
from support.in_memory import SETTINGS, Bench, FakeProvider, new_task

from agents.infer import infer
from agents.shadow import shadow
from agents.validate import validate
from streams.fallback.model_chain import ChainResult
from streams.validation.best_answer import better
from topics.events import Hops
from topics.journal import CallEnded
from topics.shadow import ShadowTask
from topics.tasks import Answer

TOOLS = [{"type": "function", "function": {"name": "look", "description": "Looks it up."}}]
REQUEST = conversation("Where is it?", ("look", "{}", "nowhere"), tools=TOOLS)
LINE = '{"call": "look", "arguments": {}}'


def with_calls(content: str, *calls: str):
    return completion(content).model_copy(update={"tool_calls": called(*calls)})


@pytest.mark.parametrize(("calls", "check"), [(("look {}",), None), (("find {}",), "unknown_tool"), ((), "empty")])
async def test_the_chain_checks_the_calls_of_an_answer(calls, check):
    bench = new()
    await run(infer, new_task(), bench, "infer:1")
    [ended] = bench.published(CallEnded)
    result = ChainResult(new_task(REQUEST))
    result.add(ended.model_copy(update={"content": "", "tool_calls": called(*calls)}))
    assert (result.failed_check, result.task.attempts[-1].outcome) == (check, check or "ok")


def test_an_answer_that_only_calls_is_an_answer():
    failed = with_calls("", "find {}")
    assert better(None, failed, "check: unknown_tool").tool_calls == failed.tool_calls
    assert better(failed, completion(" "), "check: empty") is failed


async def test_the_judge_sees_tools_steps_and_calls():
    bench = new(trusted=FakeProvider('{"verdict": "pass", "confidence": 1}'))
    answer = Answer(task=new_task(REQUEST), completion=with_calls("Once more.", "look {}"))
    await run(validate, answer, bench, "validate")
    shown = bench.providers["trusted"].calls[0].prompt.messages[-1].text
    assert shown.splitlines() == [
        *("<tools>", "look: Looks it up.", "</tools>", "<question>", "Where is it?", "</question>"),
        *("<steps>", f"assistant: {LINE}", "tool: nowhere", "</steps>", "<answer>", "Once more.", LINE, "</answer>"),
    ]


@pytest.mark.parametrize("context", ["reason", "answer"])
async def test_the_note_to_the_next_tier_stands_behind_the_results_of_tools(context):
    bench = new(SETTINGS | {"escalation": {"context": context}})
    best = with_calls("", "find {}").model_copy(update={"failed": "check: unknown_tool"})
    await run(infer, new_task(REQUEST, tier=2, best=best), bench, "infer:2")
    *before, note = bench.providers["trusted"].calls[0].prompt.messages
    assert (tuple(before), note.role) == (REQUEST.messages, "user")
    assert "<finding>\ncheck: unknown_tool\n</finding>" in note.text
    assert "call tools where that is the next step" in note.text
    assert ('{"call": "find", "arguments": {}}' in note.text) == (context == "answer")


PLAN = {
    "name": "next",
    "tier": 1,
    "model": {"provider": "trusted", "model": "next"},
    "share": 1,
    "budget_usd_per_day": 1000,
    "judges": [{"provider": "spare", "model": "judge"}],
}
PRICES = SETTINGS["prices"] | {ref: {"input": 1, "output": 10} for ref in ("trusted/next", "spare/judge")}


def comparing(**scripts: FakeProvider) -> Bench:
    return new(SETTINGS | {"prices": PRICES, "shadow": [PLAN]}, **scripts)


async def test_who_compares_sees_the_calls_behind_the_text():
    b, a = (json.dumps({"better": place, "reason": ""}) for place in "BA")
    bench = comparing(trusted=FakeProvider("It is nowhere."), spare=FakeProvider(b, a))
    given = ShadowTask(task=new_task(REQUEST), completion=with_calls("Hm.", "look {}"), shadow="next")
    hops = only(await run(shadow, given, bench, "shadow"), Hops).hops
    assert hops[-1].outcome == "win"
    assert f"<answer_a>\nHm.\n{LINE}\n</answer_a>" in bench.providers["spare"].calls[0].prompt.messages[-1].text


async def test_the_same_text_without_the_calls_is_another_answer():
    bench = comparing(trusted=FakeProvider("Hm."), spare=FakeProvider('{"better": "same", "reason": ""}'))
    given = ShadowTask(task=new_task(REQUEST), completion=with_calls("Hm.", "look {}"), shadow="next")
    hops = only(await run(shadow, given, bench, "shadow"), Hops).hops
    assert [hop.outcome for hop in hops] == ["compared", "compared", "tie"]

"""An agent's conversation stays with the model that made its calls, whichever worker decides about the next step."""

import asyncio
from typing import Any

import pytest
from support.deployment import Deployment
from support.tool_talk import call, calls, result, talk, user

from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from topics.conversations import Conversation
from topics.journal import CallStarted, Purpose, Usage, attempt_id
from topics.messages import FunctionTool, Message, Tool, ToolCall
from topics.registry import CALLS, CONVERSATIONS, HOPS
from topics.requests import Request
from topics.results import Result

CONFIG = """
[[tiers]]
name = "one"
models = [
    { provider = "groq", model = "openai/gpt-oss-20b", timeout_s = 20 },
    { provider = "together", model = "openai/gpt-oss-120b", timeout_s = 20 },
]

[[tiers]]
name = "two"
models = [{ provider = "openai", model = "gpt-6-luna", timeout_s = 20 }]
"""
ANSWERING = ("infer", "validate", "escalate", "parked", "settle")
FIRST, SECOND = call("call_a", '{"q": 1}'), call("call_b", '{"q": 2}')
STAYS = "conversation stays with together/openai/gpt-oss-120b"


@pytest.fixture
def deployment_options() -> dict[str, Any]:
    return {"config": CONFIG}


def step(request_id: str, *messages: Message) -> Request:
    cheap = {"context": {"self_validating": True}, "service_class": "bulk"}
    tool = Tool(type="function", function=FunctionTool(name="lookup", parameters={"type": "object"}))
    return talk(user("What is 2 + 2?"), *messages, request_id=request_id, tools=(tool,), **cheap)


async def calls_of_the_fallback(deployment: Deployment, request_id: str, made: ToolCall) -> None:
    """Have the journal say that the second model of the tier answered with a call, before its worker died."""
    at = utc_now()
    started = CallStarted(
        call_id=attempt_id(request_id, 0, "call", 0),
        attempt_id=attempt_id(request_id, 0, "infer:1", 0),
        request_id=request_id,
        revision=0,
        stage="infer:1",
        n=0,
        purpose=Purpose.INFER,
        tier=1,
        provider="together",
        model="openai/gpt-oss-120b",
        started_at=at,
        deadline=at,
    )
    usage = Usage(input=2_000, output=20, cached=1_500)
    ended = started.end(
        ended_at=at, content="Let me look.", finish_reason="tool_calls", usage=usage, tool_calls=(made,)
    )
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(CALLS, started), Output(CALLS, ended)])


async def answer(deployment: Deployment, request: Request) -> Result:
    await deployment.send([request])
    return (await deployment.results([request.request_id]))[request.request_id]


async def first_asked(deployment: Deployment, request: Request) -> tuple[str, str]:
    line, *_ = (await answer(deployment, request)).route
    return line.provider, line.why


@pytest.mark.slow
async def test_a_loop_stays_where_another_worker_answered_and_after_all_were_started_anew(deployment):
    await calls_of_the_fallback(deployment, "step-1", FIRST)
    answering = await deployment.start_worker(*ANSWERING)
    deciding = await deployment.start_worker("classify")
    assert (await answer(deployment, step("step-1"))).provider == "together"
    [told] = await deployment.read(CONVERSATIONS)
    assert isinstance(told, Conversation)

    async with asyncio.timeout(60):
        # The answer may be there before the other process has read who gave it.
        number = 0
        while (await first_asked(deployment, step(f"follow-{number}", calls(FIRST), result("4"))))[1] != STAYS:
            number += 1
    assert await first_asked(deployment, step("follow", calls(FIRST), result("4"))) == ("together", STAYS)
    provider, why = await first_asked(deployment, step("stranger", calls(SECOND), result("4")))
    assert (provider, why.partition(" ")[0]) == ("groq", "rule")

    for worker in (answering, deciding):
        deployment.unwatch(worker).kill()
    await deployment.start_worker("classify", *ANSWERING)
    assert await first_asked(deployment, step("later", calls(FIRST), result("4"))) == ("together", STAYS)
    reasons = [hop.detail for hops in await deployment.read(HOPS) for hop in hops.hops if hop.stage == "classify"]
    assert sum(STAYS in (reason or "") for reason in reasons) >= 3

"""An agent of twenty tool calls, over three protocols and workers that die: ids, order and money are right."""

import asyncio
from collections import Counter

import pytest
from support.agent import Agent, expected_report
from support.deployment import Deployment

from tierstream.simulator.server import running_simulator

TIERS = """
[[tiers]]
name = "open"
models = [{ provider = "groq", model = "openai/gpt-oss-20b" }]

[[tiers]]
name = "small"
models = [{ provider = "openai", model = "gpt-6-luna" }]

[[tiers]]
name = "frontier"
models = [{ provider = "anthropic", model = "claude-opus-5-5", extra = { thinking = { type = "adaptive" } } }]

[validation]
sample_rate = 0
"""
STEPS = 20
FAILS_AT = {7: "groq", 14: "openai"}
"""Before which step whose model writes broken arguments from then on: its answer fails a check and is escalated."""
TIER_OF = {"groq": 1, "openai": 2, "anthropic": 3}


@pytest.fixture
async def simulator():
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=20, tokens_per_second=100_000, jitter=0, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": TIERS}


async def assert_paid_once(deployment: Deployment, simulator, *, may_be_lost: int):
    journal = await deployment.journal()
    served = Counter(call["call_id"] for call in simulator.calls)
    journal.assert_paid_once(served)
    assert set(served.values()) == {1}
    paid = Counter(record.attempt_id for call, record in journal.started.items() if str(call) in served)
    assert sum(count - 1 for count in paid.values()) <= may_be_lost


def assert_went_over(agent: Agent):
    """Every step was answered by the tier that the loop stood on, and each answer by the provider of its tier."""
    wanted = {step: 1 + sum(step >= at for at in FAILS_AT) for step in range(STEPS + 1)}
    assert {step: result.tier for step, result in enumerate(agent.results)} == wanted
    assert all(TIER_OF[result.provider] == result.tier for result in agent.results)
    assert {result.status for result in agent.results} == {"ok"}
    assert agent.results[-1].content == expected_report(agent.given)
    signed = [part for result in agent.results for part in result.parts or () if getattr(part, "signature", None)]
    assert signed, "the frontier model thinks, and says so"


async def test_each_step_goes_on_with_the_model_of_the_one_before(deployment, simulator):
    await deployment.start_worker()
    agent = Agent(deployment, STEPS)

    async def before(step: int) -> None:
        if step in FAILS_AT:
            simulator.set_behaviour(FAILS_AT[step], rate_bad_arguments=1)

    await agent.run(before)
    assert_went_over(agent)
    await assert_paid_once(deployment, simulator, may_be_lost=0)


@pytest.mark.slow
async def test_a_worker_that_dies_at_each_step_loses_nothing(deployment, simulator):
    """It is killed while the step is under way, at another moment each time; another worker has taken over by then."""
    workers = list(await asyncio.gather(deployment.start_worker(), deployment.start_worker()))
    agent = Agent(deployment, STEPS)

    async def before(step: int) -> None:
        if step in FAILS_AT:
            simulator.set_behaviour(FAILS_AT[step], rate_bad_arguments=1)

    async def during(step: int) -> None:
        await asyncio.sleep(0.05 * (step % 5))
        deployment.unwatch(workers.pop(0)).kill()
        workers.append(await deployment.start_worker())

    await agent.run(before, during)
    assert_went_over(agent)
    await assert_paid_once(deployment, simulator, may_be_lost=STEPS + 1)

"""A key that the provider refuses: one call finds out, nobody waits for it, and whoever looks is told what to do."""

import pytest
from support.breaker_log import changes, reached

from streams.control.control_follower import read_control
from topics.control import BreakerState
from topics.registry import PARKED, RESULTS
from topics.requests import Request

TOLD = "groq refuses the key in GROQ_API_KEY: set a valid one and restart the workers"
TARGETS = ("groq/openai/gpt-oss-20b", "groq/openai/gpt-oss-120b")
CONFIG = """
[attempts]
parked_s = 0.3

[[tiers]]
name = "one"
models = [
    { provider = "groq", model = "openai/gpt-oss-20b" },
    { provider = "together", model = "openai/gpt-oss-120b" },
]

[[tiers]]
name = "two"
models = [
    { provider = "groq", model = "openai/gpt-oss-120b" },
    { provider = "openai", model = "gpt-6-luna" },
]
"""


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


def request(name, tier):
    return Request.model_validate(
        {
            "request_id": name,
            "messages": [{"role": "user", "content": f"What is {name}?"}],
            "context": {"self_validating": True},
            "service_class": "bulk",
            "min_tier": tier,
            "max_tier": tier,
        }
    )


async def test_one_refused_call_is_enough_for_all_models_of_the_provider(deployment, simulator):
    simulator.set_behaviour("groq", rate_401=1)
    await deployment.start_worker()
    await deployment.send([request("first", 1)])
    first = (await deployment.results(["first"]))["first"]
    assert [(attempt.provider, attempt.outcome) for attempt in first.route] == [("groq", "bad_key"), ("together", "ok")]
    await reached(deployment, BreakerState.OPEN, *TARGETS)

    await deployment.send([request("second", 2)])
    second = (await deployment.results(["second"]))["second"]
    assert [(attempt.provider, attempt.outcome) for attempt in second.route] == [("openai", "ok")]
    assert [call["provider"] for call in simulator.calls].count("groq") == 1

    log_file = deployment.folder / "worker-1.log"
    assert {change.target: change.reason for change in changes(log_file)} == dict.fromkeys(TARGETS, TOLD)
    shown = (await read_control(deployment.kafka)).statuses.values()
    statuses = [status for status in shown if status.target in TARGETS]
    assert {status.target: status.reason for status in statuses} == dict.fromkeys(TARGETS, TOLD)


@pytest.mark.slow
async def test_with_nobody_left_requests_rest_and_are_served_once_the_key_is_valid(deployment, simulator):
    simulator.set_behaviour("groq", rate_401=1)
    simulator.set_behaviour("together", rate_401=1)
    worker = await deployment.start_worker()
    await deployment.send([request("patient", 1)])
    while not await deployment.read(PARKED):
        deployment.check()
    assert await deployment.read(RESULTS) == []
    assert [call["provider"] for call in simulator.calls] == ["groq", "together"]

    # What an operator does: another key, and the worker anew.
    await deployment.unwatch(worker).stop(30)
    simulator.reset()
    await deployment.start_worker()
    assert (await deployment.settled(["patient"]))["patient"].status == "ok"

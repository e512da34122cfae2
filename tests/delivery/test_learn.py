"""One process learns for all: from real outcomes, and another one after it was killed."""

import json

import pytest

from topics.learned import CanaryState, JudgeRates, OnlinePolicyUpdate
from topics.messages import Message
from topics.registry import CONTROL
from topics.requests import Request

CONFIG = """
[routing]
classifier = "learned"
budget_usd_per_request = 0.001
rules = []

[validation]
judge = { provider = "openai", model = "gpt-6-luna", timeout_s = 20 }
fallback = { provider = "anthropic", model = "claude-haiku-5-5", timeout_s = 20 }
sample_rate = 0.5

[learning]
publish_s = 0.2
delay_s = 0.1

[breakers]
min_calls = 100000

[[canary]]
name = "next"
tier = 1
share = 0.3
min_requests = 1000
model = { provider = "together", model = "meta-llama/Llama-3.3-70B-Instruct-Turbo", timeout_s = 8 }
"""


@pytest.fixture
def deployment_options():
    return {"config": CONFIG}


def requests(prefix, count):
    return [
        Request(request_id=f"{prefix}{number}", messages=(Message(role="user", content=f"What is {number} + 2?"),))
        for number in range(count)
    ]


async def said(deployment, kind, holds):
    """Wait until the topic says something of a kind of which something holds."""
    while True:
        deployment.check()
        found = [record for record in await deployment.read(CONTROL) if isinstance(record, kind)]
        if any(map(holds, found)):
            return found


async def asked(deployment, prefix, count):
    sent = requests(prefix, count)
    await deployment.send(sent)
    return list((await deployment.settled([request.request_id for request in sent])).values())


@pytest.mark.slow
async def test_what_was_learned_decides_and_outlives_whoever_learned_it(deployment, simulator):
    lines = [json.dumps({"prompt": f"What is {n} + 2?", "label": 1, "answer": f"It is {n + 2}."}) for n in range(40)]
    simulator.script.add_lines("\n".join(lines), "test")
    first = await deployment.start_worker()
    results = await asked(deployment, "a", 40)
    assert not [one for one in results if "budget/" in one.route[0].why]
    policies = await said(deployment, OnlinePolicyUpdate, lambda policy: True)
    [rates, *_] = await said(deployment, JudgeRates, lambda rates: bool(rates.cells))
    assert rates is not None
    deployment.unwatch(first).kill()
    newest = max(policy.version for policy in policies)
    await deployment.start_worker()
    results = await asked(deployment, "b", 40)
    assert all("budget/" in one.route[0].why for one in results if one.route)
    await said(deployment, OnlinePolicyUpdate, lambda policy: policy.version > newest)


@pytest.mark.slow
async def test_a_candidate_that_fails_is_stopped_by_itself(deployment, simulator):
    simulator.set_behaviour("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", rate_500=1.0)
    await deployment.start_worker()
    for number in range(20):
        results = await asked(deployment, f"c{number}-", 30)
        found = [record for record in await deployment.read(CONTROL) if isinstance(record, CanaryState)]
        if any(state.state == "stopped" for state in found):
            break
    else:
        pytest.fail(f"not stopped: {found}")
    [stopped, *_] = [state for state in found if state.state == "stopped"]
    assert (stopped.name, stopped.by) == ("next", "learn")
    assert all(one.status == "ok" for one in results)
    while True:
        results = await asked(deployment, f"d{number}-", 30)
        number += 1
        if not [one for one in results if any("canary next" in attempt.why for attempt in one.route)]:
            break

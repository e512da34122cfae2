"""Providers that fail for a while: no request fails, few calls are wasted, and the traffic comes back."""

from datetime import datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from support.breaker_log import ended_periods, periods, reached

from topics.control import BreakerState
from topics.registry import CHUNKS, PARKED, RESULTS, STATUS
from topics.requests import Request

PROBES = 2
RETRY_AFTER_S = 1.5
CONFIG = f"""
[breakers]
open_s = 0.5
probes = {PROBES}

[attempts]
parked_s = 0.3

[[tiers]]
name = "one"
models = [
    {{ provider = "groq", model = "openai/gpt-oss-20b", timeout_s = 2 }},
    {{ provider = "together", model = "openai/gpt-oss-120b", timeout_s = 2 }},
]

[[tiers]]
name = "two"
models = [
    {{ provider = "openai", model = "gpt-6-luna", timeout_s = 20 }},
    {{ provider = "anthropic", model = "claude-haiku-5-5", timeout_s = 20 }},
]
"""
FIRST_TIER = {"groq": "groq/openai/gpt-oss-20b", "together": "together/openai/gpt-oss-120b"}
CHEAP = {"context": {"self_validating": True}, "service_class": "bulk"}
"""What the rules send to the first tier, whatever the classifier thinks."""


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


class Traffic:
    """Sends requests with ids that count on."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.ids = []
        self._numbers = count()

    async def send(self, how_many, **fields):
        requests = [
            Request.model_validate(
                {
                    "request_id": f"r{n}",
                    "messages": [{"role": "user", "content": f"What is number {n}?"}],
                    **CHEAP,
                    **fields,
                }
            )
            for n, _ in zip(self._numbers, range(how_many), strict=False)
        ]
        sent = [request.request_id for request in requests]
        self.ids += sent
        await self.deployment.send(requests)
        return sent

    async def ask(self, how_many, **fields):
        """Send requests and wait for their results."""
        found = await self.deployment.results(await self.send(how_many, **fields))
        return list(found.values())

    async def assert_all_were_served(self):
        found = await self.deployment.settled(self.ids)
        assert {(result.status, result.error) for result in found.values()} == {("ok", None)}
        return found


@pytest.fixture
def traffic(deployment):
    return Traffic(deployment)


def served_by(calls, provider):
    return [call for call in calls if call["provider"] == provider]


def seconds(moment):
    return datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    ("fault", "stream"), [("500", False), ("429", False), ("cut", False), ("cut", True), ("stream_error", True)]
)
async def test_a_tier_that_fails_is_left_alone_and_taken_back(deployment, simulator, traffic, fault, stream):
    await deployment.start_worker()
    log_file = deployment.folder / "worker-1.log"
    assert {result.provider for result in await traffic.ask(5, stream=stream)} == {"groq"}

    for provider in FIRST_TIER:
        # A Retry-After of 0 says nothing; what is longer than the breaker's own time has a test of its own.
        simulator.set_behaviour(provider, **{f"rate_{fault}": 1}, retry_after_s=0)
    assert {result.tier for result in await traffic.ask(30, stream=stream)} == {2}
    await deployment.quiet()
    assert periods(log_file, BreakerState.OPEN).keys() == {*FIRST_TIER.values(), "tier:1"}

    # From here on, nothing but probes can leave.
    probed, before = ended_periods(log_file, BreakerState.HALF_OPEN), len(simulator.calls)
    results = []
    while (periods(log_file, BreakerState.HALF_OPEN) - probed)["groq/openai/gpt-oss-20b"] < 2:
        results += await traffic.ask(10, stream=stream)
    assert {result.tier for result in results} == {2}
    promoted = [result for result in results if not any(attempt.tier == 1 for attempt in result.route)]
    assert promoted
    assert {result.route[0].why.partition(":")[0] for result in promoted} == {"promoted from tier 1"}
    probed = periods(log_file, BreakerState.HALF_OPEN) - probed
    for provider, target in FIRST_TIER.items():
        assert len(served_by(simulator.calls[before:], provider)) <= PROBES * probed[target]

    simulator.reset()
    while any(result.provider != "groq" for result in await traffic.ask(5, stream=stream)):
        pass
    await reached(deployment, BreakerState.CLOSED, "groq/openai/gpt-oss-20b", "tier:1")
    found = await traffic.assert_all_were_served()
    if stream:
        await assert_streamed(deployment, found)


async def assert_streamed(deployment, found):
    """The chunks of the attempt that won are the answer, whatever broken streams there were before."""
    chunks = [
        chunk for chunk in await deployment.read(CHUNKS) if chunk.attempt_id == found[chunk.request_id].attempt_id
    ]
    for result in found.values():
        own = [chunk for chunk in chunks if chunk.request_id == result.request_id]
        assert [chunk.seq for chunk in own] == list(range(len(own)))
        assert "".join(chunk.text for chunk in own) == result.content
        assert own[-1].kind == "done"


@pytest.mark.slow
async def test_calls_of_which_some_hang_are_made_elsewhere(deployment, simulator, traffic):
    for provider in FIRST_TIER:
        simulator.set_behaviour(provider, rate_hang=0.3)
    await deployment.start_worker()
    await traffic.ask(60)
    simulator.reset()
    while any(result.provider != "groq" for result in await traffic.ask(5)):
        pass
    await traffic.assert_all_were_served()


async def test_nobody_is_called_before_the_time_that_it_asked_for(deployment, simulator, traffic):
    simulator.set_behaviour("groq", rate_429=1, retry_after_s=RETRY_AFTER_S)
    await deployment.start_worker()
    [refused] = await traffic.ask(1)
    assert [(attempt.provider, attempt.outcome) for attempt in refused.route] == [
        ("groq", "rate_limited"),
        ("together", "ok"),
    ]
    [call] = served_by(simulator.calls, "groq")
    asked_for = seconds(call["ended_at"]) + timedelta(seconds=RETRY_AFTER_S)

    # It would answer now, so that a call before its time would not go unseen.
    simulator.reset()
    while any(result.provider != "groq" for result in await traffic.ask(5)):
        pass
    assert min(seconds(call["started_at"]) for call in served_by(simulator.calls, "groq")[1:]) >= asked_for
    found = await traffic.assert_all_were_served()
    assert {result.tier for result in found.values()} == {1}


async def parked(deployment, how_many):
    """Wait until so many tasks have been parked in all."""
    while len(await deployment.read(PARKED)) < how_many:
        deployment.check()


@pytest.mark.slow
async def test_with_every_provider_down_requests_rest_until_one_is_back(deployment, simulator, traffic):
    simulator.set_behaviour(down=True)
    first = await deployment.start_worker()
    await traffic.send(60)
    await traffic.send(20, context={"business_impact": "critical"})
    await parked(deployment, 120)
    deployment.unwatch(first).kill()
    await deployment.start_worker()
    await parked(deployment, len(await deployment.read(PARKED)) + 120)
    assert await deployment.read(RESULTS) == []

    simulator.reset()
    simulator.set_behaviour(judge_error_rate=0)
    found = await traffic.assert_all_were_served()
    # Who left his tier for want of a provider goes back to it.
    assert {found[request_id].tier for request_id in traffic.ids[60:]} == {2}
    (await deployment.journal()).assert_paid_once({call["call_id"] for call in simulator.calls})


async def test_restricted_data_rests_and_expires_when_nobody_who_may_see_it_is_there(deployment, simulator, traffic):
    await deployment.start_worker()
    # The first call of a provider takes longer than these requests will wait.
    assert [result.provider for result in await traffic.ask(1, context={"data_class": "restricted"})] == ["anthropic"]
    simulator.set_behaviour("anthropic", down=True)
    restricted = [
        *await traffic.send(8, context={"data_class": "restricted"}, timeout_ms=2_500),
        *await traffic.send(
            4, context={"data_class": "restricted", "business_impact": "critical"}, timeout_ms=2_500, stream=True
        ),
    ]
    others = await traffic.send(12)
    found = await deployment.settled(restricted + others)
    assert {(found[name].status, found[name].error.code) for name in restricted} == {("expired", "deadline")}
    assert {(found[name].status, found[name].provider) for name in others} == {("ok", "groq")}

    rested = {
        status.request_id
        for status in await deployment.read(STATUS)
        for event in status.events
        if event.kind == "parked"
    }
    assert rested == set(restricted)
    journal = await deployment.journal()
    asked = {
        call["provider"]
        for call in simulator.calls
        if journal.started[UUID(call["call_id"])].request_id in set(restricted)
    }
    assert asked == {"anthropic"}

"""Identical requests share a call: each gets the right answer, and what they pay adds up to the bill exactly."""

import json
from collections import defaultdict
from decimal import Decimal

import pytest

from streams.calls.pricing import PriceBook
from tierstream.simulator.server import running_simulator
from topics.journal import CallEnded, Usage
from topics.requests import Request

SHARED_FEATURE = "faq"
CONFIG = f"""
[[tiers]]
name = "one"
models = [{{ provider = "groq", model = "openai/gpt-oss-20b", timeout_s = 20 }}]
batching = {{ max_wait_ms = 20, shared_features = ["{SHARED_FEATURE}"] }}

[[tiers]]
name = "two"
models = [{{ provider = "openai", model = "gpt-6-luna", timeout_s = 20 }}]
"""
OF_ONE_USER = {"user_id": "ada", "params": {"temperature": 0}}
BURSTS, BURST = 4, 10
SINGLE = 60


@pytest.fixture
async def simulator():
    """Calls that take so long that a whole burst comes while its first call is on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=1_000, tokens_per_second=100_000, jitter=0, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


def asked(request_id, subject, **fields):
    made = {
        "request_id": request_id,
        "messages": [{"role": "user", "content": f"What is {subject}?"}],
        "context": {"self_validating": True},
        "service_class": "bulk",
    }
    return Request.model_validate({**made, **fields})


def bursts(**fields):
    """Requests that come in bursts of identical ones, and others in between."""
    for burst in range(BURSTS):
        for n in range(BURST):
            yield asked(f"same-{burst}-{n}", f"same {burst}", **fields)
        for n in range(SINGLE // BURSTS):
            yield asked(f"single-{burst}-{n}", f"single {burst} {n}", **fields)


def teach(simulator, requests):
    """Have a right answer to each question; answers of the simulator are told apart by nothing else."""
    prompts = {request.question for request in requests}
    entries = [{"prompt": prompt, "label": 1, "answer": f"{prompt[8:-1]} is a number."} for prompt in sorted(prompts)]
    simulator.script.add_lines("\n".join(json.dumps(entry) for entry in entries), "test")


def assert_right(found, requests):
    for request in requests:
        result = found[request.request_id]
        assert (result.status, result.content) == ("ok", f"{request.question[8:-1]} is a number.")


def shares_of(journal):
    """The ends of each call, one for each request that shared it."""
    shares = defaultdict(list)
    for record in journal.records:
        if isinstance(record, CallEnded):
            shares[str(record.call_id)].append(record)
    return shares


def assert_bill_adds_up(deployment, simulator, journal, found):
    """What the requests pay is the provider's bill, to the last digit; returns the ends of each call."""
    shares, prices = shares_of(journal), PriceBook(deployment.settings.prices, deployment.settings.providers)
    bill = Decimal(0)
    for call in simulator.calls:
        parts = shares[call["call_id"]]
        assert {part.shares for part in parts} == {len(parts)}
        billed = _billed(call)
        [rates] = {part.rates for part in parts}
        assert rates == prices.rates(call["provider"], call["model"], parts[0].started_at, billed)
        assert sum((part.cost_usd for part in parts), Decimal(0)) == rates.cost(billed)
        for tokens in ("input", "output", "cached", "cache_written", "reasoning"):
            assert sum(getattr(part.usage, tokens) for part in parts) == getattr(billed, tokens)
        bill += rates.cost(billed)
    assert sum((result.cost_usd for result in found.values()), Decimal(0)) == bill
    return shares


def _billed(call):
    usage = call["usage"]
    return Usage(
        input=usage["input_tokens"],
        output=usage["output_tokens"],
        cached=usage["cached_tokens"],
        reasoning=usage["reasoning_tokens"],
    )


@pytest.mark.parametrize("who", ["one user", "a shared feature"])
async def test_identical_requests_share_calls_and_their_cost(deployment, simulator, who):
    if who == "one user":
        requests = list(bursts(**OF_ONE_USER))
    else:
        requests = [
            request.model_copy(update={"user_id": f"user-{n}", "feature": SHARED_FEATURE})
            for n, request in enumerate(bursts())
        ]
    teach(simulator, requests)
    await deployment.start_worker()
    await deployment.send(requests)
    found = await deployment.settled([request.request_id for request in requests])
    assert_right(found, requests)
    shares = assert_bill_adds_up(deployment, simulator, await deployment.journal(), found)
    assert SINGLE + BURSTS <= len(simulator.calls) == len(shares) < len(requests)
    for parts in shares.values():
        assert len({found[part.request_id].content for part in parts}) == 1


async def test_nothing_else_is_shared(deployment, simulator):
    at_zero, of_class = {"temperature": 0}, {"self_validating": True}
    alike = {
        "nobody": {"params": at_zero},
        "an empty user id": {"user_id": "", "params": at_zero},
        "no temperature": {"user_id": "ada"},
        "streamed": {**OF_ONE_USER, "stream": True},
    }
    requests = [asked(f"{name}-{n}", name, **fields) for name, fields in alike.items() for n in range(5)]
    requests += [asked(f"user-{n}", "asked by all", user_id=f"user-{n}", params=at_zero) for n in range(5)]
    requests += [asked(f"limit-{n}", "limited", user_id="ada", params={**at_zero, "max_tokens": n}) for n in (100, 200)]
    requests += [
        asked(name, "secret", **OF_ONE_USER, context={**of_class, "data_class": name})
        for name in ("public", "internal")
    ]
    teach(simulator, requests)
    await deployment.start_worker()
    await deployment.send(requests)
    found = await deployment.settled([request.request_id for request in requests])
    assert_right(found, requests)
    assert len(simulator.calls) == len(requests)
    shares = assert_bill_adds_up(deployment, simulator, await deployment.journal(), found)
    assert {len(parts) for parts in shares.values()} == {1}


@pytest.mark.slow
async def test_a_worker_that_dies_with_shared_calls_on_the_wire_loses_nobody(deployment, simulator):
    requests = list(bursts(**OF_ONE_USER))
    teach(simulator, requests)
    first = await deployment.start_worker()
    await deployment.send(requests)
    # Some calls have ended by then, and many are on the wire.
    await simulator.served(20)
    deployment.unwatch(first).kill()
    await deployment.start_worker()
    found = await deployment.settled([request.request_id for request in requests])
    assert_right(found, requests)
    (await deployment.journal()).assert_paid_once({call["call_id"] for call in simulator.calls})


async def test_a_shared_call_that_fails_is_made_up_for_by_each(deployment, simulator):
    requests = [asked(f"r{n}", "it", **OF_ONE_USER) for n in range(20)]
    teach(simulator, requests)
    simulator.set_behaviour("groq", rate_empty=1)
    await deployment.start_worker()
    await deployment.send(requests)
    found = await deployment.settled([request.request_id for request in requests])
    assert_right(found, requests)
    assert {result.tier for result in found.values()} == {2}
    # An empty answer is billed, and its cost is shared like that of any other.
    assert_bill_adds_up(deployment, simulator, await deployment.journal(), found)

"""Streamed answers on a live broker: text in order as it arrives, and a Result that says which of it counts."""

import asyncio
from itertools import groupby

import pytest

from tierstream.client.answer_stream import AnswerStream
from tierstream.simulator.server import running_simulator
from topics.events import Chunk
from topics.messages import Message
from topics.registry import CHUNKS
from topics.requests import Request

CONFIG = """
[validation]
judge = { provider = "openai", model = "gpt-6-luna", timeout_s = 20 }

[[tiers]]
name = "one"
models = [
    { provider = "groq", model = "openai/gpt-oss-20b", timeout_s = 20 },
    { provider = "together", model = "openai/gpt-oss-120b", timeout_s = 20 },
]

[[tiers]]
name = "two"
models = [{ provider = "openai", model = "gpt-6-luna", timeout_s = 20 }]

[[tiers]]
name = "three"
models = [{ provider = "anthropic", model = "claude-opus-5-5", timeout_s = 20 }]
"""
CHEAP = {"context": {"self_validating": True}, "service_class": "bulk"}
"""What the rules send to the first tier, whatever the classifier thinks."""
CRITICAL = {"context": {"business_impact": "critical"}}
"""What the rules send to the second tier and before a judge."""


@pytest.fixture
async def simulator():
    """Text that takes a while to write, so that it comes in several chunks and a crash meets it on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=20, tokens_per_second=250, jitter=0, reasoning_share=0, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


def asking(request_id, **fields):
    messages = (Message(role="user", content=f"What is {request_id}?"),)
    return Request.model_validate({"request_id": request_id, "messages": messages, "stream": True, **CHEAP, **fields})


async def ask(deployment, **fields):
    """Send a request that streams; return its result and its chunks once all work has ended."""
    await deployment.send([asking("r", **fields)])
    result = (await deployment.settled(["r"]))["r"]
    return result, await deployment.read(CHUNKS)


def calls_of(chunks):
    """The chunks by call, in the order in which the calls came; each counts from 0 without a gap, and ends once."""
    calls = {call: list(group) for call, group in groupby(chunks, key=lambda chunk: chunk.call_id)}
    assert sum(map(len, calls.values())) == len(chunks), "chunks of two calls are mixed"
    for group in calls.values():
        assert [chunk.seq for chunk in group] == list(range(len(group)))
        assert {chunk.kind for chunk in group[:-1]} <= {"text"}
    return list(calls.values())


def text_of(chunks):
    return "".join(chunk.text for chunk in chunks)


async def test_chunks_come_in_order_and_make_up_the_answer(deployment, simulator):
    await deployment.start_worker()
    ids = [f"r{n}" for n in range(5)]
    await deployment.send([asking(request_id) for request_id in ids])
    results = await deployment.settled(ids)
    chunks, journal = await deployment.read(CHUNKS), await deployment.journal()
    for request_id, result in results.items():
        [call] = calls_of([chunk for chunk in chunks if chunk.request_id == request_id])
        assert len(call) > 2
        assert call[-1].kind == "done"
        assert {chunk.attempt_id for chunk in call} == {result.attempt_id}
        assert text_of(call) == result.content
        ended = journal.ended[call[0].call_id]
        assert 0 < ended.first_token_ms < ended.provider_ms
        assert ended.usage.source == "provider"
    assert all(served["stream"] for served in simulator.calls)


async def test_a_stream_that_breaks_off_starts_again_elsewhere(deployment, simulator):
    simulator.set_behaviour("groq", rate_cut=1)
    await deployment.start_worker()
    result, chunks = await ask(deployment)
    broken, whole = calls_of(chunks)
    assert (broken[-1].kind, whole[-1].kind) == ("broken", "done")
    assert text_of(broken)
    assert broken[0].attempt_id != whole[0].attempt_id == result.attempt_id
    assert text_of(whole) == result.content
    assert (result.status, result.provider) == ("ok", "together")
    assert [attempt.outcome for attempt in result.route] == ["cut", "ok"]
    # What was written before the cut may be billed.
    assert result.route[0].cost_usd > 0
    ended = (await deployment.journal()).ended[broken[0].call_id]
    assert (ended.error.kind, ended.usage.source) == ("cut", "estimated")


async def test_an_answer_that_is_judged_does_not_stream_before_its_verdict(deployment, simulator):
    await deployment.start_worker()
    result, chunks = await ask(deployment, **CRITICAL)
    assert [attempt.outcome for attempt in result.route] == ["ok", "judge_pass"]
    assert chunks == []
    assert not any(served["stream"] for served in simulator.calls)


@pytest.mark.slow
async def test_a_stream_of_a_killed_worker_begins_anew(deployment, simulator):
    simulator.set_behaviour(tokens_per_second=20)
    worker = await deployment.start_worker()
    async with AnswerStream(deployment.kafka) as stream:
        await deployment.send([asking("r")])
        async with asyncio.timeout(60):
            async for records in stream:
                if any(isinstance(record, Chunk) and record.seq for record in records):
                    break
    deployment.unwatch(worker).kill()
    simulator.set_behaviour(tokens_per_second=1000)
    await deployment.start_worker()
    result = (await deployment.settled(["r"]))["r"]
    torn, whole = calls_of(await deployment.read(CHUNKS))
    assert torn[-1].kind == "text"
    assert whole[-1].kind == "done"
    assert torn[0].attempt_id == whole[0].attempt_id == result.attempt_id
    assert text_of(whole) == result.content
    assert text_of(torn) != result.content
    journal = await deployment.journal()
    assert journal.started.keys() == {torn[0].call_id, whole[0].call_id}
    assert journal.ended.keys() == {whole[0].call_id}

"""Doors that are killed while a client waits: the same key at another door has the answer, which is paid once."""

import asyncio
import json

import httpx
import pytest
from support.deployment import Deployment

from tierstream.client.record_reader import RecordReader
from tierstream.simulator.server import running_simulator
from topics.registry import CHUNKS, REQUESTS, RESULTS

CONFIG = """
[serve]
drain_timeout_s = 1

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
PATH = "/v1/chat/completions"
KEY = {"idempotency-key": "the-key"}


def body(*, stream: bool):
    return {"model": "tier-1", "stream": stream, "messages": [{"role": "user", "content": "What is Kafka, at length?"}]}


@pytest.fixture
async def simulator():
    """Text that takes a while to write, so that a crash meets it on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=300, tokens_per_second=60, jitter=0, reasoning_share=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"config": CONFIG}


async def first_of(spec, deployment: Deployment) -> None:
    async with RecordReader(spec, deployment.kafka, start="beginning") as reader:
        await anext(aiter(reader))


def text_of(stream: str) -> str:
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    assert not [event for event in events if "error" in event]
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
async def test_a_door_that_is_killed_leaves_the_answer_to_another(deployment, simulator, stream):
    await deployment.start_worker()
    (url, child), (other, _) = await deployment.start_door(), await deployment.start_door()
    async with httpx.AsyncClient(timeout=60) as client:
        waiting = asyncio.create_task(client.post(f"{url}{PATH}", json=body(stream=stream), headers=KEY))
        await first_of(CHUNKS if stream else REQUESTS, deployment)
        deployment.unwatch(child).kill()
        with pytest.raises(httpx.HTTPError):
            await waiting
        # Its copy meets the first one at work; the third POST comes when all is settled.
        again = await client.post(f"{other}{PATH}", json=body(stream=stream), headers=KEY)
        later = await client.post(f"{other}{PATH}", json=body(stream=stream), headers=KEY)
    [result] = await deployment.read(RESULTS)
    assert result.content
    for response in (again, later):
        assert response.status_code == 200
        text = text_of(response.text) if stream else response.json()["choices"][0]["message"]["content"]
        assert text == result.content
    assert len(simulator.calls) == 1


@pytest.mark.slow
async def test_a_stream_goes_on_where_another_model_says_the_same(deployment, simulator):
    simulator.set_behaviour("groq", rate_cut=1.0)
    await deployment.start_worker()
    url, _ = await deployment.start_door()
    async with httpx.AsyncClient(timeout=60) as client:
        response = await client.post(f"{url}{PATH}", json=body(stream=True), headers=KEY)
    [result] = await deployment.read(RESULTS)
    calls = {chunk.call_id for chunk in await deployment.read(CHUNKS)}
    assert (result.provider, len(calls)) == ("together", 2)
    assert text_of(response.text) == result.content

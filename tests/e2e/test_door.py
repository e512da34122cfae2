"""The door in front of a whole deployment: the vendors' own clients, and what a crash leaves of an answer."""

import asyncio
from collections import Counter

import anthropic
import httpx
import openai
import pytest
import pytest_asyncio
from support.deployment import Deployment

from tierstream.client.record_reader import RecordReader
from tierstream.serve.places import Place
from tierstream.simulator.server import running_simulator
from topics.registry import REQUESTS, RESULTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = """
[delivery]
drain_timeout_s = 1

[serve]
drain_timeout_s = 1
heartbeat_s = 0.5
"""
QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "What is Kafka?"}]}
SDK_OPTIONS = {"api_key": "unused", "max_retries": 0, "timeout": 60}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator():
    async with running_simulator(time_scale=0) as running:
        running.set_behaviour(judge_error_rate=0, reasoning_share=0)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(kafka, simulator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    made = Deployment(kafka.bootstrap_servers, folder, simulator_url=simulator.url, config=CONFIG)
    async with made.running():
        await made.start_worker()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(deployment):
    """The URL of a door that nobody kills."""
    url, _ = await deployment.start_door()
    return url


async def has_come(deployment, request_id):
    """Wait until a request is on the topic."""
    async with RecordReader(REQUESTS, deployment.kafka, start="beginning") as reader:
        async for request in reader:
            if request.request_id == request_id:
                return


async def results(deployment, request_id):
    return [result for result in await deployment.read(RESULTS) if result.request_id == request_id]


async def test_the_client_of_openai_gets_an_answer(door):
    client = openai.AsyncOpenAI(base_url=f"{door}/v1", **SDK_OPTIONS)
    raw = await client.chat.completions.with_raw_response.create(**QUESTION)
    completion = raw.parse()
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens > 0
    assert raw.headers["x-request-id"]
    names = [model.id async for model in await client.models.list()]
    assert {"auto", "tier-1", "tier-3", completion.model} <= set(names)


async def test_the_client_of_anthropic_gets_an_answer(door):
    client = anthropic.AsyncAnthropic(base_url=door, **SDK_OPTIONS)
    body = {**QUESTION, "model": "claude-of-the-client", "max_tokens": 300}
    message = await client.messages.create(**body)
    assert message.content[0].text
    assert message.stop_reason == "end_turn"
    counted = await client.messages.count_tokens(model="auto", messages=QUESTION["messages"])
    assert counted.input_tokens > 0
    assert "auto" in [model.id async for model in client.models.list()]


async def test_streams_are_the_same_answer_piece_by_piece(door):
    client = openai.AsyncOpenAI(base_url=f"{door}/v1", **SDK_OPTIONS)
    stream = await client.chat.completions.create(**QUESTION, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert text
    other = anthropic.AsyncAnthropic(base_url=door, **SDK_OPTIONS)
    async with other.messages.stream(**QUESTION, max_tokens=300) as streamed:
        message = await streamed.get_final_message()
    assert message.content[0].text == text


async def test_the_same_key_has_the_same_answer_and_is_paid_once(door, deployment, simulator):
    before = len(simulator.calls)
    async with httpx.AsyncClient(base_url=door, timeout=60) as client:
        headers = {"idempotency-key": "twice"}
        first = await client.post("/v1/chat/completions", json=QUESTION, headers=headers)
        again = await client.post("/v1/chat/completions", json=QUESTION, headers=headers)
        streamed = await client.post("/v1/chat/completions", json={**QUESTION, "stream": True}, headers=headers)
        other = await client.post("/v1/chat/completions", json={**QUESTION, "seed": 1}, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["choices"] == again.json()["choices"]
    assert len(simulator.calls) == before + 1
    assert streamed.status_code == other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert other.headers["x-should-retry"] == "false"
    assert len(await results(deployment, "twice")) == 1


async def test_a_key_from_before_the_door_was_started_is_known_too(door, deployment):
    body, headers = {**QUESTION, "seed": 7}, {"idempotency-key": "older"}
    async with httpx.AsyncClient(timeout=60) as client:
        first = await client.post(f"{door}/v1/chat/completions", json=body, headers=headers)
        url, child = await deployment.start_door()
        again = await client.post(f"{url}/v1/chat/completions", json=body, headers=headers)
        deployment.unwatch(child).kill()
    assert first.json()["choices"] == again.json()["choices"]


async def test_what_can_not_be_served_says_so(door):
    client = openai.AsyncOpenAI(base_url=f"{door}/v1", **SDK_OPTIONS)
    with pytest.raises(openai.NotFoundError, match="embeddings"):
        await client.embeddings.create(model="auto", input="x")
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="auto", messages=[])
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody/knows")
    with pytest.raises(openai.NotFoundError, match="not kept here"):
        await client.responses.compact(model="auto", input="x")
    other = anthropic.AsyncAnthropic(base_url=door, **SDK_OPTIONS)
    with pytest.raises(anthropic.BadRequestError):
        await other.messages.create(model="auto", max_tokens=10, messages=[])
    with pytest.raises(anthropic.NotFoundError):
        await other.models.retrieve("nobody/knows")


@pytest.mark.parametrize("streams", [False, True])
async def test_a_door_that_dies_leaves_the_answer_to_the_next_one(deployment, simulator, door, streams):
    key = f"killed-{streams}"
    body, headers = {**QUESTION, "stream": streams}, {"idempotency-key": key}
    url, child = await deployment.start_door()
    async with httpx.AsyncClient(timeout=60) as client:
        asking = asyncio.create_task(client.post(f"{url}/v1/chat/completions", json=body, headers=headers))
        await has_come(deployment, key)
        deployment.unwatch(child).kill()
        await asyncio.gather(asking, return_exceptions=True)
        again = await client.post(f"{door}/v1/chat/completions", json=body, headers=headers)
    assert again.status_code == 200
    assert Counter(result.status for result in await results(deployment, key)) == {"ok": 1}


async def test_responses_are_found_again_by_any_door(door, deployment):
    client = openai.AsyncOpenAI(base_url=f"{door}/v1", **SDK_OPTIONS)
    response = await client.responses.create(model="auto", input="What is Kafka?", instructions="Be brief.")
    url, child = await deployment.start_door()
    other = openai.AsyncOpenAI(base_url=f"{url}/v1", **SDK_OPTIONS)
    found = await other.responses.retrieve(response.id)
    assert (found.id, found.status, found.output_text) == (response.id, "completed", response.output_text)
    following = await other.responses.create(model="auto", input="And why?", previous_response_id=response.id)
    assert following.output_text
    [sent] = [one for one in await deployment.read(REQUESTS) if one.request_id == following._request_id]
    assert [message.role for message in sent.messages] == ["user", "assistant", "user"]
    deployment.unwatch(child).kill()


async def test_a_response_in_the_background_is_there_later(door):
    client = openai.AsyncOpenAI(base_url=f"{door}/v1", **SDK_OPTIONS)
    response = await client.responses.create(model="auto", input="What is a topic?", background=True)
    assert response.status == "queued"
    async with await client.responses.retrieve(response.id, stream=True) as events:
        kinds = [event.type async for event in events]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert (await client.responses.retrieve(response.id)).status == "completed"
    assert (await client.responses.cancel(response.id)).status == "completed"
    for made_up in ("madeup", Place(0, 10**9, "r").token(), Place(2, 0, "r").token(), Place(10**6, 0, "r").token()):
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(f"resp_{made_up}")


async def test_a_stream_is_taken_up_where_it_broke_off(door):
    client = openai.AsyncOpenAI(base_url=f"{door}/v1", **SDK_OPTIONS)
    stream = await client.responses.create(model="auto", input="What is a partition?", stream=True)
    events = [event async for event in stream]
    for after in (0, 3, len(events) - 2):
        rest = await client.responses.retrieve(events[0].response.id, stream=True, starting_after=after)
        again = [event async for event in rest]
        assert [event.sequence_number for event in again] == list(range(after + 1, len(events)))
        assert [event.type for event in again] == [event.type for event in events[after + 1 :]]
        assert again[-1].response.output_text == events[-1].response.output_text


async def test_tools_are_called_over_both_apis(door):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    client = openai.AsyncOpenAI(base_url=f"{door}/v1", **SDK_OPTIONS)
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    completion = await client.chat.completions.create(
        model="auto", messages=asked, tools=[tool], tool_choice="required"
    )
    [call] = completion.choices[0].message.tool_calls
    assert (call.function.name, completion.choices[0].finish_reason) == ("weather", "tool_calls")
    other = anthropic.AsyncAnthropic(base_url=door, **SDK_OPTIONS)
    options = {"tools": [{"name": "weather", "input_schema": schema}], "tool_choice": {"type": "any"}}
    async with other.messages.stream(model="auto", max_tokens=300, messages=asked, **options) as streamed:
        message = await streamed.get_final_message()
    used = message.content[-1]
    assert (used.type, used.name, message.stop_reason) == ("tool_use", "weather", "tool_use")
    result = [{"type": "tool_result", "tool_use_id": used.id, "content": "Sunny."}]
    history = [*asked, {"role": "assistant", "content": message.content}, {"role": "user", "content": result}]
    answer = await other.messages.create(model="auto", max_tokens=300, messages=history, tools=options["tools"])
    assert answer.stop_reason in {"end_turn", "tool_use"}

"""The real SDKs against the simulator: images, files and documents, and models that do not take them."""

import base64
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
from support.sdk_agents import MODELS, TOOLS, ChatAgent, Turn, sdk_agent

from tierstream.simulator import RunningSimulator, running_simulator
from tierstream.simulator.chat import Input
from tierstream.simulator.tool_calls import report

ASKED = {"role": "user", "content": "Go on."}


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(time_scale=0) as simulator:
        simulator.set_behaviour("openai", takes=get_args(Input))
        yield simulator


@pytest.fixture(params=MODELS)
async def agent(request: pytest.FixtureRequest, sim: RunningSimulator) -> AsyncIterator[ChatAgent]:
    async with sdk_agent(sim, request.param) as made:
        yield made


@pytest.fixture(params=["openai", "groq"])
async def chat(request: pytest.FixtureRequest, sim: RunningSimulator) -> AsyncIterator[ChatAgent]:
    async with sdk_agent(sim, request.param) as made:
        yield made


@pytest.fixture
async def messages(sim: RunningSimulator) -> AsyncIterator[ChatAgent]:
    async with sdk_agent(sim, "anthropic") as made:
        yield made


def input_tokens(agent: ChatAgent, turn: Turn) -> int:
    return turn.usage.input_tokens if agent.provider == "anthropic" else turn.usage.prompt_tokens


def media(agent: ChatAgent, size: int) -> list[dict[str, Any]]:
    """A picture and a document of some bytes, as the protocol has them."""
    data = base64.b64encode(b"0" * size).decode()
    if agent.provider == "anthropic":
        return [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}},
        ]
    return [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{data}"}},
    ]


async def test_images_and_files_are_counted_by_number_and_not_by_size(sim: RunningSimulator, agent: ChatAgent) -> None:
    sim.set_behaviour(agent.provider, takes=["images", "files"])
    counted = []
    for size in (100, 100_000):
        agent.history = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *media(agent, size)]}]
        turn = await agent.send()
        counted.append(input_tokens(agent, turn))
    agent.history = [{"role": "user", "content": "What is it?"}]
    plain = await agent.send()
    assert counted[0] == counted[1] > input_tokens(agent, plain) + 1000
    assert plain.text == turn.text


@pytest.mark.parametrize(("place", "lacking"), [(0, "images"), (1, "files")])
async def test_a_model_refuses_what_it_does_not_take(
    sim: RunningSimulator, agent: ChatAgent, place: int, lacking: str
) -> None:
    sim.set_behaviour(agent.provider, takes=["tools"])
    agent.history = [{"role": "user", "content": [media(agent, 10)[place]]}]
    with pytest.raises(agent.errors.BadRequestError, match=lacking):
        await agent.send()
    sim.set_behaviour(agent.provider, takes=[])
    agent.history = [ASKED]
    with pytest.raises(agent.errors.BadRequestError, match="tools"):
        await agent.send(**agent.tools(TOOLS))
    assert (await agent.send()).text


async def test_media_in_the_wrong_place_are_refused(chat: ChatAgent, sim: RunningSimulator) -> None:
    sim.set_behaviour(chat.provider, takes=["images", "files", "tools", "reasoned_tools"])
    (image, file) = media(chat, 10)
    for message in ({"role": "assistant", "content": [image]}, {"role": "system", "content": [file]}):
        chat.history = [message, ASKED]
        with pytest.raises(chat.errors.BadRequestError, match="not allowed"):
            await chat.send()
    for part in ({"type": "image_url", "image_url": {"url": "file:///etc"}}, {"type": "file", "file": {}}):
        chat.history = [{"role": "user", "content": [part]}]
        with pytest.raises(chat.errors.BadRequestError, match="Invalid"):
            await chat.send()


async def test_results_may_have_images_and_documents(messages: ChatAgent) -> None:
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "word " * 500}}
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    content = [{"type": "text", "text": "Yes."}, *media(messages, 10), text]
    messages.history = [ASKED, {"role": "assistant", "content": [call]}]
    messages.give([("toolu_1", content)])
    turn = await messages.send()
    assert turn.text == report(["Yes."])
    assert turn.usage.input_tokens > 2500

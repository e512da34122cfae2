"""Agents in a loop of tools, through our providers, against a simulator that refuses what the vendors refuse.

A loop stays with one vendor, or goes from one to the next at each step: calls, results and thoughts of all of them are
then in what each is sent, and nothing of it is lost or out of its place in the digest that the last answer gives.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support.provider_calls import Listener, built, call_of, settings_with_all
from support.shipped_providers import NAMES
from support.tool_loop import said, tool

from streams.config.settings_sections import ModelSettings
from streams.providers.base import ChatReply, Provider
from tierstream.simulator import running_simulator
from tierstream.simulator.tool_calls import report
from topics.answer_assembly import AnswerAssembly
from topics.messages import Message

TOOLS = (
    tool("look", parameters={"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}),
    tool("listen"),
)
THINKS = {"thinking": {"type": "adaptive"}}

both = pytest.mark.parametrize("stream", [False, True])


@dataclass
class Agent:
    """Goes on until there is an answer; what tools return names the call, so that each is another text."""

    providers: dict[str, Provider]
    models: dict[str, ModelSettings]
    messages: list[Message]
    results: list[str]

    async def run(self, names: Sequence[str], *, stream: bool, extra: dict[str, Any] | None = None) -> ChatReply:
        for step in range(100):
            reply = await self.ask(names[step % len(names)], stream, extra or {})
            if not reply.tool_calls:
                return reply
            turn = Message(role="assistant", content=reply.parts or reply.content, tool_calls=reply.tool_calls)
            # As it comes back to us: written by a client, and read again.
            self.messages.append(Message.model_validate_json(turn.model_dump_json()))
            for call in reply.tool_calls:
                self.results.append(f"{call.function.name} gives {len(self.results)}")
                self.messages.append(said("tool", self.results[-1], tool_call_id=call.id))
        raise AssertionError("the agent did not come to an end")

    async def ask(self, name: str, stream: bool, extra: dict[str, Any]) -> ChatReply:
        model = self.models[name]
        if name == "anthropic":
            model = model.model_copy(update={"extra": extra})
        listener = Listener()
        call = call_of("m", messages=tuple(self.messages), asked={"tools": TOOLS})
        reply = await self.providers[name].complete(replace(call, model=model, on_piece=listener if stream else None))
        if stream:
            shown = AnswerAssembly()
            for piece in listener.pieces:
                shown.add(piece)
            assert (shown.text, shown.tool_calls, shown.parts) == (reply.content, reply.tool_calls, reply.parts)
        return reply


@pytest.fixture
async def agent(tmp_path, monkeypatch) -> AsyncIterator[Agent]:
    monkeypatch.chdir(tmp_path)
    settings = settings_with_all()
    async with running_simulator(time_scale=0) as simulator, built(settings, simulator.url) as providers:
        models = {model.provider: model for model in settings.tiers[0].models}
        yield Agent(providers, models, [said("system", "be brief")], [])


@both
@pytest.mark.parametrize("name", NAMES)
async def test_a_loop_stays_with_its_vendor(agent, name, stream):
    agent.messages.append(said("user", "agent: 12 steps 2 at a time aloud"))
    reply = await agent.run([name], stream=stream, extra=THINKS)
    assert len(agent.results) == 12
    assert report(agent.results) in reply.content


@both
async def test_a_loop_goes_from_vendor_to_vendor(agent, stream):
    agent.messages.append(said("user", "agent: 12 steps aloud"))
    reply = await agent.run(NAMES, stream=stream, extra=THINKS)
    assert len(agent.results) == 12
    assert report(agent.results) in reply.content


@both
async def test_a_conversation_goes_on_behind_a_loop(agent, stream):
    agent.messages.append(said("user", "agent: 3 steps"))
    first = await agent.run(NAMES, stream=stream, extra=THINKS)
    agent.messages += [said("assistant", first.parts or first.content), said("user", "agent: 5 steps 2 at a time")]
    agent.results.clear()
    last = await agent.run(NAMES[::-1], stream=stream, extra=THINKS)
    assert report(agent.results) in last.content

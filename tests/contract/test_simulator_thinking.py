"""The real SDKs against the simulator: thinking and its signatures, reasoning, and what is cached of a prompt."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
from support.sdk_agents import TOOLS, ChatAgent, Turn, sdk_agent

from tierstream.simulator import RunningSimulator, running_simulator
from tierstream.simulator.chat import Input, ThinkingType
from tierstream.simulator.tool_calls import report

both = pytest.mark.parametrize("stream", [False, True])
ADAPTIVE = {"type": "adaptive"}
BUDGET = {"type": "enabled", "budget_tokens": 1024}
REDACTS = "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING"


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(time_scale=0) as simulator:
        simulator.set_behaviour("anthropic", thinking=get_args(ThinkingType))
        simulator.set_behaviour("openai", takes=get_args(Input))
        yield simulator


@pytest.fixture
async def agent(sim: RunningSimulator) -> AsyncIterator[ChatAgent]:
    async with sdk_agent(sim, "anthropic") as made:
        yield made


def goes_on(agent: ChatAgent, turn: Turn) -> list[dict[str, Any]]:
    """Put an answer and the results of its calls into the history; return the answer's blocks."""
    agent.history.append(turn.message)
    agent.give([(call.id, f"result of {call.id}") for call in turn.calls])
    return turn.message["content"]


@both
@pytest.mark.parametrize("thinking", [ADAPTIVE, BUDGET])
async def test_thinking_goes_back_as_it_came(agent: ChatAgent, thinking: dict[str, Any], stream: bool) -> None:
    agent.ask("agent: 3 steps")
    thoughts, results = [], []
    while True:
        turn = await agent.send(thinking=thinking, stream=stream, **agent.tools(TOOLS))
        thoughts.append(turn.message["content"][0])
        assert turn.usage.output_tokens_details.thinking_tokens > 10
        if not turn.calls:
            break
        results += [f"result of {call.id}" for call in turn.calls]
        goes_on(agent, turn)
    assert turn.text == report(results)
    assert [thought["type"] for thought in thoughts] == ["thinking"] * 4
    assert len({thought["signature"] for thought in thoughts}) > 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"thinking": "Something else."}, "Invalid `signature`"),
        ({"signature": "c2lnbmVk"}, "Invalid `signature`"),
        ({"signature": None}, "signature: Field required"),
    ],
)
async def test_thinking_that_was_changed_is_refused(agent: ChatAgent, change: dict[str, Any], named: str) -> None:
    agent.ask("Please look.")
    blocks = goes_on(agent, await agent.send(thinking=ADAPTIVE, **agent.tools(TOOLS)))
    blocks[0] = {key: value for key, value in {**blocks[0], **change}.items() if value is not None}
    with pytest.raises(agent.errors.BadRequestError) as refused:
        await agent.send(thinking=ADAPTIVE, **agent.tools(TOOLS))
    assert named in str(refused.value)
    assert "messages.1.content.0" in str(refused.value)


async def test_thinking_of_another_model_is_passed_over(sim: RunningSimulator, agent: ChatAgent) -> None:
    sim.set_behaviour("anthropic", checks_thinking=True)
    agent.ask("Please look.")
    blocks = goes_on(agent, await agent.send(thinking=ADAPTIVE, **agent.tools(TOOLS)))
    own = await agent.send(thinking=ADAPTIVE, **agent.tools(TOOLS))
    other = await agent.send(model="claude-opus-5-5", thinking=ADAPTIVE, **agent.tools(TOOLS))
    assert own.text == other.text
    assert own.usage.input_tokens > other.usage.input_tokens
    blocks[0]["thinking"] += "!"
    with pytest.raises(agent.errors.BadRequestError, match="Invalid `signature`"):
        await agent.send(model="claude-opus-5-5", thinking=ADAPTIVE, **agent.tools(TOOLS))


@pytest.mark.parametrize("changed", ["system", "tools", "question"])
async def test_thinking_behind_what_was_changed_is_no_thinking(
    sim: RunningSimulator, agent: ChatAgent, changed: str
) -> None:
    agent.ask("Please look.")
    options = {"system": "Be brief.", **agent.tools(TOOLS)}
    goes_on(agent, await agent.send(thinking=ADAPTIVE, **options))
    own = await agent.send(thinking=ADAPTIVE, **options)
    match changed:
        case "system":
            options["system"] = "Be brief!"
        case "tools":
            options["tools"] = [*options["tools"], *agent.tools({"see": TOOLS["look"]})["tools"]]
        case "question":
            agent.history[0] = {"role": "user", "content": "Please look!"}
    less = await agent.send(thinking=ADAPTIVE, **options)
    assert less.text == own.text
    assert (less.usage.input_tokens < own.usage.input_tokens) is (changed != "tools")
    sim.set_behaviour("anthropic", checks_thinking=True)
    with pytest.raises(agent.errors.BadRequestError, match=r"messages.1.content.0: The block is bound"):
        await agent.send(thinking=ADAPTIVE, **options)


async def test_thinking_knows_its_conversation_however_that_is_written(sim: RunningSimulator, agent: ChatAgent) -> None:
    sim.set_behaviour("anthropic", checks_thinking=True)
    agent.ask("agent: 2 steps")
    while True:
        turn = await agent.send(thinking=ADAPTIVE, system="Be brief.", **agent.tools(TOOLS))
        if not turn.calls:
            break
        goes_on(agent, turn)
    text = {"type": "text", "text": "agent: 2 steps", "cache_control": {"type": "ephemeral"}}
    agent.history[0] = {"role": "user", "content": [text]}
    for block in (block for message in agent.history for block in message["content"]):
        if block["type"] == "tool_use":
            block["input"] = dict(reversed(block["input"].items()))
    system = [{"type": "text", "text": "Be brief."}]
    assert (await agent.send(thinking=ADAPTIVE, system=system, **agent.tools(TOOLS))).text == turn.text


async def test_an_open_loop_begins_with_thinking_where_there_is_a_budget(agent: ChatAgent) -> None:
    agent.ask("Please look.")
    del goes_on(agent, await agent.send(thinking=ADAPTIVE, **agent.tools(TOOLS)))[0]
    with pytest.raises(agent.errors.BadRequestError, match=r"messages.1.content.0.type: Expected `thinking`"):
        await agent.send(thinking=BUDGET, **agent.tools(TOOLS))
    # An adaptive model may have called the tool without a thought, and one that does not think has none.
    assert (await agent.send(thinking=ADAPTIVE, **agent.tools(TOOLS))).text
    answer = await agent.send(**agent.tools(TOOLS))
    agent.history.append(answer.message)
    agent.ask("And now?")
    assert (await agent.send(thinking=BUDGET, **agent.tools(TOOLS))).reasoning


@both
async def test_redacted_thinking(agent: ChatAgent, stream: bool) -> None:
    agent.ask(f"Please look. {REDACTS}_1")
    blocks = goes_on(agent, await agent.send(thinking=BUDGET, stream=stream, **agent.tools(TOOLS)))
    assert blocks[0]["type"] == "redacted_thinking"
    assert (await agent.send(thinking=BUDGET, **agent.tools(TOOLS))).text
    blocks[0]["data"] = "bm8="
    with pytest.raises(agent.errors.BadRequestError, match="Invalid `signature`"):
        await agent.send(thinking=BUDGET, **agent.tools(TOOLS))


@both
async def test_thinking_that_is_left_out_has_its_signature(agent: ChatAgent, stream: bool) -> None:
    agent.ask("Please look.")
    omitted = {**ADAPTIVE, "display": "omitted"}
    turn = await agent.send(thinking=omitted, stream=stream, **agent.tools(TOOLS))
    block = goes_on(agent, turn)[0]
    assert (block["type"], block["thinking"], bool(block["signature"])) == ("thinking", "", True)
    assert turn.usage.output_tokens_details.thinking_tokens > 10
    assert (await agent.send(thinking=omitted, **agent.tools(TOOLS))).text


async def test_thinking_between_tools_alone(agent: ChatAgent) -> None:
    between = {"type": "between_tools"}
    agent.ask("agent: 1 step")
    first = await agent.send(thinking=between, **agent.tools(TOOLS))
    goes_on(agent, first)
    second = await agent.send(thinking=between, **agent.tools(TOOLS))
    assert (first.reasoning, bool(second.reasoning)) == ("", True)
    assert first.usage.output_tokens_details is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1000}}, "at least 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "`max_tokens` must be greater"),
        ({"thinking": BUDGET, "tool_choice": {"type": "any"}}, "forces tool use"),
        ({"thinking": {"type": "always"}}, "thinking: expected"),
    ],
)
async def test_thinking_that_cannot_be_had(agent: ChatAgent, options: dict[str, Any], named: str) -> None:
    agent.ask("Please look.")
    with pytest.raises(agent.errors.BadRequestError, match=named):
        await agent.send(**agent.tools(TOOLS), **options)
    assert (await agent.send(**agent.tools(TOOLS), thinking=ADAPTIVE, tool_choice={"type": "any"})).calls


@pytest.mark.parametrize(
    ("model", "options", "named"),
    [
        ("claude-haiku-5-5", {"thinking": BUDGET}, "thinking.type.enabled"),
        ("claude-haiku-5-5", {"thinking": {"type": "between_tools"}}, "thinking.type.between_tools"),
        ("claude-sonnet-5-5", {"thinking": {"type": "disabled"}}, "thinking.type.disabled"),
        ("claude-opus-5-5", {"tool_choice": {"type": "tool", "name": "look"}}, "forced tools"),
    ],
)
async def test_what_each_model_of_the_default_refuses(model: str, options: dict[str, Any], named: str) -> None:
    async with running_simulator(time_scale=0) as simulator, sdk_agent(simulator, "anthropic") as agent:
        agent.ask("Please look.")
        with pytest.raises(agent.errors.BadRequestError, match=named):
            await agent.send(model=model, **agent.tools(TOOLS), **options)


async def test_models_that_refuse_tools_while_they_reason() -> None:
    async with running_simulator(time_scale=0) as simulator, sdk_agent(simulator, "openai") as agent:
        agent.ask("Please look.")
        for effort in ({}, {"reasoning_effort": "low"}):
            with pytest.raises(agent.errors.BadRequestError, match="reasoned tools"):
                await agent.send(**agent.tools(TOOLS), **effort)
        turn = await agent.send(**agent.tools(TOOLS), reasoning_effort="none")
        assert turn.calls
        assert turn.usage.completion_tokens_details.reasoning_tokens == 0


async def test_a_thought_for_which_there_is_no_room_is_left_out(agent: ChatAgent) -> None:
    agent.ask("What now?")
    turn = await agent.send(thinking=ADAPTIVE, max_tokens=12)
    assert (turn.reasoning, turn.finish, turn.usage.output_tokens) == ("", "max_tokens", 12)


@both
async def test_groq_shows_what_was_reasoned(sim: RunningSimulator, stream: bool) -> None:
    async with sdk_agent(sim, "groq") as agent:
        agent.ask("Please look.")
        plain = await agent.send(stream=stream, reasoning_effort="low")
        asked = await agent.send(stream=stream, include_reasoning=True)
        tools = await agent.send(stream=stream, **agent.tools(TOOLS))
        hidden = await agent.send(stream=stream, reasoning_format="hidden", **agent.tools(TOOLS))
        off = await agent.send(stream=stream, reasoning_effort="none")
        with pytest.raises(agent.errors.BadRequestError, match="mutually exclusive"):
            await agent.send(stream=stream, reasoning_format="parsed", include_reasoning=True)
    assert [bool(turn.reasoning) for turn in (plain, asked, tools, hidden, off)] == [False, True, True, False, False]
    reasoned = [t.usage.completion_tokens_details.reasoning_tokens for t in (plain, asked, tools, hidden, off)]
    assert [tokens > 0 for tokens in reasoned] == [True, True, True, True, False]
    assert (plain.text, bool(tools.calls)) == (asked.text, True)


async def test_openai_counts_what_was_reasoned_and_hides_it(sim: RunningSimulator) -> None:
    async with sdk_agent(sim, "openai") as agent:
        agent.ask("Please look.")
        turn = await agent.send(reasoning_effort="high", **agent.tools(TOOLS))
    assert turn.calls
    assert turn.usage.completion_tokens_details.reasoning_tokens > 0
    assert turn.reasoning == ""


def cached(turn: Turn) -> tuple[int, int, int]:
    usage = turn.usage
    return usage.cache_read_input_tokens, usage.cache_creation_input_tokens, usage.input_tokens


@both
async def test_a_marked_prompt_is_written_once_and_read_from_then_on(
    sim: RunningSimulator, agent: ChatAgent, stream: bool
) -> None:
    marked = [{"type": "text", "text": "policy " * 1100, "cache_control": {"type": "ephemeral"}}]
    agent.ask("What now?")
    first = await agent.send(system=marked, stream=stream, **agent.tools(TOOLS))
    agent.history[:] = [{"role": "user", "content": "And what else?"}]
    second = await agent.send(system=marked, stream=stream, **agent.tools(TOOLS))
    read, written, rest = cached(first)
    assert (read, written > 1100, rest < 20) == (0, True, True)
    assert cached(second)[:2] == (written, 0)
    usage = sim.calls[0]["usage"]
    assert (usage["input_tokens"], usage["cache_written_tokens"]) == (written + rest, written)
    other = await agent.send(system=marked, **agent.tools({"look": TOOLS["look"]}))
    assert cached(other)[0] == 0
    assert cached(await agent.send(system=[{**marked[0], "cache_control": None}], **agent.tools(TOOLS)))[1] == 0


async def test_a_loop_reads_what_it_had_and_writes_what_is_new(agent: ChatAgent) -> None:
    agent.history = [{"role": "user", "content": f"agent: 3 steps. {'word ' * 1100}"}]
    seen = []
    while True:
        turn = await agent.send(**agent.tools(TOOLS), extra_body={"cache_control": {"type": "ephemeral"}})
        seen.append(cached(turn))
        if not turn.calls:
            break
        goes_on(agent, turn)
    reads, writes = [read for read, _, _ in seen], [written for _, written, _ in seen]
    assert (reads[0], len(seen)) == (0, 4)
    assert all(read == before + written for read, before, written in zip(reads[1:], reads, writes, strict=False))
    assert all(0 < written < 100 for written in writes[1:])


async def test_a_loop_over_chat_completions_is_cached_by_itself(sim: RunningSimulator) -> None:
    async with sdk_agent(sim, "openai") as agent:
        agent.history = [{"role": "user", "content": f"agent: 3 steps. {'word ' * 1100}"}]
        first = await agent.send(**agent.tools(TOOLS))
        goes_on(agent, first)
        second = await agent.send(**agent.tools(TOOLS))
    tokens = [turn.usage.prompt_tokens_details.cached_tokens for turn in (first, second)]
    assert (tokens[0], tokens[1] % 128) == (0, 0)
    assert first.usage.prompt_tokens - 128 <= tokens[1] <= first.usage.prompt_tokens

"""The real SDKs against the simulator: calls of tools, agents in a loop, images, files, and what is refused."""

import json
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
from jsonschema import validate
from support.sdk_agents import COUNT, MODELS, TOOLS, ChatAgent, Turn, sdk_agent

from tierstream.simulator import RunningSimulator, running_simulator
from tierstream.simulator.chat import Input
from tierstream.simulator.tool_calls import report

CALLED = {"tool_calls", "tool_use"}
ENDED = {"stop", "end_turn"}
both = pytest.mark.parametrize("stream", [False, True])


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


def used(agent: ChatAgent, turn: Turn) -> tuple[int, int]:
    if agent.provider == "anthropic":
        usage = turn.usage
        cached = usage.cache_read_input_tokens + usage.cache_creation_input_tokens
        return usage.input_tokens + cached, usage.output_tokens
    return turn.usage.prompt_tokens, turn.usage.completion_tokens


async def run(agent: ChatAgent, **options: Any) -> tuple[Turn, list[str], list[Turn]]:
    """Go on until there is an answer; what tools return names the call, so that each is another text."""
    results: list[str] = []
    turns: list[Turn] = []
    while True:
        turn = await agent.send(**agent.tools(TOOLS), **options)
        turns.append(turn)
        if not turn.calls:
            return turn, results, turns
        given = [(call.id, f"{call.name} gives {len(results) + place}") for place, call in enumerate(turn.calls)]
        results += [text for _, text in given]
        agent.history.append(turn.message)
        agent.give(given)


@both
async def test_a_tool_that_the_question_names_is_called_and_its_result_answered(agent: ChatAgent, stream: bool) -> None:
    agent.ask("Please look for the file.")
    without = await agent.send(stream=stream)
    turn = await agent.send(stream=stream, **agent.tools(TOOLS))
    (call,) = turn.calls
    assert (call.name, turn.text, turn.finish in CALLED) == ("look", "", True)
    validate(json.loads(call.arguments), TOOLS["look"])
    assert turn.pieces >= (3 if stream else 0)
    assert used(agent, turn)[0] > used(agent, without)[0] + 40
    assert used(agent, turn)[1] >= 10
    agent.history.append(turn.message)
    agent.give([(call.id, "There it is.")])
    answer = await agent.send(stream=stream, **agent.tools(TOOLS))
    assert (answer.text, answer.calls, answer.finish in ENDED) == (report(["There it is."]), [], True)


@both
async def test_what_is_asked_without_a_tools_name_is_answered(agent: ChatAgent, stream: bool) -> None:
    agent.ask("What is the onlooker's opinion?")
    turn = await agent.send(stream=stream, **agent.tools(TOOLS))
    assert turn.text
    assert turn.finish in ENDED


@both
async def test_an_agent_of_twenty_steps_loses_no_result(sim: RunningSimulator, agent: ChatAgent, stream: bool) -> None:
    agent.ask("agent: 20 steps")
    answer, results, turns = await run(agent, stream=stream)
    assert answer.text == report(results)
    assert len(results) == 20
    assert report(results) != report([*results[1:], results[0]])
    assert {len(turn.calls) for turn in turns[:-1]} == {1}
    assert [turn.calls[0].name for turn in turns[:4]] == ["look", "count_up", "look", "count_up"]
    calls = [(call.name, call.arguments) for turn in turns for call in turn.calls]
    assert len(set(calls)) == 20
    for name, arguments in calls:
        validate(json.loads(arguments), TOOLS[name])
    assert len({call.id for turn in turns for call in turn.calls}) == 20
    assert [call["usage"]["input_tokens"] for call in sim.calls] == [used(agent, turn)[0] for turn in turns]


async def test_an_agents_next_question_begins_anew(agent: ChatAgent) -> None:
    agent.ask("agent: 2 steps")
    answer, _, _ = await run(agent)
    agent.history.append(answer.message)
    agent.ask("agent: 3 steps")
    answer, results, _ = await run(agent)
    assert (len(results), answer.text) == (3, report(results))


@both
async def test_calls_at_a_time(agent: ChatAgent, stream: bool) -> None:
    agent.ask("agent: 7 steps 3 at a time")
    answer, results, turns = await run(agent, stream=stream)
    assert [len(turn.calls) for turn in turns] == [3, 3, 1, 0]
    assert answer.text == report(results)


@both
async def test_an_agent_that_says_what_it_does(agent: ChatAgent, stream: bool) -> None:
    agent.ask("agent: 3 steps aloud")
    answer, results, turns = await run(agent, stream=stream)
    assert answer.text == report(results)
    assert [(turn.text, len(turn.calls), turn.finish in CALLED) for turn in turns[:-1]] == [
        (f"I go on with step {step}.", 1, True) for step in (1, 2, 3)
    ]


async def test_calls_one_at_a_time_where_the_client_wants_that(agent: ChatAgent) -> None:
    one = (
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
        if agent.provider == "anthropic"
        else {"parallel_tool_calls": False}
    )
    agent.ask("agent: 4 steps 2 at a time")
    _, results, turns = await run(agent, **one)
    assert (len(results), len(turns)) == (4, 5)


async def test_the_choice_of_tools_is_kept(agent: ChatAgent) -> None:
    anthropic = agent.provider == "anthropic"
    agent.ask("Have a look.")
    none = await agent.send(**agent.tools(TOOLS), tool_choice={"type": "none"} if anthropic else "none")
    named = (
        {"type": "tool", "name": "count_up"} if anthropic else {"type": "function", "function": {"name": "count_up"}}
    )
    forced = await agent.send(**agent.tools(TOOLS), tool_choice=named)
    agent.history[:] = [{"role": "user", "content": "Good morning."}]
    needed = await agent.send(**agent.tools(TOOLS), tool_choice={"type": "any"} if anthropic else "required")
    assert none.calls == []
    assert [call.name for call in forced.calls] == ["count_up"]
    assert [call.name for call in needed.calls] == ["look"]
    validate(json.loads(forced.calls[0].arguments), COUNT)


@both
async def test_a_limit_of_tokens_cuts_the_arguments(agent: ChatAgent, stream: bool) -> None:
    agent.ask("Please look for the file.")
    turn = await agent.send(stream=stream, max_tokens=10, **agent.tools({"look": TOOLS["look"]}))
    assert turn.finish in {"length", "max_tokens"}
    assert used(agent, turn)[1] == 10


@both
@pytest.mark.parametrize("fault", ["bad_arguments", "off_schema", "unknown_tool", "repeated_call"])
async def test_faults_of_calls(sim: RunningSimulator, agent: ChatAgent, fault: str, stream: bool) -> None:
    sim.set_behaviour(agent.provider, **{f"rate_{fault}": 1})
    agent.ask("agent: 3 steps")
    answer, results, turns = await run(agent, stream=stream)
    assert (len(results), answer.text) == (3, report(results))
    assert {call["fault"] for call in sim.calls} == {fault}
    calls = [turn.calls[0] for turn in turns[:-1]]
    match fault:
        case "bad_arguments" if agent.provider == "anthropic" and stream:
            # What the SDK makes of half of the JSON.
            assert json.loads(calls[0].arguments).keys() < {"path", "depth"}
        case "bad_arguments" if agent.provider == "anthropic":
            assert set(json.loads(calls[0].arguments)) == {"INVALID_JSON"}
        case "bad_arguments":
            assert all(is_broken(call.arguments) for call in calls)
        case "off_schema":
            assert json.loads(calls[0].arguments).keys() == {"depth"}
        case "unknown_tool":
            assert not {call.name for call in calls} & TOOLS.keys()
        case "repeated_call":
            assert len({(call.name, call.arguments) for call in calls}) == 1
            assert len({call.id for call in calls}) == 3


def is_broken(arguments: str) -> bool:
    try:
        json.loads(arguments)
    except ValueError:
        return True
    return False


def call(call_id: str = "call_1", **function: Any) -> dict[str, Any]:
    named = {"name": "look", "arguments": "{}", **function}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": named}],
    }


ASKED = {"role": "user", "content": "Go on."}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "It is there."}
FUNCTION = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"messages": [ASKED, call()]}, "must be followed by tool messages"),
        ({"messages": [ASKED, call(), ASKED]}, "call_1"),
        ({"messages": [ASKED, RESULT]}, "must be a response to a preceding message"),
        ({"messages": [ASKED, call("call_2"), RESULT]}, "must be a response to a preceding message"),
        ({"messages": [ASKED, call(), RESULT, RESULT]}, "must be a response to a preceding message"),
        ({"messages": [ASKED, call("x" * 41), RESULT]}, "40 characters"),
        ({"messages": [ASKED, call(name="a tool"), RESULT]}, "does not match pattern"),
        ({"messages": [ASKED, call(arguments={}), RESULT]}, "arguments"),
        ({"messages": [ASKED, {"role": "assistant", "content": "", "tool_calls": []}]}, "minimum length 1"),
        ({"messages": [{**call(), "role": "user"}]}, "'assistant' alone"),
        ({"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "hm"}]}]}, "Supported values"),
        ({"tools": []}, "'tools'"),
        ({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "does not match pattern"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {}}}]}, "type 'object'"),
        ({"tool_choice": "required"}, "'tools' are specified"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "see"}}}, "not in 'tools'"),
    ],
)
async def test_chat_completions_refuse(chat: ChatAgent, body: dict[str, Any], named: str) -> None:
    with pytest.raises(chat.errors.BadRequestError) as refused:
        await chat.sdk.chat.completions.create(**{"model": MODELS[chat.provider], "messages": [ASKED], **body})
    assert named in str(refused.value)
    # OpenAI's SDK hands out what is in `error`, Groq's all of the body.
    error = refused.value.body.get("error", refused.value.body)
    assert (error["type"], error["param"] is None) == ("invalid_request_error", False)


def use(call_id: str = "toolu_1", **fields: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": call_id, "name": "look", "input": {}, **fields}
    return {"role": "assistant", "content": [block]}


def result(call_id: str = "toolu_1", *, before: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"role": "user", "content": [*before, {"type": "tool_result", "tool_use_id": call_id, "content": "Yes."}]}


SAID = {"type": "text", "text": "Here:"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
MARKED = {**SAID, "cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"messages": [ASKED, use()]}, "messages.1: `tool_use` ids were found without `tool_result`"),
        ({"messages": [ASKED, use(), ASKED, result()]}, "toolu_1"),
        ({"messages": [ASKED, use(), result(before=(SAID,))]}, "immediately after: toolu_1"),
        ({"messages": [ASKED, result()]}, "messages.1.content.0: unexpected `tool_use_id`"),
        ({"messages": [ASKED, use("toolu_2"), result()]}, "unexpected `tool_use_id`"),
        ({"messages": [ASKED, use(), result(), use(), result()]}, "ids must be unique"),
        ({"messages": [ASKED, use("call:1"), result("call:1")]}, "should match pattern"),
        ({"messages": [ASKED, use(input="{}"), result()]}, "valid dictionary"),
        ({"messages": [{"role": "user", "content": use()["content"]}]}, "`tool_use` blocks"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image_url"),
        ({"tools": [{**TOOL, "name": "a.b"}]}, "^[a-zA-Z0-9_-]{1,128}$"),
        ({"tools": [TOOL, TOOL]}, "unique"),
        ({"tools": [{"name": "look", "input_schema": {}}]}, "Input should be 'object'"),
        ({"tool_choice": {"type": "any"}}, "while providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "see"}}, "'see' not found"),
        ({"messages": [{"role": "user", "content": [MARKED] * 5}]}, "Found 5"),
        ({"messages": [{"role": "user", "content": [{**SAID, "cache_control": {"type": "ever"}}]}]}, "ephemeral"),
    ],
)
async def test_messages_refuse(messages: ChatAgent, body: dict[str, Any], named: str) -> None:
    whole = {"model": MODELS["anthropic"], "max_tokens": 100, "messages": [ASKED], **body}
    with pytest.raises(messages.errors.BadRequestError) as refused:
        await messages.sdk.messages.create(**whole)
    assert named in str(refused.value)
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    del whole["max_tokens"]
    with pytest.raises(messages.errors.BadRequestError):
        await messages.sdk.messages.count_tokens(**whole)


async def test_results_in_messages_of_their_own_are_one_turn(messages: ChatAgent) -> None:
    both_calls = {"role": "assistant", "content": [*use()["content"], *use("toolu_2")["content"]]}
    messages.history = [ASKED, both_calls, result(), result("toolu_2")]
    assert (await messages.send()).text == report(["Yes.", "Yes."])


async def test_tokens_are_counted_as_they_are_billed(sim: RunningSimulator, messages: ChatAgent) -> None:
    messages.history = [ASKED, use(), result(), {"role": "assistant", "content": "So."}, ASKED]
    options = {**messages.tools(TOOLS), "system": "Be brief."}
    counted = await messages.sdk.messages.count_tokens(model=MODELS["anthropic"], messages=messages.history, **options)
    turn = await messages.send(**options)
    assert counted.input_tokens == turn.usage.input_tokens
    assert len(sim.calls) == 1
    with pytest.raises(messages.errors.NotFoundError):
        await messages.sdk.messages.count_tokens(model="claude-0", messages=[ASKED])
    with pytest.raises(messages.errors.BadRequestError, match="anthropic-version"):
        await messages.sdk.messages.count_tokens(
            model=MODELS["anthropic"], messages=[ASKED], extra_headers={"anthropic-version": ""}
        )


@both
async def test_log_probabilities(sim: RunningSimulator, stream: bool) -> None:
    async with sdk_agent(sim, "openai") as agent:
        body = {"model": MODELS["openai"], "messages": [ASKED], "logprobs": True, "top_logprobs": 3}
        response = await agent.sdk.chat.completions.create(stream=stream, **body)
        if stream:
            choices = [choice async for chunk in response for choice in chunk.choices]
            text = "".join(choice.delta.content or "" for choice in choices)
            entries = [entry for choice in choices if choice.logprobs for entry in choice.logprobs.content]
        else:
            text, entries = response.choices[0].message.content, response.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries) == text
    assert all(entry.top_logprobs[0].token == entry.token for entry in entries)
    for entry in entries:
        ranked = [each.logprob for each in entry.top_logprobs]
        assert (len(ranked), ranked, max(ranked) <= 0) == (3, sorted(ranked, reverse=True), True)
        assert bytes(entry.bytes).decode() == entry.token


async def test_log_probabilities_that_cannot_be_had(chat: ChatAgent) -> None:
    chat.history = [ASKED]
    asked = {"logprobs": True} if chat.provider == "groq" else {"top_logprobs": 3}
    with pytest.raises(chat.errors.BadRequestError, match="logprobs"):
        await chat.send(**asked)

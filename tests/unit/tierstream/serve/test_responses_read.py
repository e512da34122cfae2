"""Bodies of responses, read as Requests, and what the answer repeats of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.door_answers import WEATHER, asked, is_request_or_refused, read
from support.record_strategies import json_values

from tierstream.serve.responses import Responses
from tierstream.serve.surface import DoorError, Target
from topics.messages import TextPart, ThinkingPart, ToolCall
from topics.requests import Request

PNG = "data:image/png;base64,aGk="
TOOLS = [{"type": "function", "name": name, "parameters": WEATHER, "strict": True} for name in ("look", "ask")]
FORMAT = {"type": "json_schema", "name": "w", "schema": WEATHER, "strict": True}


def asked_with(given="Which way?", **body):
    return read(Responses(), {"model": "auto", "input": given, **body})


def refused(given="Which way?", **body):
    with pytest.raises(DoorError) as raised:
        asked_with(given, **body)
    return raised.value


def test_a_question_is_a_request():
    assert asked_with().request == Request(request_id="r1", messages=[{"role": "user", "content": "Which way?"}])


def test_everything_that_is_served_has_its_field():
    asked_for = asked_with(
        instructions="Be brief.",
        tools=TOOLS,
        tool_choice={"type": "function", "name": "ask"},
        parallel_tool_calls=False,
        text={"format": FORMAT, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=99,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=2,
        service_tier="flex",
        metadata={"a": "b"},
        background=True,
        store=False,
        stream=True,
        truncation="auto",
        user="u1",
    )
    request, params = asked_for.request, asked_for.request.params
    assert [(m.role, m.content) for m in request.messages] == [("system", "Be brief."), ("user", "Which way?")]
    assert (params.max_tokens, params.temperature, params.top_p) == (99, 0.5, 0.9)
    assert (params.reasoning_effort, params.service_tier) == ("low", "flex")
    assert (params.logprobs, params.top_logprobs) == (True, 2)
    assert (request.answer_schema, request.tool_choice.function.name) == (WEATHER, "ask")
    assert (request.parallel_tool_calls, request.user_id) == (False, "u1")
    assert (asked_for.streams, asked_for.background) == (True, True)
    echo = asked_for.echo
    assert (echo["tools"][0]["name"], echo["tool_choice"]) == ("look", {"type": "function", "name": "ask"})
    assert echo["text"] == {"format": {**FORMAT, "description": None}, "verbosity": "low"}
    assert echo["reasoning"] == {"effort": "low", "summary": "auto"}
    assert (echo["metadata"], echo["background"], echo["store"]) == ({"a": "b"}, True, False)
    assert (echo["truncation"], echo["parallel_tool_calls"], echo["service_tier"]) == ("auto", False, "flex")
    assert (echo["max_output_tokens"], echo["temperature"], echo["top_p"], echo["top_logprobs"]) == (99, 0.5, 0.9, 2)


@pytest.mark.parametrize(
    "ignored",
    [
        {"include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "safety_identifier": "s"},
        {"text": {"format": {"type": "text"}}, "service_tier": "auto", "max_tool_calls": 3},
        {"temperature": None, "tools": None, "tool_choice": None, "stream": None, "conversation": None},
        {"presence_penalty": 0, "context_management": [{"type": "compaction"}], "a_field_of_next_year": 1},
    ],
)
def test_what_asks_for_nothing_changes_nothing(ignored):
    assert asked_with(**ignored).request == asked_with().request


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": TOOLS, "tool_choice": {"type": "file_search"}}, "tool_choice.type"),
        ({"tool_choice": "required"}, None),
        ({"text": {"format": {"type": "json_schema", "name": "w"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {f"k{number}": "" for number in range(17)}}, "metadata"),
        ({"truncation": "sometimes"}, "truncation"),
        ({"model": None}, "model"),
        ({"user": "u" * 300}, "user"),
    ],
)
def test_what_is_not_served_is_named(body, param):
    error = refused(**body)
    assert (error.status, error.param) == (400, param)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "input[0]"),
        ({"type": "web_search_call", "id": "ws_1"}, "input[0].type"),
        ({"type": "SECRET SECRET"}, "input[0].type"),
        ({"role": "king", "content": "x"}, "input[0].role"),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}, "input[0]"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "input[0].content[0]"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[0].content[0].text"),
        ({"role": "user", "content": [{"type": "input_file", "filename": "a"}]}, "input[0]"),
        ({"type": "function_call", "call_id": "c", "name": "f"}, "input[0].arguments"),
        ({"type": "function_call_output", "call_id": "", "output": "x"}, "input[0]"),
        ("hi", "input[0]"),
    ],
)
def test_an_item_that_is_wrong_is_named(item, param):
    error = refused([item])
    assert error.param == param
    assert "SECRET" not in error.message


def test_no_input_is_refused():
    assert refused(None).param == "input"
    assert refused([]).param == "input"


def test_a_conversation_of_items():
    call = {"type": "function_call", "name": "look", "arguments": "{}"}
    messages = asked_with(
        [
            {"role": "system", "content": "Be brief."},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look."},
                    {"type": "input_image", "image_url": PNG, "detail": "original"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
                ],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "of another vendor"},
            {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "I look."}]},
            {**call, "call_id": "c1", "id": "fc_1", "status": "completed"},
            {**call, "call_id": "c2"},
            {"type": "function_call_output", "call_id": "c1", "output": "Fog."},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_image", "image_url": PNG}]},
            {"role": "assistant", "content": "There is fog."},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No more."}]},
        ]
    ).request.messages
    assert [m.role for m in messages] == ["developer", "user", "assistant", "tool", "tool", "assistant"]
    _, user, said, first, second, last = messages
    assert (user.parts[1].image_url.detail, user.parts[2].file.filename) == ("high", "a.pdf")
    assert [type(item) for item in said.in_order()] == [ThinkingPart, TextPart, ToolCall, ToolCall]
    assert (first.tool_call_id, first.content, second.parts[0].image_url.url) == ("c1", "Fog.", PNG)
    assert [part.text for part in last.parts] == ["There is fog.", "No more."]


def test_two_calls_with_one_id_are_refused():
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    assert refused([call, call]).param == "input[1]"


def test_of_tools_that_are_not_allowed_the_model_hears_nothing():
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "ask"}]}
    request = asked_with(tools=TOOLS, tool_choice=choice).request
    assert ([tool.function.name for tool in request.tools], request.tool_choice) == (["ask"], "required")


@pytest.mark.parametrize(
    ("request_fields", "name"),
    [
        ({}, "auto"),
        ({"min_tier": 2, "max_tier": 2}, "tier-2"),
        ({"max_tier": 2}, "auto"),
        ({"model": "groq/llama", "max_tier": 1}, "groq/llama"),
    ],
)
def test_from_the_record_alone_it_is_told_what_was_asked(request_fields, name):
    request = asked().request.model_copy(update=request_fields)
    again = Responses().asked_of(request, created_s=5, token="t0k")
    assert (again.target.name, again.created_s, again.token) == (name, 5, "t0k")


def test_what_the_record_knows_is_repeated_in_a_retrieval_too():
    first = asked_with(
        instructions="Be brief.", tools=TOOLS, tool_choice="required", text={"format": FORMAT}, temperature=0.5
    )
    again = Responses().asked_of(first.request, created_s=first.created_s, token="")
    assert again == first
    assert again.target == Target("auto")


def test_what_a_coding_agent_sends_is_read():
    asked_for = asked_with(
        [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandboxed."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List."}]},
            {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
            {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "c1", "id": None},
            {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
        ],
        instructions="You are an agent.",
        tools=TOOLS,
        tool_choice="auto",
        parallel_tool_calls=True,
        reasoning={"effort": "medium", "summary": "auto"},
        store=False,
        stream=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="01-23",
        text={"verbosity": "medium"},
    )
    assert [m.role for m in asked_for.request.messages] == ["system", "developer", "user", "assistant", "tool"]
    assert (asked_for.echo["store"], asked_for.echo["prompt_cache_key"]) == (False, "01-23")


types = st.sampled_from(("message", "function_call", "function_call_output", "reasoning", "item_reference"))
items = st.fixed_dictionaries(
    {},
    optional={
        "type": types | json_values,
        "role": st.sampled_from(("user", "assistant", "system")) | json_values,
        **dict.fromkeys(("content", "call_id", "name", "arguments", "output", "summary"), json_values),
    },
)


@given(st.lists(items, max_size=3))
def test_whatever_stands_for_an_item_is_read_or_refused(given_items):
    assert is_request_or_refused(Responses(), {"model": "auto", "input": given_items})

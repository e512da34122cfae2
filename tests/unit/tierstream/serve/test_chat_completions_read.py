"""Bodies of chat completions, read as Requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.door_answers import WEATHER, is_request_or_refused, read
from support.record_strategies import json_values, texts

from tierstream.serve.chat_completions import ChatCompletions
from tierstream.serve.surface import Caller, DoorError
from topics.requests import Request

PNG = "data:image/png;base64,aGk="
USER = {"role": "user", "content": "Which way?"}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": WEATHER}} for name in ("look", "ask")]


def request_of(*messages, **body):
    return read(ChatCompletions(), {"model": "auto", "messages": list(messages) or [USER], **body}).request


def refused(*messages, **body):
    with pytest.raises(DoorError) as raised:
        request_of(*messages, **body)
    return raised.value


def test_a_question_is_a_request():
    assert request_of() == Request(request_id="r1", messages=[USER])


def test_everything_that_is_served_has_its_field():
    asked = read(
        ChatCompletions(),
        {
            "model": "tier-2",
            "messages": [{"role": "developer", "content": "Be brief."}, {**USER, "name": "ann"}],
            "max_completion_tokens": 9,
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 1,
            "stop": "END",
            "seed": 3,
            "reasoning_effort": "low",
            "service_tier": "flex",
            "logprobs": True,
            "top_logprobs": 2,
            "response_format": {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER, "strict": True}},
            "tools": TOOLS,
            "tool_choice": {"type": "function", "function": {"name": "ask"}},
            "parallel_tool_calls": False,
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": "u1",
        },
    )
    request, params = asked.request, asked.request.params
    assert [(m.role, m.content, m.name) for m in request.messages] == [
        ("developer", "Be brief.", None),
        ("user", "Which way?", "ann"),
    ]
    assert (params.max_tokens, params.temperature, params.top_p, params.stop) == (9, 0.5, 1.0, ("END",))
    assert (params.seed, params.reasoning_effort, params.service_tier) == (3, "low", "flex")
    assert (params.logprobs, params.top_logprobs) == (True, 2)
    assert request.answer_schema == WEATHER
    assert [tool.function.name for tool in request.tools] == ["look", "ask"]
    assert (request.tool_choice.function.name, request.parallel_tool_calls) == ("ask", False)
    assert (request.user_id, request.min_tier, request.max_tier) == ("u1", 2, 2)
    assert (asked.streams, asked.wants_usage, asked.created_s) == (True, True, 1_700_000_000)


@pytest.mark.parametrize(
    "ignored",
    [
        {"n": 1},
        {"store": True, "metadata": {"a": "b"}, "prompt_cache_key": "k", "safety_identifier": "s"},
        {"modalities": ["text"], "verbosity": "low", "prediction": {"type": "content", "content": "x"}},
        {"response_format": {"type": "text"}, "service_tier": "auto", "stop": [], "tools": []},
        {"temperature": None, "tools": None, "tool_choice": None, "stop": None, "stream": None, "user": None},
        {"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "functions": []},
        {"a_field_of_next_year": [1]},
    ],
)
def test_what_asks_for_nothing_changes_nothing(ignored):
    assert request_of(**ignored) == request_of()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"logit_bias": {"50": 1}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": TOOLS, "tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "tool_choice.type"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 0}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"tools": {}}, "tools"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"user": 7}, "user"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
    ],
)
def test_what_is_not_served_is_named(body, param):
    error = refused(**body)
    assert (error.status, error.param) == (400, param)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "1"}, "messages[1].role"),
        ({"role": "assistant", "content": None, "function_call": {"name": "f"}}, "messages[1].function_call"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages[1].audio"),
        ({"role": "assistant", "content": None}, "messages[1]"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "messages[1].content[0]"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}, "messages[1].content[0].file"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[1].content[0].text"),
        ({"role": "user", "content": [{"type": "video"}]}, "messages[1].content[0]"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}]},
            "messages[1].content[0].image_url.url",
        ),
        ({"role": "tool", "content": "1"}, "messages[1]"),
        ({"role": "king", "content": "1"}, "messages[1].role"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]},
            "messages[1].tool_calls[0].id",
        ),
        ("hi", "messages[1]"),
    ],
)
def test_a_message_that_is_wrong_is_named(message, param):
    assert refused(USER, message).param == param


def test_what_is_wrong_is_said_without_the_text_that_is():
    error = refused({"role": "user", "content": [{"type": "SECRET", "text": "SECRET"}]}, {"role": "SECRET"})
    assert "SECRET" not in error.message + str(error.param)
    assert "SECRET" not in refused(tools=[{"type": "SECRET SECRET"}]).message


def test_a_conversation_with_tools_and_a_picture():
    first, said, result = request_of(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look.", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "original"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
            ],
        },
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "A cat."}]},
    ).messages
    text, image, file = first.parts
    assert (text.cache_control.type, image.image_url.url, image.image_url.detail) == ("ephemeral", PNG, "high")
    assert file.file.filename == "a.pdf"
    assert (said.content, said.calls[0].id) == (None, "c1")
    assert (result.tool_call_id, result.text) == ("c1", "A cat.")


def test_a_refusal_of_the_assistant_is_what_it_said():
    plain, parts = request_of(
        {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": []},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ).messages
    assert plain.text == parts.text == "No."


def test_of_tools_that_are_not_allowed_the_model_hears_nothing():
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "ask"}}]}
    request = request_of(tools=TOOLS, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert ([tool.function.name for tool in request.tools], request.tool_choice) == (["ask"], "required")


def test_the_key_binds_whatever_the_body_says():
    caller = Caller(user_id="k", feature="f", tags=("t",), min_tier=1, max_tier=2)
    request = read(ChatCompletions(), {"model": "support", "messages": [USER], "user": "u"}, caller=caller).request
    assert (request.user_id, request.feature, request.tags) == ("k", "f", ("t",))
    assert (request.min_tier, request.max_tier) == (1, 2)
    pinned = read(ChatCompletions(), {"model": "groq/llama", "messages": [USER]}, caller=Caller(max_tier=1)).request
    assert (pinned.model, pinned.max_tier) == ("groq/llama", 1)


def test_a_key_that_may_not_ask_for_a_tier_is_told_so():
    with pytest.raises(DoorError) as raised:
        read(ChatCompletions(), {"model": "tier-2", "messages": [USER]}, caller=Caller(max_tier=1))
    assert (raised.value.status, raised.value.param) == (403, "model")


def test_text_that_is_not_unicode_is_refused():
    assert refused({"role": "user", "content": "\ud800"}).status == 400


names = st.sampled_from(("messages", "tools", "tool_choice", "stop", "n", "response_format", "stream_options", "user"))


@given(st.dictionaries(names, json_values, max_size=4))
def test_whatever_stands_there_is_read_or_refused(body):
    assert is_request_or_refused(ChatCompletions(), {"model": "auto", "messages": [USER], **body})


@given(st.lists(st.dictionaries(st.sampled_from(("role", "content", "tool_calls", "name")), json_values | texts)))
def test_whatever_stands_for_a_message_is_read_or_refused(messages):
    assert is_request_or_refused(ChatCompletions(), {"model": "auto", "messages": messages})

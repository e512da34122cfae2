"""Bodies of Anthropic's messages, read as Requests."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.door_answers import WEATHER, KnownTargets, is_request_or_refused, read
from support.record_strategies import json_values

from tierstream.serve.messages import Messages
from tierstream.serve.surface import Caller, DoorError
from topics.messages import (
    FilePart,
    ImagePart,
    RedactedThinkingPart,
    TextPart,
    ThinkingPart,
    ToolCall,
    ToolCallPlace,
)
from topics.requests import Request

USER = {"role": "user", "content": "Which way?"}
TOOL = {"name": "look", "description": "Looks.", "input_schema": WEATHER}
DATA = b64encode(b"hi").decode()
CACHED = {"type": "ephemeral", "ttl": "1h"}


def request_of(*messages, headers=None, **body):
    whole = {"model": "auto", "max_tokens": 9, "messages": list(messages) or [USER], **body}
    return read(Messages(), whole, headers=headers).request


def refused(*messages, headers=None, **body):
    with pytest.raises(DoorError) as raised:
        request_of(*messages, headers=headers, **body)
    return raised.value


def tool_use(number, **arguments):
    return {"type": "tool_use", "id": f"c{number}", "name": "look", "input": arguments}


def test_a_question_is_a_request():
    assert request_of() == Request(request_id="r1", messages=[USER], params={"max_tokens": 9})


def test_everything_that_is_served_has_its_field():
    request = request_of(
        {"role": "user", "content": [{"type": "text", "text": "Which way?", "cache_control": CACHED}]},
        {"role": "system", "content": "Hurry."},
        system=[{"type": "text", "text": "Be brief.", "cache_control": CACHED}],
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        tools=[{**TOOL, "cache_control": CACHED, "strict": True, "type": "custom"}],
        tool_choice={"type": "tool", "name": "look", "disable_parallel_tool_use": True},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": WEATHER}},
        metadata={"user_id": "u1"},
        service_tier="standard_only",
        stream=True,
    )
    system, user, hurry = request.messages
    assert (system.role, system.parts[0].text, system.parts[0].cache_control.ttl) == ("system", "Be brief.", "1h")
    assert (user.parts[0].cache_control.ttl, hurry.role, hurry.content) == ("1h", "system", "Hurry.")
    params = request.params
    assert (params.max_tokens, params.temperature, params.top_p, params.stop) == (9, 0.5, 0.9, ("END",))
    assert (params.reasoning_effort, params.service_tier) == ("max", "standard_only")
    (tool,) = request.tools
    assert (tool.function.parameters, tool.function.strict, tool.cache_control.ttl) == (WEATHER, True, "1h")
    assert (request.tool_choice.function.name, request.parallel_tool_calls) == ("look", False)
    assert (request.response_schema, request.user_id, request.stream) == (WEATHER, "u1", True)


@pytest.mark.parametrize(("choice", "read_as"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_choices_of_tools(choice, read_as):
    request = request_of(tools=[TOOL], tool_choice={"type": choice})
    assert (request.tool_choice, request.parallel_tool_calls) == (read_as, None)


@pytest.mark.parametrize(
    ("body", "effort"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "xhigh"}}, "xhigh"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "none"),
    ],
)
def test_how_much_to_think(body, effort):
    assert request_of(**body).params.reasoning_effort == effort


def test_results_come_first_and_what_the_user_says_behind_them():
    _, said, first, second, user = request_of(
        USER,
        {"role": "assistant", "content": [tool_use(1, city="Bern"), tool_use(2)]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "Fog.", "cache_control": CACHED},
                {
                    "type": "tool_result",
                    "tool_use_id": "c2",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "Nothing."},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
                    ],
                },
                {"type": "text", "text": "And now?"},
            ],
        },
    ).messages
    assert [call.function.arguments for call in said.calls] == ['{"city":"Bern"}', "{}"]
    assert (first.role, first.tool_call_id, first.text, first.parts[0].cache_control.ttl) == (
        "tool",
        "c1",
        "Fog.",
        "1h",
    )
    assert (second.is_error, second.parts[1].image_url.url) == (True, f"data:image/png;base64,{DATA}")
    assert (user.role, user.text) == ("user", "And now?")


def test_a_result_without_content_is_an_empty_one():
    result = request_of(USER, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}]}).messages[1]
    assert (result.role, result.content, result.is_error) == ("tool", "", None)


def test_the_assistant_keeps_its_order():
    (said,) = request_of(
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s="},
                {"type": "redacted_thinking", "data": "d"},
                tool_use(1),
                {"type": "text", "text": "Then", "citations": None},
                tool_use(2),
            ],
        }
    ).messages
    assert [type(part) for part in said.parts] == [ThinkingPart, RedactedThinkingPart, ToolCallPlace, TextPart]
    assert [type(part) for part in said.in_order()] == [
        ThinkingPart,
        RedactedThinkingPart,
        ToolCall,
        TextPart,
        ToolCall,
    ]
    assert said.parts[0].signature == "s="


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ),
        (
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": DATA},
            },
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}", "filename": "a.pdf"}},
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            {"type": "file", "file": {"file_url": "https://example.com/a.pdf"}},
        ),
        ({"type": "document", "source": {"type": "content", "content": "Fog."}}, {"type": "text", "text": "Fog."}),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "Fog."}]}},
            {"type": "text", "text": "Fog."},
        ),
    ],
)
def test_pictures_and_documents(block, part):
    (message,) = request_of({"role": "user", "content": [{**block, "cache_control": CACHED}]}).messages
    assert [read_.model_dump(mode="json", exclude_none=True) for read_ in message.parts] == [
        {**part, "cache_control": CACHED}
    ]


def test_a_document_that_is_text_is_told_with_its_title_and_context():
    source = {"type": "text", "media_type": "text/plain", "data": "Fog is."}
    block = {"type": "document", "title": "Of fog", "context": "Old.", "source": source, "cache_control": CACHED}
    (message,) = request_of({"role": "user", "content": [block]}).messages
    assert [part.text for part in message.parts] == ["Of fog", "Old.", "Fog is."]
    assert [part.cache_control is None for part in message.parts] == [True, True, False]


def test_the_context_of_a_file_is_told_before_it():
    block = {
        "type": "document",
        "context": "Old.",
        "source": {"type": "base64", "media_type": "application/pdf", "data": DATA},
    }
    (message,) = request_of({"role": "user", "content": [block]}).messages
    assert [type(part) for part in message.parts] == [TextPart, FilePart]


def test_a_cache_control_of_the_whole_body_stands_at_the_end_of_the_prompt():
    (message,) = request_of(cache_control=CACHED).messages
    assert (message.parts[0].text, message.parts[0].cache_control.ttl) == ("Which way?", "1h")
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    (message,) = request_of({"role": "user", "content": [image]}, cache_control=CACHED).messages
    assert isinstance(message.parts[0], ImagePart)
    assert message.parts[0].cache_control.ttl == "1h"
    *_, prefill = request_of(USER, {"role": "assistant", "content": "So"}, cache_control=CACHED).messages
    assert prefill.content == "So"


def test_an_id_of_a_user_that_no_record_takes_is_known_by_its_hash():
    short, other = (request_of(metadata={"user_id": "u" * 400 + end}).user_id for end in "ab")
    assert len(short) == 64
    assert short != other


def test_a_schema_may_stand_where_the_beta_had_it():
    assert request_of(output_format={"type": "json_schema", "schema": WEATHER}).response_schema == WEATHER


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_versions_that_are_spoken(version):
    assert request_of(headers={"anthropic-version": version, "anthropic-beta": "any-2026"}) == request_of()


@pytest.mark.parametrize("headers", [{}, {"anthropic-version": "2023-01-01"}, {"anthropic-version": "latest"}])
def test_versions_that_are_not(headers):
    assert refused(headers=headers).param == "anthropic-version"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        ({"tools": [{"name": "look"}]}, "tools[0].input_schema"),
        ({"tools": [TOOL, TOOL]}, None),
        ({"tool_choice": {"type": "any"}}, None),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop_sequences": list("abcde")}, "stop_sequences"),
        ({"messages": []}, "messages"),
        ({"system": 7}, "system"),
        ({"thinking": {"type": "sometimes"}}, "thinking.type"),
        ({"model": 7}, "model"),
    ],
)
def test_what_is_not_served_is_named(body, param):
    error = refused(**body)
    assert (error.status, error.param) == (400, param)


def test_tools_of_the_vendor_are_refused_by_their_names():
    assert "web_search_20250305" in refused(tools=[{"type": "web_search_20250305", "name": "w"}]).message
    assert "SECRET" not in refused(tools=[{"type": "a SECRET", "name": "w"}]).message


def test_a_body_that_does_not_say_how_long_the_answer_may_be_is_refused():
    with pytest.raises(DoorError) as raised:
        read(Messages(), {"model": "auto", "messages": [USER]})
    assert raised.value.param == "max_tokens"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": [{"type": "search_result"}]}, "messages[1].content[0]"),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]},
            "messages[1].content[0].source",
        ),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "ftp://x"}}]},
            "messages[1].content[0]",
        ),
        ({"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}, "messages[1].content[0]"),
        ({"role": "assistant", "content": [tool_use(1), tool_use(1)]}, "messages[1].content[1]"),
        ({"role": "assistant", "content": [{**tool_use(1), "input": "{}"}]}, "messages[1].content[0].input"),
        ({"role": "assistant", "content": [{**tool_use(1), "id": ""}]}, "messages[1].content[0]"),
        ({"role": "tool", "content": "x"}, "messages[1]"),
    ],
)
def test_a_block_that_is_wrong_is_named(message, param):
    assert refused(USER, message).param == param


def test_tokens_are_counted_without_a_limit_and_images_not_as_text():
    def count(*blocks, **body):
        body = {"model": "auto", "messages": [{"role": "user", "content": list(blocks)}], **body}
        headers = {"anthropic-version": "2023-06-01"}
        return Messages().count_tokens(body, headers, caller=Caller(), targets=KnownTargets())["input_tokens"]

    words = {"type": "text", "text": "one two three " * 50}
    assert 150 <= count(words) <= 300
    assert count(words, tools=[TOOL]) > count(words, system="Be brief.") > count(words)
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(b"x" * 30_000).decode()}
    assert 1_000 < count({"type": "image", "source": source}) < 10_000
    assert 1_000 < count({"type": "document", "source": {**source, "media_type": "application/pdf"}}) < 10_000


def test_what_a_coding_agent_sends_is_read():
    cached = {"cache_control": {"type": "ephemeral"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": "a.py", **cached}
    request = request_of(
        {"role": "user", "content": [{"type": "text", "text": "<reminder>"}, {"type": "text", "text": "List."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "s="},
                {**tool_use(1), "id": "toolu_01", "caller": {"type": "direct"}},
            ],
        },
        {"role": "user", "content": [result]},
        headers={"anthropic-version": "2023-06-01", "anthropic-beta": "interleaved-thinking-2025-05-14"},
        max_tokens=32_000,
        system=[{"type": "text", "text": "You are an agent.", **cached}],
        tools=[{**TOOL, "eager_input_streaming": True, "defer_loading": False}],
        metadata={"user_id": '{"device_id":"d"}'},
        thinking={"type": "adaptive", "display": "summarized"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "medium"},
        stream=True,
    )
    assert [m.role for m in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.messages[-1].parts[0].cache_control.type == "ephemeral"
    assert (request.stream, request.params.reasoning_effort) == (True, "medium")


roles = st.sampled_from(("user", "assistant", "system"))
blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(("text", "image", "tool_use", "tool_result", "thinking", "document"))},
    optional=dict.fromkeys(
        ("text", "source", "id", "name", "input", "tool_use_id", "content", "signature"), json_values
    ),
)


@given(st.lists(st.fixed_dictionaries({"role": roles, "content": st.lists(blocks, max_size=3)}), max_size=3))
def test_whatever_stands_for_a_message_is_read_or_refused(messages):
    assert is_request_or_refused(Messages(), {"model": "auto", "max_tokens": 9, "messages": messages})

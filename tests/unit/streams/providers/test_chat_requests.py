"""Conversations as chat completions have them."""

import pytest
from support.provider_calls import call_of
from support.tool_loop import LOOP, PDF, PIXEL, call, file, image, said, text, thinking, tool

from streams.providers.base import ErrorKind, ProviderError
from streams.providers.groq import GroqProvider
from streams.providers.openai import OpenAIProvider
from streams.providers.vendor_sdk import Connection
from topics.messages import NamedTool, PlainFormat, SchemaFormat
from topics.requests import Params

NO_PARAMS = Params()


def body(*messages, kind=OpenAIProvider, params=NO_PARAMS, response_schema=None, **asked):
    speaker = kind(Connection("p", "key", None, use_proxy=False))
    messages = messages or (said("user", "hi"),)
    return speaker.request_body(
        call_of("gpt-4o", messages=messages, params=params, response_schema=response_schema, asked=asked)
    )


def test_calls_and_their_results():
    assert body(*LOOP)["messages"] == [
        {"role": "user", "content": "What is behind the door?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [call("c1", arguments='{"at":"door"}'), call("c2", "listen")],
        },
        {"role": "tool", "content": "a cat", "tool_call_id": "c1"},
        {"role": "tool", "content": "too loud", "tool_call_id": "c2"},
    ]


def test_calls_alone_have_no_text():
    (_, turn) = body(said("user", "hi"), said("assistant", None, tool_calls=[call("c1")]))["messages"]
    assert (turn["content"], turn["tool_calls"]) == (None, [call("c1")])


def test_ids_that_are_too_long_and_names_that_are_none_are_rewritten_alike_in_call_and_result():
    odd = "toolu_" + "x" * 60
    _, turn, result = body(
        said("user", "hi"),
        said("assistant", None, tool_calls=[call(odd, "functions.look")]),
        said("tool", "a cat", tool_call_id=odd),
    )["messages"]
    written = turn["tool_calls"][0]
    assert len(written["id"]) <= 40
    assert (written["id"], written["function"]["name"]) == (result["tool_call_id"], "functions_look")


def test_texts_stay_plain_and_thinking_is_left_out():
    messages = (
        said("developer", [text("a"), text("b", cache_control={"type": "ephemeral"})]),
        said("user", [text("c")]),
        said("assistant", [thinking("hm"), text("d")]),
    )
    assert [turn["content"] for turn in body(*messages)["messages"]] == ["a\nb", "c", "d"]


def test_images_and_files():
    asked = [text("what is this?"), image(detail="low"), file(file_data=PDF), file(file_data=PDF, filename="a.pdf")]
    assert body(said("user", asked))["messages"][0]["content"] == [
        text("what is this?"),
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "file", "file": {"file_data": PDF, "filename": "file.pdf"}},
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
    ]


def test_what_a_tool_shows_stands_behind_all_results():
    messages = (
        said("user", "look"),
        said("assistant", None, tool_calls=[call("c1"), call("c2")]),
        said("tool", [text("a cat"), image()], tool_call_id="c1"),
        said("tool", "silence", tool_call_id="c2"),
        said("user", "and?"),
    )
    *_, first, second, shown, last = body(*messages)["messages"]
    assert (first["content"], second["content"], last["content"]) == ("a cat", "silence", "and?")
    assert shown == {
        "role": "user",
        "content": [text("Result of the tool call c1:"), {"type": "image_url", "image_url": {"url": PIXEL}}],
    }
    assert body(*messages[:-1])["messages"][-1] == shown


@pytest.mark.parametrize(
    ("kind", "source", "why"),
    [
        (OpenAIProvider, {"file_url": "https://example.com/a.pdf"}, "file_url: chat completions take the data"),
        (GroqProvider, {"file_data": PDF}, "takes no files"),
    ],
)
def test_a_file_that_can_not_be_sent_is_refused_before_the_call(kind, source, why):
    with pytest.raises(ProviderError, match=why) as caught:
        body(said("user", [file(**source)]), kind=kind)
    assert caught.value.kind is ErrorKind.BAD_REQUEST


def test_tools():
    offered = tool(description="Looks.", parameters={"type": "object"}, strict=True), tool("listen")
    choice = NamedTool.model_validate({"type": "function", "function": {"name": "look"}})
    asked = body(tools=offered, tool_choice=choice, parallel_tool_calls=False)
    assert asked["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "look",
                "description": "Looks.",
                "parameters": {"type": "object"},
                "strict": True,
            },
        },
        {"type": "function", "function": {"name": "listen"}},
    ]
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert asked["parallel_tool_calls"] is False
    assert body(tools=offered, tool_choice="required")["tool_choice"] == "required"
    assert not {"tool_choice", "parallel_tool_calls"} & body(tools=offered).keys()


def test_without_tools_nothing_is_said_of_their_use():
    assert (
        not {"tools", "tool_choice", "parallel_tool_calls"} & body(tool_choice="none", parallel_tool_calls=True).keys()
    )


def test_formats():
    schema = {"type": "object"}
    named = SchemaFormat(type="json_schema", json_schema={"name": "a", "schema": schema, "strict": True})
    assert body(response_format=PlainFormat(type="json_object"))["response_format"] == {"type": "json_object"}
    assert body(response_format=named, response_schema=schema)["response_format"] == named.model_dump()
    assert "response_format" not in body(response_format=PlainFormat(type="text"))


def test_alternatives_of_tokens_are_asked_for_with_their_flag():
    asked = body(params=Params(top_logprobs=3))
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 3)
    assert "logprobs" not in body(params=Params(logprobs=False))


@pytest.mark.parametrize(
    ("kind", "tier", "is_told"),
    [(OpenAIProvider, "priority", True), (OpenAIProvider, "on_demand", False), (GroqProvider, "on_demand", True)],
)
def test_a_service_tier_is_told_to_those_who_have_it(kind, tier, is_told):
    assert ("service_tier" in body(kind=kind, params=Params(service_tier=tier))) is is_told

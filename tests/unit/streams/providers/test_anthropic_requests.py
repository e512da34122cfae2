"""Conversations as Anthropic's messages."""

from base64 import b64encode

import pytest
from support.provider_calls import call_of
from support.tool_loop import LOOP, PDF, PIXEL, call, file, image, said, text, thinking, tool

from streams.providers.anthropic import AnthropicProvider
from streams.providers.base import ErrorKind, ProviderError
from streams.providers.vendor_sdk import Connection
from topics.messages import NamedTool, PlainFormat
from topics.requests import Params

CACHE = {"type": "ephemeral", "ttl": "1h"}
NO_PARAMS = Params()
SPEAKER = AnthropicProvider(Connection("p", "key", None, use_proxy=False))


def body(*messages, params=NO_PARAMS, **asked):
    messages = messages or (said("user", "hi"),)
    return SPEAKER.request_body(call_of("m", messages=messages, params=params, asked=asked))


def turns(*messages):
    return body(*messages)["messages"]


def called(call_id="c1", name="look", given=None):
    return {"type": "tool_use", "id": call_id, "name": name, "input": given or {}}


def test_an_answer_goes_back_as_it_came_and_its_results_in_one_message():
    assert turns(*LOOP) == [
        {"role": "user", "content": "What is behind the door?"},
        {
            "role": "assistant",
            "content": [
                thinking("Look first.", "sig=="),
                text("I look."),
                called("c1", "look", {"at": "door"}),
                {"type": "redacted_thinking", "data": "xyz"},
                called("c2", "listen"),
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "a cat"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "too loud", "is_error": True},
            ],
        },
    ]


def test_what_the_user_says_next_stands_behind_the_results():
    *_, last = turns(*LOOP, said("developer", "be brief"), said("user", "and?"), said("user", "well?"))[:-1]
    assert [block["type"] for block in last["content"]] == ["tool_result", "tool_result", "text"]
    assert last["content"][-1] == text("and?")


def test_results_are_followed_by_what_the_model_said():
    answered = turns(*LOOP, said("assistant", "a cat"), said("user", "thanks"))
    assert [turn["role"] for turn in answered] == ["user", "assistant", "user", "assistant", "user"]


def test_thinking_without_a_signature_is_left_out_and_so_is_what_is_blank():
    messages = (said("user", "hi"), said("assistant", [thinking("hm"), text(" \n")], tool_calls=[call("c1")]))
    assert turns(*messages)[1]["content"] == [called()]
    assert turns(said("user", "hi"), said("assistant", [thinking("hm")])) == [{"role": "user", "content": "hi"}]


def test_a_result_without_content():
    *_, last = turns(*LOOP[:2], said("tool", "", tool_call_id="c1"), said("tool", [text("")], tool_call_id="c2"))
    assert last["content"] == [{"type": "tool_result", "tool_use_id": name} for name in ("c1", "c2")]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"at":"door","n":1.5}', {"at": "door", "n": 1.5}),
        ("", {}),
        ("[1]", {"arguments": "[1]"}),
        ('{"at":"do', {"arguments": '{"at":"do'}),
        ('{"n":NaN}', {"arguments": '{"n":NaN}'}),
        ('{"n":1e999}', {"arguments": '{"n":1e999}'}),
        ("[" * 100_000, {"arguments": "[" * 100_000}),
    ],
)
def test_arguments_are_an_object_whatever_the_model_wrote(arguments, given):
    asked = turns(said("user", "hi"), said("assistant", None, tool_calls=[call("c1", arguments=arguments)]))
    assert asked[1]["content"] == [called(given=given)]


def test_ids_of_other_vendors_are_rewritten_alike_and_one_that_comes_again_is_another():
    step = (
        said("assistant", None, tool_calls=[call("functions.look:0", "functions.look")]),
        said("tool", "a cat", tool_call_id="functions.look:0"),
    )
    _, one, its, two, next_one = turns(said("user", "hi"), *step, *step)
    first, second = one["content"][0], two["content"][0]
    assert (first["id"], second["id"]) == (its["content"][0]["tool_use_id"], next_one["content"][0]["tool_use_id"])
    assert first["id"] != second["id"]
    assert first["name"] == "functions_look"


def test_images_and_documents():
    words = f"data:text/markdown;base64,{b64encode('Grüße'.encode()).decode()}"
    asked = [
        image(),
        image("https://example.com/a.png"),
        {**file(file_data=PDF, filename="a.pdf"), "cache_control": CACHE},
        file(file_url="https://example.com/a.pdf"),
        file(file_data=words),
        file(file_data=PIXEL),
    ]
    pixel = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": PDF.partition(",")[2]}
    assert turns(said("user", asked))[0]["content"] == [
        pixel,
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": pdf, "title": "a.pdf", "cache_control": CACHE},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
        pixel,
    ]


def test_a_tool_may_show_an_image():
    *_, last = turns(*LOOP[:2], said("tool", [text("a cat"), image()], tool_call_id="c1"))
    assert [block["type"] for block in last["content"][0]["content"]] == ["text", "image"]


def test_a_file_of_another_kind_is_refused_before_the_call():
    with pytest.raises(ProviderError, match="PDF, text and images only") as caught:
        body(said("user", [file(file_data="data:application/zip;base64,aGk=")]))
    assert caught.value.kind is ErrorKind.BAD_REQUEST


def test_what_is_to_be_cached_is_marked():
    marked = text("be brief", cache_control=CACHE)
    asked = body(said("system", [marked, text("")]), said("system", "and kind"), said("user", [marked]))
    assert asked["system"] == [marked, text("and kind")]
    assert asked["messages"] == [{"role": "user", "content": [marked]}]
    offered = tool().model_copy(update={"cache_control": said("user", [marked]).parts[0].cache_control})
    assert body(tools=(offered,))["tools"][0]["cache_control"] == CACHE


def test_tools():
    schema = {"properties": {"n": {"type": "integer", "minimum": 1}}}
    loose, strict, odd = body(
        tools=(
            tool(description="Looks.", parameters=schema),
            tool("listen", parameters=schema, strict=True),
            tool("smell", parameters={"type": ["object", "null"]}, strict=True),
        )
    )["tools"]
    assert loose == {"name": "look", "description": "Looks.", "input_schema": {"type": "object", **schema}}
    assert (strict["strict"], "minimum" in strict["input_schema"]["properties"]["n"]) == (True, False)
    assert odd == {"name": "smell", "input_schema": {"type": ["object", "null"]}}
    assert body(tools=(tool(),))["tools"][0]["input_schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
        (
            NamedTool.model_validate({"type": "function", "function": {"name": "look"}}),
            None,
            {"type": "tool", "name": "look"},
        ),
    ],
)
def test_tool_choice(choice, parallel, written):
    asked = body(tools=(tool(),), tool_choice=choice, parallel_tool_calls=parallel)
    assert asked.get("tool_choice") == written


def test_without_tools_nothing_is_said_of_their_use():
    assert "tool_choice" not in body(tool_choice="auto", parallel_tool_calls=False)


def test_json_of_no_schema_is_asked_for_in_words():
    asked = body(said("system", "be brief"), said("user", "hi"), response_format=PlainFormat(type="json_object"))
    assert asked["system"] == "be brief\n\nReply with one JSON object, and with nothing else."
    assert "system" not in body(response_format=PlainFormat(type="text"))


def test_a_service_tier_in_its_own_words():
    assert body(params=Params(service_tier="standard_only"))["service_tier"] == "standard_only"


BUDGET = {"type": "enabled", "budget_tokens": 1024}
FOREIGN = (said("user", "hi"), said("assistant", [thinking("hm")], tool_calls=[call("c1")]))
RESULT = said("tool", "a cat", tool_call_id="c1")


@pytest.mark.parametrize(
    ("messages", "asked", "thinks"),
    [
        ((said("user", "hi"),), {}, True),
        (LOOP, {}, True),
        ((*FOREIGN, RESULT), {}, False),
        ((*FOREIGN, RESULT, said("user", "and?")), {}, False),
        ((*FOREIGN, RESULT, said("assistant", "a cat"), said("user", "and?")), {}, True),
        ((said("user", "hi"),), {"tools": (tool(),), "tool_choice": "required"}, False),
        ((said("user", "hi"),), {"tools": (tool(),), "tool_choice": "auto"}, True),
    ],
)
def test_thinking_with_a_budget_is_left_off_where_the_api_refuses_it(messages, asked, thinks):
    settled = SPEAKER.settle_body({**body(*messages, **asked), "thinking": BUDGET})
    assert ("thinking" in settled) is thinks


def test_adaptive_thinking_stays():
    adaptive = {"type": "adaptive"}
    assert SPEAKER.settle_body({**body(*FOREIGN, RESULT), "thinking": adaptive})["thinking"] == adaptive

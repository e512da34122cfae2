"""Request bodies and replies of each wire format, without a wire; and the registry."""

import json

import pytest
from support.provider_calls import call_of

from streams.config.settings import SettingsError, load
from streams.providers.anthropic import AnthropicProvider
from streams.providers.anthropic_messages import AnthropicMessage
from streams.providers.base import ChatCall
from streams.providers.chat_completions import ChatCompletion
from streams.providers.groq import GroqProvider
from streams.providers.openai import OpenAIProvider
from streams.providers.openai_compatible import OpenAICompatibleProvider
from streams.providers.registry import build_providers
from streams.providers.vendor_sdk import Connection
from topics.journal import Usage
from topics.messages import Message
from topics.requests import Params

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
PARAMS = Params(temperature=0.5, top_p=0.9, stop=("END",), seed=7)
MESSAGES = (
    Message(role="developer", content="be brief"),
    Message(role="user", content="one", name="ann"),
    Message(role="user", content="two", name="not a valid name"),
)


def call(model="m", messages=MESSAGES, params=PARAMS, schema=None, **extra) -> ChatCall:
    return call_of(model, messages=messages, params=params, max_tokens=9, response_schema=schema, extra=extra)


def provider(kind):
    return kind(Connection("p", "key", None, use_proxy=False))


def test_openai_drops_sampling_for_models_that_reason():
    body = provider(OpenAIProvider).request_body(call("gpt-6-luna"))
    assert body == {
        "model": "gpt-6-luna",
        "messages": [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": "one", "name": "ann"},
            {"role": "user", "content": "two"},
        ],
        "max_completion_tokens": 9,
        "stop": ["END"],
        "seed": 7,
    }


@pytest.mark.parametrize("asked", [call("gpt-4o"), call("gpt-6-luna", reasoning_effort="none")])
def test_openai_keeps_sampling_for_models_that_do_not_reason(asked):
    body = provider(OpenAIProvider).request_body(asked)
    assert (body["temperature"], body["top_p"]) == (0.5, 0.9)


def test_compatible_servers_get_the_older_form():
    body = provider(OpenAICompatibleProvider).request_body(call())
    assert (body["max_tokens"], body["messages"][0]["role"], body["temperature"]) == (9, "system", 0.5)
    assert "max_completion_tokens" not in body


def test_groq_asks_for_a_schema():
    body = provider(GroqProvider).request_body(call(schema=SCHEMA))
    schema = {"name": "response", "schema": SCHEMA, "strict": False}
    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}


def test_anthropic_has_system_apart_and_no_sampling():
    body = provider(AnthropicProvider).request_body(call(schema=SCHEMA))
    sent = body.pop("output_config")["format"]["schema"]
    assert sent["additionalProperties"] is False
    assert "minimum" not in sent["properties"]["n"]
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
        "max_tokens": 9,
        "system": "be brief",
        "stop_sequences": ["END"],
    }


def test_anthropic_instructions_alone_become_the_turn():
    body = provider(AnthropicProvider).request_body(call(messages=MESSAGES[:1]))
    assert body["messages"] == [{"role": "user", "content": "be brief"}]
    assert "system" not in body


def test_anthropic_is_asked_for_a_schema_that_it_can_not_be_held_to():
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    body = provider(AnthropicProvider).request_body(call(schema=schema))
    assert "output_config" not in body
    assert body["system"].startswith("be brief\n\nReply with one JSON value")
    assert json.dumps(schema) in body["system"]


def read_whole(kind, content):
    answer = kind(call())
    answer.take_whole(content)
    return answer.reply()


def completion(message, finish="stop", **fields):
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], **fields}).encode()


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("banana", "other"),
        (None, "other"),
    ],
)
def test_finish_reasons(finish, expected):
    reply = read_whole(ChatCompletion, completion({"content": "hi"}, finish))
    assert reply.finish_reason == expected


def test_refusal_is_the_answer():
    reply = read_whole(ChatCompletion, completion({"content": None, "refusal": "I can't"}))
    assert (reply.content, reply.finish_reason) == ("I can't", "content_filter")


def test_usage_of_chat_completions():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 3, "accepted_prediction_tokens": 0},
    }
    reply = read_whole(ChatCompletion, completion({"content": "hi"}, usage=usage))
    assert reply.usage == Usage(input=10, output=5, cached=10, reasoning=3)


def test_parts_of_the_input_are_never_more_than_the_whole():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 3},
    }
    reply = read_whole(ChatCompletion, completion({"content": "hi"}, usage=usage))
    assert (reply.usage.cached, reply.usage.cache_written) == (8, 2)


def test_missing_usage_is_estimated():
    reply = read_whole(ChatCompletion, completion({"content": "hello"}, usage=None))
    assert reply.usage == Usage(input=3 * 4 + 2 + 1 + 1, output=2, source="estimated")


def test_anthropic_reply():
    message = {
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
        ],
        "stop_reason": "max_tokens",
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 30,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }
    reply = read_whole(AnthropicMessage, json.dumps(message).encode())
    assert (reply.content, reply.finish_reason) == ("ab", "length")
    assert reply.usage == Usage(input=60, output=5, cached=30, cache_written=20, reasoning=2)


def streamed(answer, *events):
    return [piece for event in events for piece in answer.take(event if isinstance(event, str) else json.dumps(event))]


def chunk(finish=None, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def test_streamed_refusal_is_the_answer():
    answer = ChatCompletion(call())
    streamed(answer, chunk(refusal="I "), chunk(refusal="can't"), chunk("stop"), "[DONE]")
    reply = answer.reply()
    assert (reply.content, reply.finish_reason) == ("I can't", "content_filter")


def test_only_the_first_choice_is_the_answer():
    other = {
        "choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}, chunk(content="a")["choices"][0]]
    }
    answer = ChatCompletion(call())
    assert streamed(answer, other) == ["a"]
    assert not answer.is_whole


def called(**fields):
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {**fields, "function": function}


@pytest.mark.parametrize(
    "pieces",
    [
        # As the API has it; one index for all; none at all; an id in each piece.
        [called(index=0, id="a", name="f"), called(index=0, arguments="{}"), called(index=1, id="b", name="g")],
        [called(index=0, id="a", name="f", arguments="{}"), called(index=0, id="b", name="g", arguments="")],
        [called(id="a", name="f"), called(arguments="{}"), called(id="b", name="g", arguments="")],
        [called(index=0, id="a", name="f"), called(index=0, id="x", arguments="{}"), called(index=1, id="b", name="g")],
    ],
)
def test_pieces_of_calls_find_their_call_whatever_index_a_server_gives(pieces):
    answer = ChatCompletion(call())
    streamed(answer, *(chunk(tool_calls=[piece]) for piece in pieces))
    found = [(one.id, one.function.name, one.function.arguments) for one in answer.reply().tool_calls]
    assert found == [("a", "f", "{}"), ("b", "g", "")]


def test_a_whole_answer_whose_calls_have_no_ids_keeps_them_apart():
    message = {"content": None, "tool_calls": [called(name="f"), called(name="g")]}
    reply = read_whole(ChatCompletion, completion(message, "stop"))
    assert [(one.id, one.function.name) for one in reply.tool_calls] == [("call_0", "f"), ("call_1", "g")]
    assert reply.finish_reason == "tool_calls"


def test_usage_before_the_end_is_true_of_the_input_alone():
    answer = ChatCompletion(call())
    streamed(answer, {**chunk(content="x" * 40), "usage": {"prompt_tokens": 99, "completion_tokens": 3}})
    assert answer.billed() == Usage(input=99, output=10, source="estimated")
    streamed(answer, {**chunk("length"), "usage": {"prompt_tokens": 99, "completion_tokens": 11}})
    assert answer.billed() == Usage(input=99, output=11)


def test_last_event_alone_makes_an_answer_whole():
    answer = ChatCompletion(call())
    streamed(answer, chunk(content="hello"), "[DONE]")
    assert (answer.is_whole, answer.reply().finish_reason, answer.reply().usage.source) == (True, "other", "estimated")


def test_anthropic_counts_on_from_event_to_event():
    answer = AnthropicMessage(call())
    start = {"input_tokens": 10, "cache_read_input_tokens": 30, "output_tokens": 1}
    streamed(answer, {"type": "message_start", "message": {"usage": start}})
    assert answer.billed() == Usage(input=40, output=1, cached=30, source="estimated")
    streamed(
        answer,
        {"type": "content_block_start", "content_block": {"type": "text", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 7}},
    )
    assert (answer.reply().content, answer.reply().finish_reason) == ("hi", "content_filter")
    assert answer.billed() == Usage(input=40, output=7, cached=30)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return load()


def test_registry_builds_what_models_use(settings):
    assert {model.provider for _, model in settings.models()} == set(
        build_providers(settings, environ={}, simulator_url="http://127.0.0.1:1", simulated=settings.providers)
    )


def test_registry_wants_a_key(settings):
    with pytest.raises(SettingsError, match="'groq' has no key; set the environment variable GROQ_API_KEY"):
        build_providers(settings, environ={"GROQ_API_KEY": " "}, simulator_url=None, simulated=())


def test_registry_wants_a_simulator(settings):
    with pytest.raises(SettingsError, match="no simulator runs"):
        build_providers(settings, environ={}, simulator_url=None, simulated=settings.providers)


def test_key_is_not_shown():
    assert "sk-secret" not in repr(Connection("p", "sk-secret", None, use_proxy=True))

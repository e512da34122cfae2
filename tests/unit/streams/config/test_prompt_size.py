"""What a model reads is counted whatever it is, and what is no text is not counted as text."""

from base64 import b64encode

import pytest
from hypothesis import given
from support.record_strategies import requests

from streams.config.prompt_size import size_of
from topics.messages import Message, Tool

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "door"}'}}


def said(role, content, **fields):
    return Message.model_validate({"role": role, "content": content, **fields})


def data_url(media_type, size):
    return f"data:{media_type};base64,{b64encode(bytes(size)).decode()}"


def shown(part):
    return size_of([said("user", [{"type": "text", "text": "what is this?"}, part])], (), None)


def test_every_text_is_read():
    thought = [{"type": "thinking", "thinking": "a door"}, {"type": "redacted_thinking", "data": "xyz"}]
    messages = [
        said("system", "be brief"),
        said("assistant", [*thought, {"type": "text", "text": "I look"}], tool_calls=[CALL]),
        said("tool", "a red door", tool_call_id="c1"),
    ]
    size = size_of(messages, (), {"type": "object"})
    expected = ["be brief", "a door", "xyz", "I look", "look", '{"at": "door"}', "a red door", '{"type": "object"}']
    assert (list(size.texts), size.other_tokens) == (expected, 0)


def test_tools_are_read_with_their_schemas_and_what_the_provider_says_of_them():
    tool = Tool.model_validate({"type": "function", "function": {"name": "look", "parameters": {"a": 1}}})
    size = size_of([], (tool,), None)
    assert size.texts == ('{"name":"look","parameters":{"a":1}}',)
    assert size.other_tokens == 800


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": data_url("image/png", 90_000)}}, 5_000),
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 5_000),
        ({"type": "file", "file": {"file_data": data_url("application/pdf", 96_000)}}, 12_000),
        ({"type": "file", "file": {"file_data": data_url("text/plain", 96_000)}}, 24_000),
        ({"type": "file", "file": {"file_data": data_url("image/png", 96_000)}}, 5_000),
        ({"type": "file", "file": {"file_url": "https://example.com/a.pdf"}}, 50_000),
    ],
)
def test_what_is_no_text_has_an_estimate_and_its_data_is_not_read(part, tokens):
    size = shown(part)
    assert (size.texts, size.other_tokens) == (("what is this?",), tokens)
    assert size.rough_tokens == tokens + 4


@given(requests)
def test_a_request_reads_at_least_what_its_messages_say(request):
    size = size_of(request.messages, request.tools, request.answer_schema)
    assert size.rough_tokens >= sum(len(message.text.replace("\n", "")) for message in request.messages) // 4
    assert not any(";base64," in text for text in size.texts)

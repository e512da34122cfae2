"""Messages with tools, images, files and thinking: what is refused, and in which order their parts stand."""

import pytest
from pydantic import ValidationError

from topics.messages import Message, ToolCall, data_of
from topics.requests import Request

PIXEL = "data:image/png;base64,aGk="
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look"}}


def request(**fields):
    return Request.model_validate(
        {"request_id": "r", "messages": [{"role": "user", "content": "look"}], **fields}, strict=False
    )


def image(url):
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"role": "user", "content": None}, "content: only a message"),
        ({"role": "assistant", "content": None}, "content: only a message"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "only the assistant"),
        ({"role": "tool", "content": "x"}, "tool_call_id"),
        ({"role": "user", "content": "x", "tool_call_id": "c1"}, "tool_call_id"),
        ({"role": "user", "content": "x", "is_error": True}, "is_error"),
        ({"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}, "content.0: thinking is of the assis"),
        ({**image(PIXEL), "role": "assistant"}, "content.0: only users and tools"),
        ({"role": "assistant", "content": [{"type": "tool_call", "id": "c2"}], "tool_calls": [CALL]}, "no call of"),
        ({"role": "assistant", "content": None, "tool_calls": [CALL, CALL]}, "two have the same id"),
        (image("http://example.com/a.png"), "must be an https URL"),
        (image("https://example.com/" + "a" * 9_000), "must be an https URL"),
        (image("https://example.com/\n"), "must be an https URL"),
        (image("data:image/png,hello"), "must be a data URL in base64"),
        (image("data:image/png;base64,a"), "can be decoded"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "needs either"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "does not match any of the expected tags"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused_and_says_why(message, why):
    with pytest.raises(ValidationError, match=why):
        Message.model_validate(message)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"tools": [TOOL, TOOL]}, "two have the same name"),
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "no tool has the name"),
        ({"response_schema": {}, "response_format": {"type": "json_object"}}, "name either this"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"params": {"n": 2}}, "params.n"),
    ],
)
def test_a_request_whose_tools_and_format_make_no_sense_is_refused(fields, why):
    with pytest.raises(ValidationError) as caught:
        request(**fields)
    assert why in str(caught.value)


def test_the_schema_is_found_whichever_way_it_was_given():
    schema = {"type": "object"}
    wrapped = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    assert request(response_schema=schema).answer_schema == schema
    assert request(response_format=wrapped).answer_schema == schema
    assert request(response_format={"type": "json_object"}).answer_schema is None
    assert request(response_format={"type": "json_object"}).asks_for_json
    assert not request(response_format={"type": "text"}).asks_for_json


def test_parts_stand_in_their_order_and_calls_without_a_place_behind_them():
    second = CALL | {"id": "c2"}
    content = [{"type": "tool_call", "id": "c2"}, {"type": "text", "text": "so"}]
    message = Message.model_validate({"role": "assistant", "content": content, "tool_calls": [CALL, second]})
    assert [part.id if isinstance(part, ToolCall) else part.type for part in message.in_order()] == ["c2", "text", "c1"]
    assert list(message.texts()) == ["so", "look", "{}", "look", "{}"]
    assert message.text == "so"


def test_a_data_url_has_a_type_and_data():
    assert data_of(PIXEL) == ("image/png", "aGk=")


def test_a_request_without_what_is_new_is_written_as_it_was():
    written = request().model_dump_json()
    new = ("tool", "format", "reasoning", "service_tier", "logprobs", '"n"', "model", "is_error", "cache")
    assert not [name for name in new if name in written]


@pytest.mark.parametrize("fields", [{"content": [{}] * 1_000}, {"content": "Hi.", "tool_calls": [{}] * 1_000}])
def test_one_bad_part_is_reason_enough_and_not_all_are_listed(fields):
    with pytest.raises(ValidationError) as raised:
        Message(role="assistant", **fields)
    assert raised.value.error_count() < 10

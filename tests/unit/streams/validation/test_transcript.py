"""What was asked and answered, as text for another model."""

from hypothesis import given
from support.asked import called, conversation
from support.record_strategies import requests

from streams.validation.transcript import answer_text, asked_sections
from topics.requests import Request

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,SECRET00"}}
FILE = {"type": "file", "file": {"file_url": "https://example.org/a.pdf", "filename": "a.pdf"}}
LOOK = {"type": "function", "function": {"name": "look", "description": "Looks\n  it up."}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}


def request_of(*messages, **fields) -> Request:
    return Request.model_validate({"request_id": "r", "messages": messages} | fields)


def test_the_question_stands_between_what_was_before_it_and_the_steps_since():
    request = request_of(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "Looked."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, IMAGE, FILE]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hidden"},
                {"type": "tool_call", "id": "c1"},
                {"type": "text", "text": "Now."},
            ],
            "tool_calls": [CALL],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Look."},
        tools=[LOOK, {"type": "function", "function": {"name": "bare"}}],
        response_format={"type": "json_object"},
    )
    assert "\n".join(asked_sections(request)).splitlines() == [
        *("<tools>", "look: Looks it up.", "bare", "</tools>"),
        *("<given>", "system: Be brief.", "user: Look.", "assistant: Looked.", "</given>"),
        *("<question>", "Look.", "[image]", "[file]", "</question>"),
        *("<steps>", 'assistant: {"call": "look", "arguments": {"at": 1}}', "Now.", "tool: Look.", "</steps>"),
        *("<schema>", '{"type": "object"}', "</schema>"),
    ]


def test_a_result_without_text_is_shown_beside_a_question_without_text():
    request = conversation("", ("look", "{}", ""))
    assert "tool: \n</steps>" in "\n".join(asked_sections(request))


def test_where_no_user_speaks_the_last_message_is_the_question():
    request = request_of({"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "It is"})
    assert asked_sections(request) == ["<given>\nsystem: Be brief.\n</given>", "<question>\nIt is\n</question>"]


def test_an_answer_is_its_text_and_a_line_for_each_call():
    assert answer_text("Hm.", ()) == "Hm."
    assert answer_text("", ()) == ""
    assert answer_text("", called('look {"at":1}')) == '{"call": "look", "arguments": {"at": 1}}'
    assert answer_text("Hm.", called("look {", "look")).splitlines() == [
        "Hm.",
        '{"call": "look", "arguments": "{"}',
        '{"call": "look", "arguments": ""}',
    ]


@given(requests)
def test_any_request_can_be_shown_and_no_image_is(request):
    shown = "\n".join(asked_sections(request))
    assert "<question>" in shown
    assert "base64" not in shown or any("base64" in text for message in request.messages for text in message.texts())

"""What answers and errors say, where the clients' types leave it open."""

import pytest
from support.door_answers import asked, call, events_of, read, result_of, written

from tierstream.serve.chat_completions import ChatCompletions
from tierstream.serve.messages import Messages
from tierstream.serve.responses import Responses
from tierstream.serve.surface import DoorError
from topics.events import Delta
from topics.results import ResultStatus

CALL = call(0, "{}", id="c1", name="look")
RESPONSES = read(Responses(), {"model": "auto", "input": "Which way?"})


@pytest.mark.parametrize(
    ("reason", "pieces", "chat", "message", "response"),
    [
        ("stop", ["a"], "stop", "end_turn", "completed"),
        ("other", ["a"], "stop", "end_turn", "completed"),
        ("stop", [CALL], "tool_calls", "tool_use", "completed"),
        ("tool_calls", [CALL], "tool_calls", "tool_use", "completed"),
        ("length", [CALL], "length", "max_tokens", "incomplete"),
        ("content_filter", ["a"], "content_filter", "refusal", "incomplete"),
    ],
)
def test_how_an_answer_ended(reason, pieces, chat, message, response):
    result = result_of(pieces, finish_reason=reason, status=ResultStatus.DEGRADED)
    assert ChatCompletions().answer(asked(), result)["choices"][0]["finish_reason"] == chat
    assert Messages().answer(asked(), result)["stop_reason"] == message
    whole = Responses().answer(RESPONSES, result)
    assert (whole["status"], whole["output"][-1]["status"]) == (response, response)
    assert events_of(written(Responses().events(RESPONSES), pieces, result))[-1]["response"] == whole


def test_why_a_response_is_incomplete():
    cut = Responses().answer(RESPONSES, result_of(["a"], finish_reason="length"))
    assert (cut["incomplete_details"], cut["completed_at"]) == ({"reason": "max_output_tokens"}, None)
    blocked = Responses().answer(RESPONSES, result_of(["a"], finish_reason="content_filter"))
    assert blocked["incomplete_details"] == {"reason": "content_filter"}


def test_ids_are_made_of_the_token():
    result = result_of(["a"])
    assert ChatCompletions().answer(asked(), result)["id"] == "chatcmpl-t0k"
    assert Messages().answer(asked(), result)["id"] == "msg_t0k"
    whole = Responses().answer(asked(), result)
    assert (whole["id"], whole["output"][0]["id"]) == ("resp_t0k", "msg_t0k_0")


@pytest.mark.parametrize("surface", [ChatCompletions(), Messages(), Responses()])
def test_what_tierstream_has_to_say_is_an_object_of_its_own(surface):
    result = result_of(["a"], status=ResultStatus.DEGRADED, reason="hedge", said="quotes the answer")
    told = surface.answer(asked(), result)["tierstream"]
    assert told == {
        "request_id": "r1",
        "status": "degraded",
        "reason": "hedge",
        "tier": 2,
        "provider": "groq",
        "model": "llama",
        "cost_usd": "0.00012",
        "attempts": 0,
    }
    stream = written(surface.events(asked()), ["a"], result)
    assert stream.count(b'"tierstream"') == 1


@pytest.mark.parametrize("surface", [ChatCompletions(), Messages(), Responses()])
def test_an_answer_of_which_little_is_known_is_one(surface):
    result = result_of([], usage=None, provider=None, model=None, finish_reason=None, content=None)
    answer = surface.answer(asked(), result)
    usage = answer["usage"]
    assert (answer["model"], usage.get("prompt_tokens", usage.get("input_tokens"))) == ("auto", 0)


@pytest.mark.parametrize(
    ("arguments", "read_as"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ("  ", {}),
        ("[1]", {"arguments": "[1]"}),
        ('{"a": ', {"arguments": '{"a": '}),
        ('{"a": NaN}', {"arguments": '{"a": NaN}'}),
    ],
)
def test_arguments_that_are_no_object_are_one_field_of_one(arguments, read_as):
    answer = Messages().answer(asked(), result_of([call(0, arguments, id="c1", name="look")]))
    assert answer["content"][0]["input"] == read_as


def test_a_call_without_an_id_has_the_same_in_the_stream_as_in_the_answer():
    pieces = [call(0, "{}", name="look")]
    result = result_of(pieces)
    assert result.tool_calls[0].id == "call_0"
    for surface in (ChatCompletions(), Messages(), Responses()):
        assert b'"call_0"' in written(surface.events(asked()), pieces, result)


@pytest.mark.parametrize("surface", [ChatCompletions(), Messages(), Responses()])
def test_no_two_calls_of_a_stream_have_the_same_id(surface):
    writer = surface.events(RESPONSES)
    stream = b"".join(map(writer.piece, [call(0, "{}", id="same", name="f"), call(1, "{}", id="same", name="f")]))
    assert b'"same"' in stream
    assert b'"call_1"' in stream


def test_calls_that_come_interleaved_can_be_told_apart():
    pieces = [call(0, id="a", name="f"), call(1, id="b", name="g"), call(0, "1"), call(1, "2")]
    result = result_of(pieces)
    blocks = [event for event in events_of(written(Messages().events(asked()), pieces, result)) if "delta" in event]
    assert [(block.get("index"), block["delta"].get("partial_json")) for block in blocks[:2]] == [(0, "1"), (1, "2")]
    deltas = [
        event
        for event in events_of(written(Responses().events(RESPONSES), pieces, result))
        if event["type"] == "response.function_call_arguments.delta"
    ]
    assert [(event["output_index"], event["delta"]) for event in deltas] == [(0, "1"), (1, "2")]


def test_a_signature_without_a_thought_is_a_thought_without_text():
    pieces = [Delta(kind="signature", text="s"), "a"]
    result = result_of(pieces)
    assert Messages().answer(asked(), result)["content"][0] == {"type": "thinking", "thinking": "", "signature": "s"}
    stream = events_of(written(Messages().events(asked()), pieces, result))
    assert [event["type"] for event in stream if event.get("index") == 0] == [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ]


def test_empty_pieces_write_nothing():
    for surface in (ChatCompletions(), Messages(), Responses()):
        writer = surface.events(RESPONSES)
        assert writer.piece("") == writer.piece(Delta(kind="text")) == b""
    assert Messages().events(asked()).piece(Delta(kind="reasoning")) == b""


def test_a_text_that_looks_like_an_event_is_none():
    text = "a\n\ndata: [DONE]\r\n\r\nevent: error"
    for surface in (ChatCompletions(), Messages(), Responses()):
        assert surface.events(RESPONSES).piece(text).count(b"\n\ndata: [DONE]") == 0


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error"),
        (403, "permission_error", "permission_error"),
        (404, "invalid_request_error", "not_found_error"),
        (409, "invalid_request_error", "invalid_request_error"),
        (413, "invalid_request_error", "request_too_large"),
        (429, "rate_limit_error", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (502, "server_error", "api_error"),
        (503, "server_error", "overloaded_error"),
        (504, "server_error", "timeout_error"),
    ],
)
def test_kinds_of_errors(status, openai, anthropic):
    error = DoorError(status, "word", "what to do", param="n")
    assert ChatCompletions().error(error, "req_1") == {
        "error": {"message": "what to do", "type": openai, "param": "n", "code": "word"}
    }
    assert Messages().error(error, "req_1") == {
        "type": "error",
        "error": {"type": anthropic, "message": "n: what to do"},
        "request_id": "req_1",
    }


def test_a_budget_that_is_exhausted_is_a_quota():
    error = DoorError(429, "insufficient_quota", "the budget is exhausted")
    assert Responses().error(error, "req_1")["error"]["type"] == "insufficient_quota"
    assert Responses().failed(RESPONSES, error)["error"]["code"] == "rate_limit_exceeded"

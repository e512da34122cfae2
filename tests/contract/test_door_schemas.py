"""What the door answers, against the schemas that are published of the APIs."""

import json
import warnings
from functools import cache
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.door_answers import answers, asked, call, events_of, read, result_of, written

from tierstream.serve.chat_completions import ChatCompletions
from tierstream.serve.messages import Messages
from tierstream.serve.responses import Responses
from tierstream.serve.surface import DoorError
from topics.events import Delta

endings = st.sampled_from(["stop", "length", "content_filter", "other"])


@cache
def schemas(name):
    with warnings.catch_warnings():
        # It resolves references by a class that jsonschema deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        from llm_comply.schema import SpecLoader

        return SpecLoader(str(files("llm_comply") / "specs" / f"{name}.json"))


def problems(spec, name, value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return schemas(spec).validate(value, name)


@settings(max_examples=25)
@given(answers(), endings)
def test_a_chat_completion_is_one(pieces, ending):
    answer = ChatCompletions().answer(asked(), result_of(pieces, finish_reason=ending))
    assert problems("openai_chat", "CreateChatCompletionResponse", answer) == []


@settings(max_examples=25)
@given(answers(), endings)
def test_a_message_is_one(pieces, ending):
    answer = Messages().answer(asked(), result_of(pieces, finish_reason=ending))
    assert problems("anthropic", "Message", answer) == []


@settings(max_examples=25)
@given(answers())
def test_events_of_a_message_are_such(pieces):
    names = {
        "message_start": "MessageStartEvent",
        "content_block_start": "ContentBlockStartEvent",
        "content_block_delta": "ContentBlockDeltaEvent",
        "content_block_stop": "ContentBlockStopEvent",
        "message_delta": "MessageDeltaEvent",
        "message_stop": "MessageStopEvent",
    }
    for event in events_of(written(Messages().events(asked()), pieces, result_of(pieces))):
        if event["type"] != "ping":
            assert problems("anthropic", names[event["type"]], event) == []


@settings(max_examples=25)
@given(answers(), endings)
def test_a_response_is_one(pieces, ending):
    surface = Responses()
    question = read(surface, {"model": "auto", "input": "Which way?", "metadata": {"a": "b"}})
    answer = surface.answer(question, result_of(pieces, finish_reason=ending))
    assert problems("openresponses", "ResponseResource", answer) == []


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_a_response_without_an_answer_is_one(status):
    question = Responses().asked_of(asked().request, created_s=9, token="t0k")
    assert problems("openresponses", "ResponseResource", Responses().unfinished(question, status)) == []
    failed = Responses().failed(question, DoorError(502, "no_answer", "no provider answered"))
    assert problems("openresponses", "ResponseResource", failed) == []


def test_events_of_a_response_are_such():
    from llm_comply.schema import SSE_EVENT_TO_SCHEMA

    # The events of thinking have newer names in the schemas themselves than in this table of them.
    names = {kind.replace("_summary.", "_summary_text."): name for kind, name in SSE_EVENT_TO_SCHEMA.items()}
    thinking = [Delta(kind="reasoning", text="a"), Delta(kind="signature", text="b"), Delta(kind="redacted", text="c")]
    pieces = [*thinking, "d", call(0, id="x", name="f"), call(0, "{}"), "e"]
    question = read(Responses(), {"model": "auto", "input": "Which way?"})
    events = events_of(written(Responses().events(question), pieces, result_of(pieces)))
    assert {event["type"] for event in events} >= {
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.done",
        "response.completed",
    }
    for event in events:
        assert problems("openresponses", names[event["type"]], event) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 502, 503, 504])
def test_errors_are_such(status):
    error = DoorError(status, "word", "what to do", param="messages[0]")
    written_ = Messages().error(error, "req_1")
    assert problems("anthropic", "ErrorResponse", written_) == [] or status == 413  # newer than the schema
    assert problems("openai_chat", "ErrorResponse", ChatCompletions().error(error, "req_1")) == []
    assert json.dumps(Responses().error(error, "req_1")) == json.dumps(ChatCompletions().error(error, "req_1"))

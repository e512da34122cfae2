"""An answer that a client sends back as history is read as what it was: order, ids and signatures included."""

import json

from hypothesis import given
from hypothesis import strategies as st
from support.door_answers import answers, events_of, read, result_of, written

from tierstream.serve.chat_completions import ChatCompletions
from tierstream.serve.messages import Messages
from tierstream.serve.responses import Responses
from tierstream.serve.writing import in_order
from topics.messages import ToolCall

QUESTION = {"role": "user", "content": "Which way?"}


def known(items):
    """Return items with the arguments of calls as JSON values: spaces between these may differ."""
    return [
        (item.id, item.function.name, json.loads(item.function.arguments)) if isinstance(item, ToolCall) else item
        for item in items
    ]


def wire(value):
    return json.loads(json.dumps(value))


@given(answers())
def test_of_messages(pieces):
    result = result_of(pieces)
    question = read(Messages(), {"model": "auto", "max_tokens": 9, "messages": [QUESTION]})
    content = wire(Messages().answer(question, result))["content"]
    turns = [QUESTION, {"role": "assistant", "content": content}, QUESTION]
    _, said, _ = read(Messages(), {"model": "auto", "max_tokens": 9, "messages": turns}).request.messages
    assert known(said.in_order()) == known(in_order(result))


@given(answers())
def test_of_responses(pieces):
    result = result_of(pieces)
    question = read(Responses(), {"model": "auto", "input": [QUESTION]})
    output = wire(Responses().answer(question, result))["output"]
    _, said, _ = read(Responses(), {"model": "auto", "input": [QUESTION, *output, QUESTION]}).request.messages
    assert list(said.in_order()) == list(in_order(result))


@given(answers())
def test_of_responses_whose_thinking_clients_cut_down_to_what_is_sealed(pieces):
    result = result_of(pieces)
    question = read(Responses(), {"model": "auto", "input": [QUESTION]})
    output = [
        item | {"summary": []} if item.get("encrypted_content") else item
        for item in wire(Responses().answer(question, result))["output"]
    ]
    _, said, _ = read(Responses(), {"model": "auto", "input": [QUESTION, *output, QUESTION]}).request.messages
    assert list(said.in_order()) == list(in_order(result))


@given(answers())
def test_of_responses_that_are_named_by_their_id(pieces):
    surface, result = Responses(), result_of(pieces)
    earlier = read(surface, {"model": "auto", "input": [QUESTION], "instructions": "Be brief."})
    body = {"model": "auto", "input": "And now?", "instructions": "Be kind.", "previous_response_id": "resp_t0k"}
    asked = surface.continued(read(surface, body), earlier.request, result)
    system, first, said, last = asked.request.messages
    assert (system.role, system.content) == ("system", "Be kind.")
    assert (first.content, last.content) == ("Which way?", "And now?")
    assert list(said.in_order()) == list(in_order(result))
    assert asked.echo["previous_response_id"] == "resp_t0k"


@given(answers(thinking=False))
def test_of_chat_completions_but_for_the_order_of_texts_and_calls(pieces):
    result = result_of(pieces)
    question = read(ChatCompletions(), {"model": "auto", "messages": [QUESTION]})
    message = wire(ChatCompletions().answer(question, result))["choices"][0]["message"]
    _, said, _ = read(ChatCompletions(), {"model": "auto", "messages": [QUESTION, message, QUESTION]}).request.messages
    assert (said.content or "") == result.content
    assert said.calls == result.tool_calls


@given(answers(), st.sampled_from(["stop", "length", "content_filter"]))
def test_items_of_a_stream_end_as_those_of_the_whole_response(pieces, reason):
    surface, result = Responses(), result_of(pieces, finish_reason=reason)
    asked = read(surface, {"model": "auto", "input": "Which way?"})
    events = events_of(written(surface.events(asked), pieces, result))
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == (wire(surface.answer(asked, result))["output"] if pieces else [])


@given(answers())
def test_events_of_a_response_go_on_behind_any_of_them(pieces):
    surface, result = Responses(), result_of(pieces)
    asked = read(surface, {"model": "auto", "input": "Which way?"})
    whole = written(surface.events(asked), pieces, result).replace(b": alive\n\n", b"")
    events = whole.split(b"\n\n")[:-1]
    numbers = [json.loads(event.partition(b"data: ")[2])["sequence_number"] for event in events]
    assert numbers == list(range(len(events)))
    for after in (0, len(events) // 2, len(events) - 1):
        rest = written(surface.events(asked, after=after), pieces, result).replace(b": alive\n\n", b"")
        assert rest.split(b"\n\n")[:-1] == events[after + 1 :]

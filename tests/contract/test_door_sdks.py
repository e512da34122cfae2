"""What the door answers, as the vendors' own clients read it: whole and streamed, good and bad."""

import json
from contextlib import contextmanager

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from support.door_answers import (
    KnownTargets,
    answers,
    asked,
    call,
    events_of,
    read,
    result_of,
    written,
)

from tierstream.serve.chat_completions import ChatCompletions
from tierstream.serve.messages import Messages
from tierstream.serve.responses import Responses
from tierstream.serve.surface import Caller, DoorError
from topics.events import Delta

THINKING = [
    Delta(kind="reasoning", text="Hm, "),
    Delta(kind="reasoning", text="so."),
    Delta(kind="signature", text="s="),
]
PIECES = [*THINKING, "Let ", "me look.", call(0, id="call_a", name="look"), call(0, '{"city":'), call(0, '"Bern"}')]
USER = [{"role": "user", "content": "Which way?"}]


def served(surface, pieces, **fields):
    """Return a transport on which a surface answers, as the door has it answer."""

    def handle(request):
        body = json.loads(request.content)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            question = surface.read(
                body, headers, request_id="r1", caller=Caller(), targets=KnownTargets(), now_s=1_700_000_000
            )
        except DoorError as error:
            return httpx2.Response(error.status, json=surface.error(error, "req_1"))
        result = result_of(pieces, **fields)
        if not question.streams:
            return httpx2.Response(200, json=surface.answer(question, result))
        stream = written(surface.events(question), pieces, result)
        return httpx2.Response(200, content=stream, headers={"content-type": "text/event-stream"})

    return httpx2.MockTransport(handle)


@contextmanager
def openai_client(surface, pieces=PIECES, **fields):
    http = httpx2.Client(transport=served(surface, pieces, **fields))
    with openai.OpenAI(api_key="k", base_url="http://door/v1", http_client=http, max_retries=0) as client:
        yield client


@contextmanager
def anthropic_client(pieces=PIECES, **fields):
    http = httpx2.Client(transport=served(Messages(), pieces, **fields))
    with anthropic.Anthropic(api_key="k", base_url="http://door", http_client=http, max_retries=0) as client:
        yield client


@settings(max_examples=25)
@given(answers())
def test_answers_and_events_have_the_types_of_the_clients(pieces):
    result = result_of(pieces)
    ChatCompletion.model_validate(ChatCompletions().answer(asked(), result), strict=True)
    for chunk in events_of(written(ChatCompletions().events(asked()), pieces, result))[:-1]:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    Message.model_validate(Messages().answer(asked(), result), strict=True)
    adapter = TypeAdapter(RawMessageStreamEvent)
    for event in events_of(written(Messages().events(asked()), pieces, result)):
        if event["type"] != "ping":
            adapter.validate_python(event)
    question = read(Responses(), {"model": "auto", "input": "Which way?"})
    Response.model_validate(Responses().answer(question, result))
    adapter = TypeAdapter(ResponseStreamEvent)
    for event in events_of(written(Responses().events(question), pieces, result)):
        adapter.validate_python(event)


def test_a_chat_completion_arrives():
    with openai_client(ChatCompletions()) as client:
        answer = client.chat.completions.create(model="auto", messages=USER)
    message = answer.choices[0].message
    assert (answer.id, answer.model) == ("chatcmpl-", "groq/llama")
    assert (message.content, message.reasoning_content) == ("Let me look.", "Hm, so.")
    assert message.tool_calls[0].function.arguments == '{"city":"Bern"}'
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage.prompt_tokens_details.cached_tokens == 10
    assert answer.usage.completion_tokens_details.reasoning_tokens == 4
    assert answer.tierstream["cost_usd"] == "0.00012"


@settings(max_examples=25)
@given(answers())
def test_chunks_add_up_to_the_chat_completion(pieces):
    with (
        openai_client(ChatCompletions(), pieces) as client,
        client.chat.completions.stream(model="auto", messages=USER, stream_options={"include_usage": True}) as stream,
    ):
        streamed = stream.get_final_completion()
    whole = ChatCompletion.model_validate(ChatCompletions().answer(asked(), result_of(pieces)))
    message, same = streamed.choices[0].message, whole.choices[0].message
    assert message.content == (same.content or "")
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()] == [
        (c.id, c.function.name, c.function.arguments) for c in same.tool_calls or ()
    ]
    assert streamed.choices[0].finish_reason == whole.choices[0].finish_reason
    assert streamed.usage == whole.usage


def test_log_probabilities_come_with_the_end_of_a_stream():
    token = {"token": "Yes", "logprob": -0.1, "bytes": [89], "top_logprobs": []}
    with (
        openai_client(ChatCompletions(), ["Yes"], logprobs={"content": [token]}) as client,
        client.chat.completions.stream(model="auto", messages=USER, logprobs=True) as stream,
    ):
        assert stream.get_final_completion().choices[0].logprobs.content[0].token == "Yes"
    with openai_client(Responses(), ["Yes"], logprobs={"content": [token]}) as client:
        answer = client.responses.create(model="auto", input="Yes?", include=["message.output_text.logprobs"])
    assert answer.output[0].content[0].logprobs[0].token == "Yes"


def test_a_stream_has_no_usage_that_nobody_asked_for():
    with openai_client(ChatCompletions(), ["Yes"]) as client:
        chunks = list(client.chat.completions.create(model="auto", messages=USER, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert chunks[-1].tierstream["model"] == "llama"


def test_a_message_arrives():
    with anthropic_client() as client:
        answer = client.messages.create(model="auto", max_tokens=99, messages=USER)
    thinking, text, tool = answer.content
    assert (thinking.thinking, thinking.signature, text.text) == ("Hm, so.", "s=", "Let me look.")
    assert (tool.id, tool.name, tool.input) == ("call_a", "look", {"city": "Bern"})
    assert (answer.model, answer.stop_reason) == ("groq/llama", "tool_use")
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (15, 10)
    assert (answer.usage.cache_creation_input_tokens, answer.usage.output_tokens) == (5, 12)


@settings(max_examples=25)
@given(answers())
def test_events_add_up_to_the_message(pieces):
    with (
        anthropic_client(pieces) as client,
        client.messages.stream(model="auto", max_tokens=99, messages=USER) as stream,
    ):
        streamed = stream.get_final_message()
    whole = Message.model_validate(Messages().answer(asked(), result_of(pieces)))
    # An answer without anything in it is one empty text, and no block in a stream.
    blocks = [block.to_dict() for block in whole.content if block.to_dict().get("text") != ""]
    assert [block.to_dict() for block in streamed.content] == blocks
    assert (streamed.stop_reason, streamed.usage) == (whole.stop_reason, whole.usage)


def test_a_response_arrives():
    with openai_client(Responses()) as client:
        answer = client.responses.create(model="auto", input="Which way?", instructions="Be brief.")
    reasoning, message, function = answer.output
    assert reasoning.summary[0].text == "Hm, so."
    assert message.content[0].text == answer.output_text == "Let me look."
    assert (function.call_id, function.name, function.arguments) == ("call_a", "look", '{"city":"Bern"}')
    assert (answer.status, answer.model, answer.instructions) == ("completed", "groq/llama", "Be brief.")
    assert answer.usage.input_tokens_details.cached_tokens == 10


@settings(max_examples=25)
@given(answers())
def test_events_add_up_to_the_response(pieces):
    with (
        openai_client(Responses(), pieces) as client,
        client.responses.stream(model="auto", input="Which way?") as stream,
    ):
        done = [event.item.to_dict() for event in stream if event.type == "response.output_item.done"]
        streamed = stream.get_final_response()
    whole = Responses().answer(read(Responses(), {"model": "auto", "input": "Which way?"}), result_of(pieces))
    # An answer without anything in it is one empty text, and no item in a stream.
    assert done == (whole["output"] if pieces else [])
    assert streamed.output_text == result_of(pieces).content


def test_openai_clients_raise_what_the_door_says():
    with openai_client(ChatCompletions()) as client, pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="no-such", messages=USER)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    with openai_client(Responses()) as client, pytest.raises(openai.NotFoundError) as raised:
        client.responses.create(model="no-such", input="Which way?")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


def test_anthropic_clients_raise_what_the_door_says():
    with anthropic_client() as client, pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.create(model="no-such", max_tokens=9, messages=USER)
    assert raised.value.body["error"] == {"type": "not_found_error", "message": "model: no model has the name"}


def broken_off(writer):
    error = DoorError(502, "no_answer", "no provider answered", may_retry=False)
    return b"".join([writer.begin(), writer.piece("Let "), writer.fail(error)])


def streaming(content):
    def handle(_request):
        return httpx2.Response(200, content=content, headers={"content-type": "text/event-stream"})

    return httpx2.Client(transport=httpx2.MockTransport(handle))


def test_clients_hear_of_streams_that_break_off():
    http = streaming(broken_off(ChatCompletions().events(asked())))
    client = openai.OpenAI(api_key="k", base_url="http://door/v1", http_client=http)
    with pytest.raises(openai.APIError, match="no provider answered"):
        list(client.chat.completions.create(model="auto", messages=USER, stream=True))

    http = streaming(broken_off(Messages().events(asked())))
    client = anthropic.Anthropic(api_key="k", base_url="http://door", http_client=http)
    with pytest.raises(anthropic.APIStatusError, match="no provider answered"):
        list(client.messages.create(model="auto", max_tokens=9, messages=USER, stream=True))

    http = streaming(broken_off(Responses().events(read(Responses(), {"model": "auto", "input": "Which way?"}))))
    client = openai.OpenAI(api_key="k", base_url="http://door/v1", http_client=http)
    last = list(client.responses.create(model="auto", input="Which way?", stream=True))[-1]
    assert (last.type, last.response.status, last.response.error.code) == ("response.failed", "failed", "server_error")

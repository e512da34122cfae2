"""The mock provider, held against what reads its answers: the protocols, the free checks, votes and the judge."""

import json

import pytest

from streams.routing.llm.answer import read_answer
from streams.routing.llm.prompt import messages_for
from streams.validation.judge import judge_messages, read_verdict
from tierstream.bench.mock_answers import REFERENCE, MockAnswers
from tierstream.bench.mock_provider import MockConnection, MockProvider
from tierstream.bench.workload import Kind, Workload
from topics.messages import Message
from topics.requests import Request

CHAT, MESSAGES = b"/groq/openai/v1/chat/completions", b"/anthropic/v1/messages"


class Transport:
    """Keeps what is written to it."""

    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data


def request_bytes(body, path=CHAT):
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-length: %d\r\n\r\n%b" % (path, len(body), body)


def body_of(messages, **more):
    written = [{"role": message.role, "content": message.text} for message in messages]
    return json.dumps({"model": "some/model", "messages": written, **more}).encode()


def asked(text="Hello"):
    return body_of([Message(role="user", content=text)])


def answer_to(body, path=CHAT):
    head, _, answered = MockAnswers().response(path, body).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert f"Content-Length: {len(answered)}".encode() in head
    return json.loads(answered)


def text_of(body):
    return answer_to(body)["choices"][0]["message"]["content"]


def test_each_protocol_gets_its_form_and_the_model_that_was_asked():
    chat, message = answer_to(asked()), answer_to(asked(), MESSAGES)
    assert (chat["object"], chat["model"]) == ("chat.completion", "some/model")
    assert (message["type"], message["model"]) == ("message", "some/model")


def test_votes_are_what_the_classifier_asked_for():
    votes = read_answer(text_of(body_of(messages_for(["one", "two"], 3))), 2, 3)
    assert votes == [(0.9, 0.1, 0.0)] * 2


def test_a_judge_passes_the_answer():
    request = Request(request_id="r", messages=(Message(role="user", content="Why?"),))
    assert read_verdict(text_of(body_of(judge_messages(request, "Because.")))).verdict == "pass"


def test_an_answer_by_a_schema_fits_it():
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}
    body = body_of([Message(role="user", content="Read it.")], response_format=wanted)
    assert json.loads(text_of(body)).keys() == {"total"}


@pytest.mark.parametrize("cut", [1, 30, 90])
async def test_a_call_is_answered_once_it_is_whole(cut):
    connection, transport = MockConnection(MockProvider()), Transport()
    connection._transport = transport
    whole = request_bytes(asked())
    connection.data_received(whole[:cut])
    assert not transport.written
    connection.data_received(whole[cut:])
    assert transport.written.count(b"HTTP/1.1") == 1


async def test_calls_are_counted_by_the_request_that_they_are_for():
    connection, transport = MockConnection(MockProvider(counts=True)), Transport()
    connection._transport = transport
    workload = Workload(Kind.TIER1, 3)
    for number in (0, 1, 1):
        connection.data_received(request_bytes(workload.chat_body(number)))
    transport.written = b""
    connection.data_received(b"GET /calls HTTP/1.1\r\n\r\n")
    counted = json.loads(transport.written.partition(b"\r\n\r\n")[2])
    assert counted == {"calls": 3, "by_request": {f"{workload.run}-00000000": 1, f"{workload.run}-00000001": 2}}


@pytest.mark.parametrize("kind", Kind)
def test_requests_of_a_workload_are_valid_and_each_tells_its_number(kind):
    workload = Workload(kind, 6)
    for number in (0, 1, 499, 500):
        outgoing = workload.outgoing(number)
        request = Request.model_validate_json(outgoing.value)
        assert workload.number(outgoing.key) == number
        assert request.request_id == outgoing.key.decode()
        assert REFERENCE.search(request.question.encode())[0] == outgoing.key
    assert workload.number(Workload(kind, 6).outgoing(0).key) is None

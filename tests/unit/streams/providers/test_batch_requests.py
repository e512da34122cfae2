"""What is sent for a batch and how answers of every kind are taken, against a server that answers as it is told."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import pytest
from aiohttp import web
from support.provider_calls import Listener, at_once, call_of, served
from support.tool_loop import LOOP, image, said, text, tool

from streams.config.protocols import PROTOCOLS
from streams.providers import sdk_batches
from streams.providers.base import ChatCall, ErrorKind, ProviderError
from streams.providers.batches import BatchProgress, LineEnd, ProviderBatches, UndecidedError, may_have_arrived
from streams.providers.registry import speaker_of
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Connection
from topics.messages import Message
from topics.requests import Params

BATCHED = [name for name, protocol in PROTOCOLS.items() if protocol.has_batches]
IN_FILES = {"openai": "", "groq": "/openai/v1"}
"""The paths that their APIs begin with."""
BATCHES = {"openai": "/batches", "groq": "/openai/v1/batches", "anthropic": "/v1/messages/batches"}
NOW = datetime(2026, 11, 27, 6, tzinfo=UTC)
LINES = [b'{"custom_id":"1"}', b'{"custom_id":"2"}']
MADE = {"id": "batch_1"}
CUT = object()
"""In the place of an answer: the connection is closed."""

each = pytest.mark.parametrize("protocol", BATCHED)
each_in_files = pytest.mark.parametrize("protocol", IN_FILES)
in_anthropics = pytest.mark.parametrize("protocol", ["anthropic"])


@dataclass
class Sent:
    what: str
    query: dict[str, str]
    content_type: str
    body: bytes


@dataclass
class Vendor:
    """Gives its answers in turn, to whatever is asked: objects, bytes, statuses with an object, or `CUT`."""

    url: str = ""
    answers: deque[Any] = field(default_factory=deque)
    sent: list[Sent] = field(default_factory=list)

    def will_answer(self, *answers: Any) -> None:
        self.answers.extend(answers)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        what = f"{request.method} {request.path}"
        self.sent.append(Sent(what, dict(request.query), request.headers.get("Content-Type", ""), await request.read()))
        answer = self.answers.popleft()
        status, answer = answer if isinstance(answer, tuple) else (200, answer)
        if answer is CUT:
            request.transport.abort()
        elif isinstance(answer, list):
            return await streamed(request, answer)
        return web.json_response(answer, status=status, headers={"retry-after-ms": "1"})


async def streamed(request: web.Request, parts: list[Any]) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for part in parts:
        if part is CUT:
            request.transport.abort()
        else:
            await response.write(part)
    return response


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    made = Vendor()
    async with served(made.answer) as made.url:
        yield made
    assert not made.answers


@pytest.fixture
async def speaker(protocol, vendor) -> AsyncIterator[SdkProvider]:
    made = speaker_of(protocol)(Connection("p", "sk-key", vendor.url, use_proxy=False))
    yield made
    await made.close()


@pytest.fixture
def batches(speaker) -> ProviderBatches:
    assert speaker.batches is not None
    return speaker.batches


async def failure(asking) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await asking
    assert "SECRET" not in str(caught.value)
    return caught.value


def listed(batch_id: str, *, at: datetime = NOW, **fields: Any) -> dict[str, Any]:
    """A batch of any vendor."""
    counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0, "completed": 0, "failed": 0}
    return {
        "id": batch_id,
        "created_at": int(at.timestamp()),
        "status": "completed",
        "processing_status": "ended",
        "input_file_id": "file_1",
        "request_counts": counts | fields.pop("counts", {}),
        **fields,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_has_batches_speaks_them(protocol):
    speaker = speaker_of(protocol)(Connection("p", "key", "http://127.0.0.1:1", use_proxy=False))
    assert (speaker.batches is not None) == PROTOCOLS[protocol].has_batches


@each
@pytest.mark.parametrize(
    "call",
    [
        call_of("gpt-4o", messages=(Message(role="user", content='Grüße, "手机" \u2028\r\n😀'),)),
        call_of("gpt-4o", max_tokens=7, response_schema={"type": "object"}, params=Params(temperature=1e-7)),
        call_of("gpt-4o", messages=(*LOOP, said("user", [text("and this?"), image()])), asked={"tools": (tool(),)}),
        call_of("gpt-4o", extra={"temperature": 0.3, "output_config": {"a": 1}, "thinking": {"type": "enabled"}}),
    ],
)
async def test_a_line_has_the_body_that_a_call_is_made_with(protocol, vendor, speaker, batches, call: ChatCall):
    vendor.will_answer((400, {}))
    await failure(speaker.complete(call))
    [sent] = vendor.sent
    line = await batches.write_line("id-1", call)
    streamed_line = await batches.write_line("id-1", replace(call, on_piece=Listener()))
    assert line == streamed_line
    assert b"\n" not in line
    body = json.loads(sent.body)
    assert json.loads(line) == (
        {"custom_id": "id-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
        if protocol in IN_FILES
        else {"custom_id": "id-1", "params": body}
    )


@each
@pytest.mark.parametrize("asked", [{"params": Params(service_tier="auto")}, {"extra": {"service_tier": "auto"}}])
async def test_a_batch_is_a_service_tier_of_its_own(speaker, batches, asked):
    call = call_of("gpt-4o", **asked)
    plain = call_of("gpt-4o", params=asked.get("params", call.prompt.params).model_copy(update={"service_tier": None}))
    assert await batches.write_line("1", call) == await batches.write_line("1", plain)


@each_in_files
async def test_lines_are_uploaded_and_named(protocol, vendor, batches):
    vendor.will_answer({"id": "file_1"}, MADE)
    assert await batches.submit("name-1", LINES, at_once) == "batch_1"
    upload, creation = vendor.sent
    assert upload.what == f"POST {IN_FILES[protocol]}/files"
    form = message_from_bytes(b"Content-Type: " + upload.content_type.encode() + b"\r\n\r\n" + upload.body)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
    assert parts["purpose"].get_payload(decode=True) == b"batch"
    assert parts["file"].get_filename() == "name-1.jsonl"
    assert parts["file"].get_payload(decode=True).split(b"\n") == LINES
    assert creation.what == f"POST {BATCHES[protocol]}"
    assert json.loads(creation.body) == {
        "input_file_id": "file_1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"tierstream": "name-1"},
    }


@in_anthropics
async def test_all_is_in_one_request(vendor, batches):
    vendor.will_answer(MADE)
    assert await batches.submit("name-1", LINES, at_once) == "batch_1"
    [sent] = vendor.sent
    assert (sent.what, sent.content_type) == ("POST /v1/messages/batches", "application/json")
    assert json.loads(sent.body) == {"requests": [{"custom_id": "1"}, {"custom_id": "2"}]}


@each_in_files
@pytest.mark.parametrize("answer", [(500, {}), (429, {}), CUT, {"SECRET": "no id"}])
async def test_without_its_lines_there_is_no_batch(vendor, batches, answer):
    vendor.will_answer(answer)
    error = await failure(batches.submit("name-1", LINES, at_once))
    assert not may_have_arrived(error)
    assert len(vendor.sent) == 1
    if error.status is not None:
        assert error.retry_after_ms == 1


@each
@pytest.mark.parametrize(
    ("answer", "kind", "may_be_there"),
    [
        ((500, {}), ErrorKind.SERVER_ERROR, True),
        (CUT, ErrorKind.CUT, True),
        ({"SECRET": "no id"}, ErrorKind.MALFORMED, True),
        ((400, {"error": {"message": "SECRET"}}), ErrorKind.BAD_REQUEST, False),
        ((429, {}), ErrorKind.RATE_LIMITED, False),
    ],
)
async def test_a_submission_is_never_repeated(protocol, vendor, batches, answer, kind, may_be_there):
    uploads = [{"id": "file_1"}] if protocol in IN_FILES else []
    vendor.will_answer(*uploads, answer)
    error = await failure(batches.submit("name-1", LINES, at_once))
    assert (error.kind, may_have_arrived(error)) == (kind, may_be_there)
    assert len(vendor.sent) == len(uploads) + 1


@each
async def test_nobody_listens(protocol):
    speaker = speaker_of(protocol)(Connection("p", "sk-key", "http://127.0.0.1:1", use_proxy=False))
    error = await failure(speaker.batches.submit("name-1", LINES, at_once))
    await speaker.close()
    assert (error.kind, may_have_arrived(error)) == (ErrorKind.CONNECTION, False)


@each
async def test_a_request_has_its_time(protocol, monkeypatch):
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError(request)

    monkeypatch.setattr(sdk_batches, "_TIME_S", 0.05)
    async with served(hang) as url:
        speaker = speaker_of(protocol)(Connection("p", "sk-key", url, use_proxy=False))
        error = await failure(speaker.batches.submit("name-1", LINES, at_once))
        assert (error.kind, may_have_arrived(error)) == (ErrorKind.TIMEOUT, protocol not in IN_FILES)
        assert (await failure(speaker.batches.progress("batch_1"))).kind is ErrorKind.TIMEOUT
        await speaker.close()


@each
async def test_reading_is_repeated(vendor, batches):
    vendor.will_answer((500, {}), CUT, listed("batch_1"))
    assert (await batches.progress("batch_1")).has_ended
    assert len(vendor.sent) == 3


@each
async def test_connections_are_opened_anew(vendor, speaker, batches):
    for _ in range(2):
        vendor.will_answer(listed("batch_1"))
        assert (await batches.progress("batch_1")).has_ended
        await speaker.close()


@each
async def test_a_list_is_followed_as_far_as_the_batch_can_be(protocol, vendor, batches):
    other = {"metadata": {"tierstream": "another"}, "counts": {"succeeded": 9}}
    last = NOW - timedelta(minutes=9)
    vendor.will_answer(
        {"data": [listed("b1", **other), listed("b2", **other)], "has_more": True},
        {"data": [listed("b3", at=last, **other)], "has_more": True},
        {"data": [listed("b4", at=NOW - timedelta(minutes=11), **other)], "has_more": True},
    )
    assert await batches.find("name-1", ["1"], NOW) is None
    cursor = {"anthropic": "after_id"}.get(protocol, "after")
    assert {sent.what for sent in vendor.sent} == {f"GET {BATCHES[protocol]}"}
    assert [sent.query for sent in vendor.sent] == [
        {"limit": "100"},
        {"limit": "100", cursor: "b2"},
        {"limit": "100", cursor: "b3"},
    ]


@each_in_files
async def test_a_batch_is_told_by_its_metadata(vendor, batches):
    vendor.will_answer(
        {
            "data": [
                listed("b1", metadata={"tierstream": "another"}),
                listed("b2", metadata={"SECRET": "name-1"}),
                listed("b3", metadata={"tierstream": "name-1"}, status="failed"),
            ]
        }
    )
    assert await batches.find("name-1", ["1"], NOW) == "b3"


@each_in_files
async def test_without_metadata_the_name_of_its_file_tells(protocol, vendor, batches):
    vendor.will_answer(
        {"data": [listed("b1", metadata=None), listed("b2", metadata=None, input_file_id="file_2")]},
        {"id": "file_1", "filename": "mine.jsonl"},
        {"id": "file_2", "filename": "name-1.jsonl"},
    )
    assert await batches.find("name-1", ["1"], NOW) == "b2"
    assert [sent.what for sent in vendor.sent[1:]] == [
        f"GET {IN_FILES[protocol]}/files/{file_id}" for file_id in ("file_1", "file_2")
    ]


def ended_with(custom_id: str) -> list[bytes]:
    return [json.dumps({"custom_id": custom_id, "result": {"type": "expired"}}).encode() + b"\n"]


def with_results(vendor: Vendor, batch_id: str) -> dict[str, Any]:
    return listed(batch_id, results_url=f"{vendor.url}/v1/messages/batches/{batch_id}/results")


@in_anthropics
async def test_a_batch_is_told_by_the_calls_in_its_results(vendor, batches):
    two = {"counts": {"succeeded": 1, "expired": 1}}
    vendor.will_answer(
        {"data": [listed("b1", counts={"succeeded": 3}), listed("b2", **two), listed("b3", counts={"errored": 1})]},
        with_results(vendor, "b2"),
        ended_with("8"),
        with_results(vendor, "b3"),
        ended_with("2"),
    )
    assert await batches.find("name-1", ["1", "2"], NOW) == "b3"


@in_anthropics
async def test_an_open_batch_may_be_the_one(vendor, batches):
    is_open = {"processing_status": "in_progress", "counts": {"processing": 2}}
    vendor.will_answer(
        {"data": [listed("b1", **is_open), listed("b2", counts={"succeeded": 2})]},
        with_results(vendor, "b2"),
        ended_with("8"),
    )
    with pytest.raises(UndecidedError):
        await batches.find("name-1", ["1", "2"], NOW)
    vendor.will_answer({"data": [listed("b1", **is_open)]})
    assert await batches.find("name-1", ["1"], NOW) is None


@each_in_files
@pytest.mark.parametrize(
    ("fields", "progress"),
    [
        ({"status": "validating", "request_counts": None}, BatchProgress(has_ended=False)),
        ({"status": "in_progress", "counts": {"completed": 2, "failed": 1}}, BatchProgress(has_ended=False)),
        ({"status": "finalizing"}, BatchProgress(has_ended=False)),
        ({"status": "cancelling"}, BatchProgress(has_ended=False)),
        ({"status": "unheard of"}, BatchProgress(has_ended=False)),
        ({"status": "cancelled", "counts": {"completed": 2}}, BatchProgress(has_ended=True)),
        ({"status": "expired"}, BatchProgress(has_ended=True)),
        ({"status": "failed", "errors": None}, BatchProgress(has_ended=True, refusal="no reason given")),
        (
            {
                "status": "failed",
                "errors": {"data": [{"code": "mismatched_model", "message": "SECRET", "line": 2}, {"code": "SECRET"}]},
            },
            BatchProgress(has_ended=True, refusal="mismatched_model"),
        ),
    ],
)
async def test_how_far_a_batch_of_lines_in_a_file_is(protocol, vendor, batches, fields, progress):
    vendor.will_answer(listed("batch_1", **fields))
    assert await batches.progress("batch_1") == progress
    assert vendor.sent[0].what == f"GET {BATCHES[protocol]}/batch_1"


@in_anthropics
@pytest.mark.parametrize(
    ("fields", "progress"),
    [
        ({"processing_status": "in_progress", "counts": {"processing": 3}}, BatchProgress(has_ended=False)),
        ({"processing_status": "canceling", "counts": {"processing": 3}}, BatchProgress(has_ended=False)),
        ({"counts": {"succeeded": 1, "errored": 2, "canceled": 3, "expired": 4}}, BatchProgress(has_ended=True)),
    ],
)
async def test_how_far_a_batch_of_messages_is(vendor, batches, fields, progress):
    vendor.will_answer(listed("batch_1", **fields))
    assert await batches.progress("batch_1") == progress


@each
@pytest.mark.parametrize("answer", [listed("batch_1"), (400, {}), (409, {})])
async def test_what_has_ended_need_not_be_called_off(protocol, vendor, batches, answer):
    vendor.will_answer(answer)
    await batches.cancel("batch_1")
    assert [sent.what for sent in vendor.sent] == [f"POST {BATCHES[protocol]}/batch_1/cancel"]


@each
@pytest.mark.parametrize("status", [401, 404, 500])
async def test_what_can_not_be_called_off(vendor, batches, status):
    vendor.will_answer((status, {}))
    assert (await failure(batches.cancel("batch_1"))).status == status


def answered(protocol: str, custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """The line of an answer."""
    if protocol in IN_FILES:
        return {"id": "r", "custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}
    return {"custom_id": custom_id, "result": {"type": "succeeded", "message": body}}


def will_have_results(protocol: str, vendor: Vendor, *files: list[Any]) -> None:
    """Have a batch have these files; of messages there is one."""
    if protocol in IN_FILES:
        ids = zip(("output_file_id", "error_file_id"), ("file_o", "file_e")[: len(files)], strict=False)
        vendor.will_answer(listed("batch_1", **dict(ids)), *files)
    else:
        vendor.will_answer(with_results(vendor, "batch_1"), *files)


async def ends_of(batches: ProviderBatches) -> list[LineEnd]:
    async with aclosing(batches.line_ends("batch_1")) as ends:
        return [end async for end in ends]


@each
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_lines_may_come_in_any_pieces(protocol, vendor, batches, size):
    bodies = {"1": {"text": "\u2028 Grüße \x85"}, "2": {"n": 1.5}, "3": {}}
    lines = [answered(protocol, *one) for one in bodies.items()]
    content = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()
    will_have_results(protocol, vendor, [content[i : i + size] for i in range(0, len(content), size)])
    assert {end.custom_id: json.loads(end.body) for end in await ends_of(batches)} == bodies


@each
async def test_lines_out_of_form(protocol, vendor, batches, caplog):
    lines = [
        b"SECRET",
        b"[" * 100_000,
        b'"SECRET"',
        b'{"custom_id": 1}',
        b'{"custom_id": "SECRET", "response": {"status_code": 200, "body": 1}, "result": {"type": "succeeded"}}',
        b'{"custom_id": "SECRET", "response": null, "result": {"type": "unheard of"}}',
        b"\xff",
        b"",
        json.dumps(answered(protocol, "1", {})).encode(),
    ]
    will_have_results(protocol, vendor, [b"\n".join(lines) + b"\n"])
    assert [end.custom_id for end in await ends_of(batches)] == ["1"]
    assert "p: 7 lines of a batch's results" in caplog.text
    assert "SECRET" not in caplog.text


@each
async def test_results_that_break_off(protocol, vendor, batches):
    line = json.dumps(answered(protocol, "1", {})).encode() + b"\n"
    will_have_results(protocol, vendor, [line, line[:9], CUT])
    assert (await failure(ends_of(batches))).kind is ErrorKind.CUT


@each
async def test_results_that_are_gone(protocol, vendor, batches):
    will_have_results(protocol, vendor, (404, {"error": {"message": "SECRET"}}))
    assert (await failure(ends_of(batches))).status == 404


FAILED_IN_FILES = [
    ({"response": {"status_code": 400, "body": {"error": {"code": "context_length_exceeded"}}}}, "context_too_long"),
    ({"response": {"status_code": 429, "body": {"error": {"message": "SECRET"}}}}, "rate_limited"),
    ({"response": {"status_code": 500, "body": "SECRET"}, "error": None}, "server_error"),
    ({"response": None, "error": {"code": "batch_expired", "message": "SECRET"}}, "batch_ended"),
    ({"response": None, "error": {"code": "batch_cancelled", "message": "SECRET"}}, "batch_ended"),
    ({"response": None, "error": {"code": "SECRET words"}}, "server_error"),
]
FAILED_MESSAGES = [
    ({"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request_error"}}}, "bad_request"),
    ({"type": "errored", "error": {"type": "error", "error": {"type": "overloaded_error"}}}, "overloaded"),
    ({"type": "errored", "error": {"type": "error", "error": {"type": "SECRET"}}}, "server_error"),
    ({"type": "canceled"}, "batch_ended"),
    ({"type": "expired"}, "batch_ended"),
]


@pytest.mark.parametrize(
    ("protocol", "fields", "kind"),
    [
        *[(protocol, fields, kind) for protocol in IN_FILES for fields, kind in FAILED_IN_FILES],
        *[("anthropic", {"result": result}, kind) for result, kind in FAILED_MESSAGES],
    ],
)
async def test_calls_without_an_answer(protocol, vendor, batches, fields, kind):
    will_have_results(protocol, vendor, [json.dumps({"custom_id": "1", **fields}).encode()])
    [end] = await ends_of(batches)
    assert (end.custom_id, end.body, end.error.kind.value, end.error.usage) == ("1", None, kind, None)
    assert "SECRET" not in str(end.error)


@each_in_files
async def test_answers_and_errors_are_in_two_files(protocol, vendor, batches):
    good, bad = answered(protocol, "1", {}), {"custom_id": "2", "response": None, "error": {"code": "batch_expired"}}
    will_have_results(protocol, vendor, [json.dumps(good).encode()], [json.dumps(bad).encode()])
    assert [end.custom_id for end in await ends_of(batches)] == ["1", "2"]
    assert [sent.what for sent in vendor.sent[1:]] == [
        f"GET {IN_FILES[protocol]}/files/{file_id}/content" for file_id in ("file_o", "file_e")
    ]


@each
async def test_a_body_out_of_form(batches):
    with pytest.raises(ProviderError) as caught:
        batches.read(call_of("m"), b'{"SECRET": 1}')
    assert (caught.value.kind, caught.value.usage) == (ErrorKind.MALFORMED, None)
    assert "SECRET" not in str(caught.value)

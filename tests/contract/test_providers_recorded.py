"""What the vendors document that they send, byte for byte, through the real SDKs: answers, streams and errors."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from aiohttp import web
from support.provider_calls import Handler, Listener, answering, call_of, settings_with_all
from support.shipped_providers import NAMES, SHIPPED

from streams.config.settings import Settings
from streams.providers.base import ChatReply, ErrorKind, ProviderError, ProviderLimits
from streams.providers.registry import speaker_of
from topics.answer_assembly import Piece
from topics.journal import Usage

BODIES = Path(__file__).parent / "recorded"
ERRORS = [json.loads(line) for line in (BODIES / "errors.jsonl").read_text(encoding="utf-8").splitlines()]
OPENAI_LIMITS = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-remaining-tokens": "159976",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-reset-tokens": "6m0s",
}


@dataclass(frozen=True)
class Recorded:
    """What a vendor sends for the same answer, as a whole and streamed, and how it fails in between."""

    name: str
    usage: Usage
    last_event: bytes
    """From here on nothing is missing of the answer itself."""
    in_stream_error: bytes
    in_stream_kind: ErrorKind
    known_input: int | None = None
    """What a stream that breaks off has told of the input by then."""
    thought: str = ""
    """What it tells of the model's thoughts, which are billed like the answer."""

    text: ClassVar = "Hello, world"

    @property
    def whole(self) -> bytes:
        return (BODIES / f"{self.name}.json").read_bytes()

    @property
    def stream(self) -> bytes:
        return (BODIES / f"{self.name}.sse").read_bytes()

    def until(self, mark: bytes) -> bytes:
        return self.stream[: self.stream.index(mark)]


DONE = b"data: [DONE]"
RECORDED = {
    recorded.name: recorded
    for recorded in (
        Recorded(
            "openai",
            Usage(input=1117, output=46, cached=1024, cache_written=60, reasoning=12),
            DONE,
            b'data: {"error":{"message":"SECRET","type":"server_error","param":null,"code":null}}\n\n',
            ErrorKind.SERVER_ERROR,
        ),
        Recorded(
            "groq",
            Usage(input=1117, output=46, cached=1024, reasoning=12),
            DONE,
            b'data: {"id":"chatcmpl-1","choices":[],"x_groq":{"id":"req_1","error":"over_capacity"}}\n\n',
            ErrorKind.SERVER_ERROR,
            thought="Greet.",
        ),
        Recorded(
            "together",
            Usage(input=1117, output=46),
            DONE,
            b'event: error\ndata: {"error":{"message":"SECRET","code":503}}\n\n',
            ErrorKind.OVERLOADED,
        ),
        Recorded(
            "anthropic",
            Usage(input=1117, output=46, cached=1024, cache_written=60, reasoning=12),
            b"event: message_stop",
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
            ErrorKind.OVERLOADED,
            known_input=1117,
            thought="Greet.",
        ),
    )
}

each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return settings_with_all()


@each
def test_what_the_vendor_documents_is_recorded(name):
    assert name in RECORDED, f"tests/contract/test_providers_recorded.py: RECORDED has no answers of {name}"
    missing = [suffix for suffix in (".json", ".sse") if not (BODIES / f"{name}{suffix}").exists()]
    assert not missing, f"tests/contract/recorded: there is no {name}{' or '.join(missing)}"
    assert name in {error["provider"] for error in ERRORS}, f"tests/contract/recorded/errors.jsonl: none of {name}"


def sse(*parts: bytes, headers: dict[str, str] | None = None, hold: asyncio.Event | None = None, cut: bool = False):
    """A handler that sends the parts one by one, and then ends, breaks off or, until told otherwise, waits."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**(headers or {}), "Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        if hold is not None:
            await hold.wait()
        if cut:
            request.transport.close()
        return response

    return handle


async def follow(settings: Settings, name: str, handler: Handler, **fields):
    """The reply or the error of a streamed call, and the texts that arrived."""
    listener = Listener()
    async with answering(settings, handler) as providers:
        try:
            outcome: ChatReply | ProviderError = await providers[name].complete(
                call_of("m", **{"on_piece": listener, **fields})
            )
        except ProviderError as error:
            outcome = error
    assert "SECRET" not in str(outcome)
    return outcome, [piece for piece in listener.pieces if isinstance(piece, str)]


@each
async def test_whole_answer(settings, name):
    recorded = RECORDED[name]

    async def handle(request: web.Request) -> web.Response:
        assert "stream" not in await request.json()
        return web.Response(body=recorded.whole, content_type="application/json", headers=OPENAI_LIMITS)

    async with answering(settings, handle) as providers:
        reply = await providers[name].complete(call_of("m"))
    assert (reply.content, reply.finish_reason, reply.first_token_ms) == (Recorded.text, "stop", None)
    assert reply.usage == recorded.usage
    assert reply.limits == ProviderLimits(4999, 159976, 0.012, 360.0)


@each
async def test_stream(settings, name):
    recorded = RECORDED[name]
    seen = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(await request.json())
        return await sse(recorded.stream, headers=OPENAI_LIMITS)(request)

    reply, pieces = await follow(settings, name, handle)
    assert pieces == ["Hello", ", world"]
    assert (reply.content, reply.finish_reason, reply.usage) == (Recorded.text, "stop", recorded.usage)
    assert reply.first_token_ms >= 0
    assert reply.limits.remaining_requests == 4999
    assert seen[0]["stream"] is True
    asked_for = speaker_of(SHIPPED[name]["protocol"]).stream_fields
    assert {field: seen[0].get(field) for field in ("stream_options", *asked_for)} == {
        "stream_options": None
    } | asked_for


@each
async def test_stream_in_single_bytes_and_other_line_ends(settings, name):
    stream = RECORDED[name].stream.replace(b"world", "wörld 🌍".encode()).replace(b"\n", b"\r\n")
    reply, pieces = await follow(settings, name, sse(*(stream[i : i + 1] for i in range(len(stream)))))
    assert (reply.content, pieces) == ("Hello, wörld 🌍", ["Hello", ", wörld 🌍"])


@each
@pytest.mark.parametrize("cut", [False, True])
async def test_stream_that_breaks_off_may_be_billed(settings, name, cut):
    recorded = RECORDED[name]
    error, pieces = await follow(settings, name, sse(recorded.until(b", world"), cut=cut, headers=OPENAI_LIMITS))
    assert pieces == ["Hello"]
    assert error.kind is ErrorKind.CUT
    assert error.limits.remaining_requests == 4999
    expected = recorded.known_input or 2 * 4 + len("Be brief.") // 4 + 1 + 8
    written = -(-len(recorded.thought + "Hello") // 4)
    assert (error.usage.source, error.usage.input, error.usage.output) == ("estimated", expected, written)


@each
@pytest.mark.parametrize("cut", [False, True])
async def test_whole_answer_without_its_last_event_is_an_answer(settings, name, cut):
    recorded = RECORDED[name]
    reply, _ = await follow(settings, name, sse(recorded.until(recorded.last_event), cut=cut))
    assert (reply.content, reply.finish_reason, reply.usage) == (Recorded.text, "stop", recorded.usage)


@each
async def test_stream_that_stays_open_after_its_last_event(settings, name):
    reply, _ = await follow(settings, name, sse(RECORDED[name].stream, hold=asyncio.Event()))
    assert reply.content == Recorded.text


@each
async def test_stream_that_stops_moving(settings, name):
    handler = sse(RECORDED[name].until(b", world"), hold=asyncio.Event())
    error, pieces = await follow(settings, name, handler, timeout_s=0.3)
    assert (error.kind, error.usage.source, pieces) == (ErrorKind.TIMEOUT, "estimated", ["Hello"])


@each
@pytest.mark.parametrize("begun", [False, True])
async def test_error_in_the_stream(settings, name, begun):
    recorded = RECORDED[name]
    before = recorded.until(b", world") if begun else b""
    # The piece that was about to come is cut off at the end of its event.
    before = before[: before.rfind(b"\n\n") + 2] if begun else before
    error, _ = await follow(settings, name, sse(before, recorded.in_stream_error))
    assert (error.kind, error.status) == (recorded.in_stream_kind, None)
    assert (error.usage is not None) == begun


@each
@pytest.mark.parametrize(
    "event", [b"data: {\n\n", b"data: SECRET\n\n", b'data: {"type": 1, "choices": 1}\n\n', b"data: \xff\n\n"]
)
async def test_event_out_of_form(settings, name, event):
    error, _ = await follow(settings, name, sse(event))
    assert error.kind is ErrorKind.MALFORMED


@each
async def test_server_that_does_not_stream(settings, name):
    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=RECORDED[name].whole, content_type="application/json")

    reply, pieces = await follow(settings, name, handle)
    assert (reply.content, pieces, reply.usage.output) == (Recorded.text, [Recorded.text], 46)


@each
async def test_connection_is_used_again_after_a_stream(settings, name):
    peers = []

    async def handle(request: web.Request) -> web.StreamResponse:
        peers.append(request.transport.get_extra_info("peername"))
        return await sse(RECORDED[name].stream)(request)

    async with answering(settings, handle) as providers:
        for _ in range(3):
            await providers[name].complete(call_of("m", on_piece=Listener()))
    assert len(set(peers)) == 1


class ListenerError(Exception):
    pass


@each
@pytest.mark.parametrize("raised", [ListenerError, TimeoutError, ValueError])
async def test_what_the_listener_raises_ends_the_call(settings, name, raised):
    gone = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(RECORDED[name].until(b", world"))
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return response

    async def listen(piece: Piece) -> None:
        raise raised(piece)

    async with answering(settings, handle) as providers:
        with pytest.raises(raised, match=RECORDED[name].thought or "Hello"):
            await providers[name].complete(call_of("m", on_piece=listen))
        await gone.wait()


@pytest.mark.parametrize("streamed", [False, True])
async def test_errors(settings, streamed):
    errors = iter(ERRORS)

    async def handle(request: web.Request) -> web.Response:
        error = next(errors)
        headers = {**OPENAI_LIMITS, "retry-after": "20"}
        return web.json_response(error["body"], status=error["status"], headers=headers)

    async with answering(settings, handle) as providers:
        for sent in ERRORS:
            with pytest.raises(ProviderError) as caught:
                await providers[sent["provider"]].complete(call_of("m", on_piece=Listener() if streamed else None))
            error = caught.value
            assert (error.kind, error.status) == (sent["kind"], sent["status"]), sent["body"]
            assert (error.retry_after_ms, error.limits.remaining_requests, error.usage) == (20_000, 4999, None)
            assert "SECRET" not in str(error)

"""What we send is, byte for byte, what the vendor's SDK sends: goes red with an SDK that signs or writes otherwise."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from uuid import uuid4

import pytest
from aiohttp import web
from support.provider_calls import Listener, call_of, served
from support.tool_loop import LOOP, image, said, text, tool

from streams.config.protocols import PROTOCOLS
from streams.providers.base import ErrorKind, ProviderError
from streams.providers.registry import speaker_of
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import CALL_ID_HEADER, Connection
from topics.messages import Message
from topics.requests import Params

SEPARATOR = b"\r\n\r\n"
REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nset-cookie: a=b\r\ncontent-length: 2" + SEPARATOR + b"{}"

each = pytest.mark.parametrize("protocol", PROTOCOLS)


@dataclass
class Wire:
    """A server that keeps what it is sent, as it came."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(SEPARATOR)
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                self.requests.append(head + await reader.readexactly(int(length)))
                writer.write(REFUSAL)
        except asyncio.IncompleteReadError:
            writer.close()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    # A name and not a number, for which clients keep no cookies.
    made.url = f"http://localhost:{server.sockets[0].getsockname()[1]}/root"
    async with server:
        yield made


@pytest.fixture
async def speaker(protocol, wire, monkeypatch) -> AsyncIterator[SdkProvider]:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "from-the-environment")
    made = speaker_of(protocol)(Connection("p", "sk-key", wire.url, use_proxy=False))
    yield made
    await made.close()


async def sent_by_the_sdk(speaker: SdkProvider, url: str, calls, *, stream: bool) -> None:
    sdk = speaker.load_sdk()
    client = sdk.client_type(
        api_key="sk-key", base_url=url, max_retries=0, http_client=sdk.http_client_type(trust_env=False)
    )
    for call in calls:
        body = {**speaker.request_body(call), **(speaker.stream_fields if stream else {})}
        options = {"timeout": call.timeout_s, "headers": {CALL_ID_HEADER: str(call.call_id)}}
        with pytest.raises(Exception, match="500"):
            await client.post(
                speaker.path,
                cast_to=sdk.http.Response,
                body={**body, "stream": True} if stream else body,
                options=options,
                stream=stream,
            )
    await client.close()


@each
@pytest.mark.parametrize("stream", [False, True])
async def test_our_requests_are_those_of_the_sdk(protocol, speaker, wire, stream):
    asked = (Message(role="user", content='Grüße, "手机" \u2028\n😀'),)
    calls = [
        call_of("gpt-4o", call_id=uuid4(), timeout_s=20, messages=asked, params=Params(temperature=1e-7)),
        call_of("gpt-4o", call_id=uuid4(), timeout_s=0.30000000000000004, max_tokens=7),
        call_of("gpt-4o", call_id=uuid4(), timeout_s=1 / 3e6 + 1000, response_schema={"type": "object"}),
        call_of("gpt-4o", messages=(*LOOP, said("user", [text("and this?"), image()])), asked={"tools": (tool(),)}),
    ]
    for call in calls:
        with pytest.raises(ProviderError) as caught:
            await speaker.complete(replace(call, on_piece=Listener() if stream else None))
        assert caught.value.kind is ErrorKind.SERVER_ERROR
    ours, wire.requests = wire.requests, []
    await sent_by_the_sdk(speaker, wire.url, calls, stream=stream)
    assert [without_cookies(request) for request in ours] == [without_cookies(request) for request in wire.requests]
    # The SDK's HTTP client and aiohttp both keep cookies, so that a second copy may come along.
    assert [b"a=b" in request for request in ours] == [False, True, True, True]
    assert [b"a=b" in request for request in wire.requests] == [False, True, True, True]


def without_cookies(request: bytes) -> bytes:
    head, body = request.split(SEPARATOR, 1)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"cookie:")]
    return b"\r\n".join(lines) + SEPARATOR + body


@each
async def test_the_vendor_is_reached_whatever_the_environment_says(protocol, monkeypatch):
    for name in ("OPENAI_BASE_URL", "GROQ_BASE_URL", "ANTHROPIC_BASE_URL", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    speaker = speaker_of(protocol)(Connection("p", "sk-key", None, use_proxy=True))
    template = await speaker._template.get()
    request = template.fill(uuid4(), 20, {})
    assert str(request.url) == speaker.vendor_url + speaker.path
    assert "sk-key" in str(request.headers.raw)


@each
@pytest.mark.parametrize("use_proxy", [True, False])
async def test_proxies_of_the_environment_apply_where_they_may(protocol, wire, monkeypatch, use_proxy):
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, wire.url)
    speaker = speaker_of(protocol)(Connection("p", "sk-key", "http://vendor.invalid/root", use_proxy=use_proxy))
    with pytest.raises(ProviderError) as caught:
        await speaker.complete(call_of("m"))
    await speaker.close()
    assert caught.value.kind is (ErrorKind.SERVER_ERROR if use_proxy else ErrorKind.CONNECTION)
    asked = [request.partition(b" HTTP/")[0].decode() for request in wire.requests]
    assert asked == ([f"POST http://vendor.invalid/root{speaker.path}"] if use_proxy else [])


@each
async def test_redirects_are_followed_with_the_body(protocol):
    seen: list[tuple[str, bytes, str | None]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.path, await request.read(), request.headers.get("Cookie")))
        if request.path == "/elsewhere":
            return web.json_response({}, status=500)
        moved = web.HTTPTemporaryRedirect("/elsewhere")
        moved.set_cookie("a", "b")
        raise moved

    async with served(handle) as url:
        speaker = speaker_of(protocol)(Connection("p", "sk-key", url, use_proxy=False))
        with pytest.raises(ProviderError) as caught:
            await speaker.complete(call_of("m"))
        await speaker.close()
    assert caught.value.kind is ErrorKind.SERVER_ERROR
    (path, body, before), (elsewhere, again, after) = seen
    assert (path, elsewhere) == (speaker.path, "/elsewhere")
    assert body == again != b""
    assert (before, after) == (None, "a=b")

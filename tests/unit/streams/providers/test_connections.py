"""Connections of the SDKs' HTTP clients: as many as there are calls, whose number is not theirs to decide."""

import asyncio

import pytest

from streams.config.protocols import PROTOCOLS
from streams.providers.registry import speaker_of
from streams.providers.vendor_sdk import Connection

CALLS = 150
"""More than Groq's SDK would allow by itself."""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_no_call_waits_for_the_connection_of_another(protocol):
    all_here = asyncio.Barrier(CALLS)

    async def answer_when_all_are_here(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await all_here.wait()
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    sdk = speaker_of(protocol)(Connection("p", "key", None, use_proxy=False)).load_sdk()
    http = sdk.open_http_client(use_proxy=False)
    async with await asyncio.start_server(answer_when_all_are_here, "127.0.0.1", 0, backlog=CALLS) as server:
        port = server.sockets[0].getsockname()[1]
        request = sdk.http.Request("GET", f"http://127.0.0.1:{port}/")
        try:
            async with asyncio.timeout(20):
                responses = await asyncio.gather(*(http.send(request, stream=False) for _ in range(CALLS)))
        finally:
            await http.aclose()
    assert {response.status_code for response in responses} == {200}

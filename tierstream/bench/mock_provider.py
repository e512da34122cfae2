"""`python -m tierstream.bench.mock_provider`: a provider that costs next to nothing, in a process of its own.

It speaks HTTP/1.1 over asyncio without a framework, for a framework would be what is measured: some 0.05 ms of CPU a
call. It answers every path, by the protocol that its end tells, after the same time.
"""

import asyncio
import re
from collections import Counter
from typing import Annotated, Final

import typer

from tierstream.bench.mock_answers import REFERENCE, MockAnswers, asks_for_answer, http_response
from tierstream.stack.service_process import stop_signal

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HOST: Final = "127.0.0.1"
_BACKLOG: Final = 1024


class MockProvider:
    """Answers calls and, where it is asked to, counts them.

    Args:
        latency_s: From a whole call to its answer.
        counts: Whether calls for answers are counted by the request that they are for; votes and verdicts are not.
    """

    def __init__(self, *, latency_s: float = 0.0, counts: bool = False) -> None:
        self._latency_s = latency_s
        self._counts = counts
        self._answers = MockAnswers()
        self._calls: Counter[str] = Counter()
        self._total = 0

    def answer(self, head: bytes, body: bytes, transport: asyncio.Transport) -> None:
        """Answer one call: GET says how many there were, in all and by request."""
        method, path, _ = head.split(b" ", 2)
        if method == b"GET":
            transport.write(http_response({"calls": self._total, "by_request": self._calls}))
            return
        self._total += 1
        if self._counts and asks_for_answer(body) and (found := REFERENCE.search(body)):
            self._calls[found[0].decode()] += 1
        response = self._answers.response(path, body)
        if self._latency_s:
            asyncio.get_running_loop().call_later(self._latency_s, transport.write, response)
        else:
            transport.write(response)


class MockConnection(asyncio.Protocol):
    """One client's connection, kept alive for as long as the client likes."""

    def __init__(self, provider: MockProvider) -> None:
        self._provider = provider
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._received += data
        while (end := self._received.find(_HEAD_END)) >= 0 and self._transport is not None:
            head, starts = bytes(self._received[:end]), end + len(_HEAD_END)
            length = _LENGTH.search(head)
            ends = starts + (int(length[1]) if length else 0)
            if len(self._received) < ends:
                return
            body = bytes(self._received[starts:ends])
            del self._received[:ends]
            self._provider.answer(head, body, self._transport)


async def serve(provider: MockProvider, port: int) -> None:
    """Listen on the loopback until SIGTERM or SIGINT.

    Raises:
        OSError: The port is in use.
    """
    stop = stop_signal()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: MockConnection(provider), _HOST, port, backlog=_BACKLOG)
    try:
        await stop.wait()
    finally:
        server.close()


def main(
    *,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)],
    latency_ms: Annotated[float, typer.Option(help="From a whole call to its answer.", min=0)] = 0.0,
    count: Annotated[bool, typer.Option("--count", help="Count the calls for each request.")] = False,
) -> None:
    """Answer the calls of a benchmark on a loopback port."""
    asyncio.run(serve(MockProvider(latency_s=latency_ms / 1000, counts=count), port))


if __name__ == "__main__":
    typer.run(main)

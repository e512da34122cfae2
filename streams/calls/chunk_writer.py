"""Streamed text on its way to `llm.chunks`: in order, and several pieces a record where they come fast."""

import asyncio
import contextlib
from uuid import UUID

from streams.kafka.clock import Clock
from streams.kafka.publisher import Output, Publisher
from topics.events import Chunk
from topics.registry import CHUNKS

_INTERVAL_S = 0.04
"""Between two records of a stream: nobody reads faster than 25 updates a second, and records cost more than bytes."""


class ChunkWriter:
    """Publishes the text of one call. The first piece leaves at once; later ones wait for those that follow closely.

    One record is on its way at a time, which is what keeps them in order.
    """

    def __init__(
        self, publisher: Publisher, *, request_id: str, revision: int, attempt_id: UUID, call_id: UUID, clock: Clock
    ) -> None:
        self._publisher = publisher
        self._identity = {
            "request_id": request_id,
            "revision": revision,
            "attempt_id": attempt_id,
            "call_id": call_id,
        }
        self._clock = clock
        self._seq = 0
        self._pending: list[str] = []
        self._sending: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def add(self, text: str) -> None:
        """Take a piece of text.

        Raises:
            DeliveryError: An earlier piece could not be published.
        """
        self._pending.append(text)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_pending())
        elif self._sending.done():
            self._sending.result()
            self._sending = asyncio.create_task(self._send_pending())

    async def end(self, *, complete: bool) -> None:
        """Publish what is left, and that nothing follows; return when the broker has all of it.

        Raises:
            DeliveryError: Something could not be published.
        """
        self._ended.set()
        if self._sending is not None:
            await self._sending
        text = "".join(self._pending)
        self._pending.clear()
        if self._seq or text or complete:
            await self._publish("done" if complete else "broken", text)

    async def _send_pending(self) -> None:
        while self._pending:
            text = "".join(self._pending)
            self._pending.clear()
            await self._publish("text", text)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_S):
                    await self._ended.wait()

    async def _publish(self, kind: str, text: str) -> None:
        # A lone surrogate, half of a character that a model never finished, can't be written as UTF-8.
        written = text.encode(errors="replace").decode()
        chunk = Chunk.model_validate(
            {**self._identity, "seq": self._seq, "kind": kind, "text": written, "at": self._clock()}
        )
        self._seq += 1
        await self._publisher.publish([Output(CHUNKS, chunk)])

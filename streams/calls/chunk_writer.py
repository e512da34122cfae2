"""Streamed answers on their way to `llm.chunks`: in order, and several pieces a record where they come fast."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Final, Literal
from uuid import UUID

from streams.kafka.clock import Clock
from streams.kafka.publisher import Output, Publisher
from topics.answer_assembly import Piece
from topics.events import Chunk, Delta
from topics.registry import CHUNKS

_INTERVAL_S = 0.04
"""Between two records of a stream: nobody reads faster than 25 updates a second, and records cost more than bytes."""
_GROWING: Final = frozenset({"text", "reasoning", "tool_call"})
"""Kinds whose pieces add up to one; each of the others is complete."""


class ChunkWriter:
    """Publishes the answer of one call. The first piece leaves at once; later ones wait for those that follow closely.

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
        self._pending: list[Piece] = []
        self._sending: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def add(self, piece: Piece) -> None:
        """Take a piece.

        Raises:
            DeliveryError: An earlier piece could not be published.
        """
        self._pending.append(piece)
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
        if self._seq or self._pending or complete:
            await self._publish("done" if complete else "broken")

    async def _send_pending(self) -> None:
        while self._pending:
            await self._publish("text")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_S):
                    await self._ended.wait()

    async def _publish(self, kind: Literal["text", "done", "broken"]) -> None:
        """Publish what has come since the last record."""
        pieces, self._pending = self._pending, []
        said = {"text": "".join(_texts(pieces)), "deltas": _deltas(pieces)}
        chunk = Chunk.model_validate({**self._identity, "seq": self._seq, "kind": kind, **said, "at": self._clock()})
        self._seq += 1
        await self._publisher.publish([Output(CHUNKS, chunk)])


def _texts(pieces: Iterable[Piece]) -> list[str]:
    return [piece if isinstance(piece, str) else piece.text if piece.kind == "text" else "" for piece in pieces]


def _deltas(pieces: Sequence[Piece]) -> tuple[Delta, ...]:
    """Return what a record says beside its text: nothing where there is nothing else, else all of it, in order."""
    if set(map(type, pieces)) <= {str}:
        return ()
    runs: list[list[Delta]] = []
    for piece in pieces:
        delta = Delta(kind="text", text=piece) if isinstance(piece, str) else piece
        if runs and _goes_on(runs[-1][-1], delta):
            runs[-1].append(delta)
        else:
            runs.append([delta])
    return tuple(map(_joined, runs))


def _goes_on(last: Delta, delta: Delta) -> bool:
    begins_call = delta.id is not None or delta.name is not None
    return delta.kind in _GROWING and not begins_call and (delta.kind, delta.index) == (last.kind, last.index)


def _joined(run: Sequence[Delta]) -> Delta:
    return run[0] if len(run) == 1 else run[0].model_copy(update={"text": "".join(delta.text for delta in run)})

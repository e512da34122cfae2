"""Batchers: the calls of one tier leave in micro-batches, which wait only while enough other calls are on the wire.

A batch is journalled in one publish, so a burst costs one round trip to the broker and not one for each call. An
idle batcher has nothing to gain from waiting and does not.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from streams.config.settings_sections import BatchingSettings

T = TypeVar("T")

_AT_ONCE = -math.inf
_NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Batch:
    """The batch that an item left in; `wait_ms` is from its joining to the start of the flush, in milliseconds."""

    batch_size: int
    wait_ms: float


@dataclass(slots=True, eq=False)
class _Entry(Generic[T]):
    item: T
    joined_at: float
    flushed: asyncio.Future[Batch]
    departed: bool = False


class Batcher(Generic[T]):
    """The micro-batcher of one tier in one process.

    A batch leaves when it has `max_size` items, when its oldest item has waited `max_wait_ms`, or at once while fewer
    than `idle_below` items are on the wire. Leaving at once means within the turn of the event loop, so that what
    joins in the same turn leaves together. Several batches may be in their flush at a time.

    Args:
        settings: When a batch leaves.
        flush: Called with the items of a batch in the order in which they joined.
        monotonic: Seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        settings: BatchingSettings,
        flush: Callable[[Sequence[T]], Awaitable[None]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._flush = flush
        self._monotonic = monotonic
        self._waiting: list[_Entry[T]] = []
        self._departure: asyncio.Handle | None = None
        self._departs_at = _NEVER
        self._flushes: set[asyncio.Task[None]] = set()
        self._on_the_wire = 0

    @property
    def waiting(self) -> int:
        """Number of items that wait for their batch."""
        return len(self._waiting)

    @property
    def on_the_wire(self) -> int:
        """Number of items whose batch has left and whose `join` block has not ended."""
        return self._on_the_wire

    @asynccontextmanager
    async def join(self, item: T) -> AsyncIterator[Batch]:
        """Enter once the batch that holds the item was flushed; the item is on the wire until the block ends.

        A cancelled join is taken out of its batch, unless the batch has left.

        Raises:
            Exception: What `flush` raised, in every join of the batch.
        """
        entry = _Entry(item, self._monotonic(), asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._plan()
        try:
            yield await entry.flushed
        finally:
            if entry.departed:
                self._on_the_wire -= 1
            else:
                self._waiting.remove(entry)
            self._plan()

    def _plan(self) -> None:
        """Set the next departure anew, after a change of who waits or of what is on the wire."""
        if not self._waiting:
            self._call_off()
        elif len(self._waiting) >= self._settings.max_size:
            self._depart()
        elif (due := self._due()) != self._departs_at:
            # Only what changes is planned anew: else each newcomer would put off what leaves at once by another turn.
            self._call_off()
            self._departs_at = due
            loop = asyncio.get_running_loop()
            if due == _AT_ONCE:
                self._departure = loop.call_soon(self._depart)
            else:
                self._departure = loop.call_later(max(due - self._monotonic(), 0), self._depart)

    def _due(self) -> float:
        idle = self._on_the_wire < self._settings.idle_below
        if idle or not self._settings.max_wait_ms:
            return _AT_ONCE
        return self._waiting[0].joined_at + self._settings.max_wait_ms / 1000

    def _call_off(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
        self._departure, self._departs_at = None, _NEVER

    def _depart(self) -> None:
        self._call_off()
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        self._on_the_wire += len(batch)
        for entry in batch:
            entry.departed = True
        flush = asyncio.create_task(self._run_flush(batch, self._monotonic()))
        self._flushes.add(flush)
        flush.add_done_callback(self._flushes.discard)

    async def _run_flush(self, batch: list[_Entry[T]], departed_at: float) -> None:
        try:
            await self._flush([entry.item for entry in batch])
        except asyncio.CancelledError:
            for entry in batch:
                entry.flushed.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised in every join of the batch
            for entry in batch:
                if not entry.flushed.done():
                    entry.flushed.set_exception(error)
        else:
            for entry in batch:
                if not entry.flushed.done():
                    wait_ms = (departed_at - entry.joined_at) * 1000
                    entry.flushed.set_result(Batch(len(batch), wait_ms))

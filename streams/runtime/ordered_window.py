"""The ordered window: many records in work, offsets acknowledged strictly in order.

Kafka commits a position, not a set: whoever commits offset n says that all before n is finished. A stage that
works on many records at once therefore has to hold back the finished ones behind an unfinished one. The window
does that for each assignment, an assignment being one partition in one generation of the consumer group.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    offset: int
    size: int
    token: T
    done: bool = False


@dataclass(slots=True)
class _Assignment(Generic[T]):
    entries: deque[_Entry[T]] = field(default_factory=deque)

    def span(self, offset: int) -> int:
        return offset - self.entries[0].offset if self.entries else 0


class OrderedWindow(Generic[T]):
    """Runs the work of admitted records concurrently and releases their tokens in offset order.

    Args:
        in_flight: Most records in work at once.
        span: Most offsets between the oldest unfinished record of an assignment and the newest admitted one.
        max_bytes: Most bytes held from admission to release; a single larger record is still admitted alone.
        release: Called with the token of each record when it and all before it in its assignment are finished.
        fail: Called with the first exception that leaves a piece of work; the window then admits nothing more.
    """

    def __init__(
        self,
        *,
        in_flight: int,
        span: int,
        max_bytes: int,
        release: Callable[[T], None],
        fail: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self._limits = (in_flight, span, max_bytes)
        self._release = release
        self._fail = fail
        self._assignments: dict[Hashable, _Assignment[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        self._bytes = 0
        self._changed = asyncio.Event()
        self._failed = False
        self._draining = False

    @property
    def running(self) -> int:
        """Number of records in work."""
        return self._running

    @property
    def held_bytes(self) -> int:
        """Bytes of records admitted and not yet released."""
        return self._bytes

    async def admit(
        self, assignment: Hashable, offset: int, size: int, token: T, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Start a record's work as soon as the limits allow; waiting here is the back-pressure on the consumer."""
        while not self._has_room(assignment, offset, size):
            self._changed.clear()
            await self._changed.wait()
        entry = _Entry(offset, size, token)
        self._assignments.setdefault(assignment, _Assignment()).entries.append(entry)
        self._running += 1
        self._bytes += size
        task = asyncio.create_task(self._run(assignment, entry, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def retain(self, keep: Callable[[Hashable], bool]) -> None:
        """Forget the assignments that are not to be kept: their partitions belong to another generation now.

        Work that runs in them goes on, but its tokens are not released.
        """
        for assignment in [assignment for assignment in self._assignments if not keep(assignment)]:
            for entry in self._assignments.pop(assignment).entries:
                self._bytes -= entry.size
        self._changed.set()

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - the caller states one budget for the whole drain
        """Admit nothing more and wait until nothing is in work; False when that took longer than `timeout` seconds."""
        self._draining = True
        if not self._tasks:
            return True
        _, pending = await asyncio.wait(self._tasks, timeout=timeout)
        return not pending

    async def cancel(self) -> None:
        """Stop all work; nothing more is released."""
        self._failed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _has_room(self, assignment: Hashable, offset: int, size: int) -> bool:
        if self._failed or self._draining:
            return False
        in_flight, span, max_bytes = self._limits
        if self._running >= in_flight or (self._bytes and self._bytes + size > max_bytes):
            return False
        known = self._assignments.get(assignment)
        return known is None or known.span(offset) < span

    async def _run(self, assignment: Hashable, entry: _Entry[T], work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
            entry.done = True
            self._release_head(assignment)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - handed to whoever owns the process, never swallowed
            self._failed = True
            await self._fail(error)
        finally:
            self._running -= 1
            self._changed.set()

    def _release_head(self, assignment: Hashable) -> None:
        known = self._assignments.get(assignment)
        while known is not None and known.entries and known.entries[0].done and not self._failed:
            entry = known.entries.popleft()
            self._bytes -= entry.size
            self._release(entry.token)
        if known is not None and not known.entries and self._assignments.get(assignment) is known:
            del self._assignments[assignment]

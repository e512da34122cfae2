"""Copies of one piece of work that come while it is under way wait for it instead of doing it again."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar
from uuid import UUID

from streams.kafka.lease import Lease, PartitionLostError

R = TypeVar("R")


class SingleFlight(Generic[R]):
    """The attempts that are under way in this process, each by the id that it has in all copies."""

    def __init__(self) -> None:
        self._running: dict[UUID, asyncio.Task[R]] = {}

    async def run(self, attempt: UUID, lease: Lease, work: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Return what the attempt came to; it goes on where one that waits for it is cancelled.

        Args:
            attempt: Its id.
            lease: Of this copy.
            work: Starts it, where it is not under way.

        Raises:
            PartitionLostError: This copy belongs to another process by now.
            Exception: What the work raised.
        """
        while True:
            running = self._running.get(attempt)
            if running is None:
                running = asyncio.create_task(work())
                self._running[attempt] = running
                running.add_done_callback(lambda _: self._running.pop(attempt, None))
            try:
                return await asyncio.shield(running)
            except PartitionLostError:
                # The copy that led may have come in an earlier generation, in which this one did not.
                if not lease.holds:
                    raise

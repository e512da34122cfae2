"""How many lines may be under way, and how fast they are sent; shared by all batches of a process."""

import asyncio
import math
import time
from collections.abc import Callable


class Slots:
    """Room for so many lines. Who asks first is served first, so that a large batch does not keep others waiting.

    Args:
        size: How many.
        per_second: How many are taken in a second at most: other requests are behind them in the topic.
        monotonic: Seconds of a clock that only goes forward.

    Attributes:
        size: As given.
    """

    def __init__(
        self, size: int, per_second: float = math.inf, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.size = size
        self._per_second = per_second
        self._monotonic = monotonic
        self._next_at = -math.inf
        self._free = size
        self._any = asyncio.Event()
        self._any.set()
        self._turn = asyncio.Lock()

    async def take(self, most: int) -> int:
        """Take as many as there are, up to `most`; waits for the first one."""
        async with self._turn:
            if (wait_s := self._next_at - self._monotonic()) > 0:
                await asyncio.sleep(wait_s)
            await self._any.wait()
            granted = min(self._free, most)
            self._change(-granted)
            self._next_at = max(self._next_at, self._monotonic()) + granted / self._per_second
            return granted

    def overdraw(self, count: int) -> None:
        """Take some that there may be no room for: for what is under way already."""
        self._change(-count)

    def give(self, count: int = 1) -> None:
        """Give some back."""
        self._change(count)

    def _change(self, by: int) -> None:
        self._free += by
        if self._free > 0:
            self._any.set()
        else:
            self._any.clear()

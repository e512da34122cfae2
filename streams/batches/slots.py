"""How many lines may be under way, shared by all batches of a process."""

import asyncio


class Slots:
    """Room for so many lines. Who asks first is served first, so that a large batch does not keep others waiting.

    Args:
        size: How many.

    Attributes:
        size: The same.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._any = asyncio.Event()
        self._any.set()
        self._turn = asyncio.Lock()

    async def take(self, most: int) -> int:
        """Take as many as there are, up to `most`; waits for the first one."""
        async with self._turn:
            await self._any.wait()
            granted = min(self._free, most)
            self._change(-granted)
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

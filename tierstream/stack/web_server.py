"""A web server as a part of a process that ends by signals of its own."""

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn


class WebServer(uvicorn.Server):
    """Serves until it is told to stop, or its task ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which ends by them as every service does."""
        yield

    async def until_started(self) -> None:
        """Return once it listens."""
        while not self.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)

"""What all addresses of the door share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.types import Receive

from streams.config.settings import Settings
from tierstream.serve.batches.store import BatchStore
from tierstream.serve.bodies import until_gone
from tierstream.serve.exchange import Exchange
from tierstream.serve.keys import KeyRing
from tierstream.serve.surface import DoorError, Surface
from tierstream.serve.targets import DeploymentTargets

CLOSING: Final = DoorError(
    503,
    "restarting",
    "the door is about to stop; send the same body with the same Idempotency-Key again, which is not billed twice",
    retry_after_s=1.0,
    may_retry=True,
)


class DoorCounts(Protocol):
    """Counts what the door does."""

    def answered(self, surface: str, status: int, seconds: float) -> None:
        """Count a request that had its answer, or that nobody was there for any more."""


@dataclass(eq=False)
class Door:
    """One process of the door.

    Attributes:
        settings: Of the deployment.
        exchange: Asks, and finds answers.
        keys: Says who asks.
        targets: Says which models there are.
        surfaces: By what they are called in addresses, such as `chat/completions`.
        counts: For metrics.
        clock: Seconds since the epoch.
        batches: Has files and batches; None: they are not served.
    """

    settings: Settings
    exchange: Exchange
    keys: KeyRing
    targets: DeploymentTargets
    surfaces: Mapping[str, Surface]
    counts: DoorCounts
    clock: Callable[[], float]
    batches: BatchStore | None = None
    _waiting: set["asyncio.Future[None]"] = field(default_factory=set)
    is_closing: bool = False
    """Whether nobody may wait any more."""

    def close(self) -> None:
        """End all waiting: whoever waits is told to come back."""
        self.is_closing = True
        for ending in list(self._waiting):
            if not ending.done():
                ending.set_exception(CLOSING)

    @asynccontextmanager
    async def attended(self, receive: Receive) -> AsyncIterator["asyncio.Future[None]"]:
        """Give what ends once the client has gone; it raises where the door closes.

        Args:
            receive: Of a request whose body has been read.

        Raises:
            DoorError: 503, the door is closing.
        """
        if self.is_closing:
            raise CLOSING
        ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(ending)
        watching = asyncio.create_task(_watch(receive, ending))
        try:
            yield ending
        finally:
            self._waiting.discard(ending)
            watching.cancel()
            if ending.done():
                # Else the loop would log what nobody has come to look at.
                ending.exception()


async def _watch(receive: Receive, ending: "asyncio.Future[None]") -> None:
    await until_gone(receive)
    with suppress(asyncio.InvalidStateError):
        ending.set_result(None)

"""The log of budgets as this process has read it, and who waits for what stands on it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from streams.budgets.replay import Replay, begun_replay, log_of
from streams.budgets.state import BudgetState, Event
from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.publisher import DeliveryError
from streams.kafka.topic_reader import TopicReader
from topics.base import Record

log = logging.getLogger(__name__)

_LAG_MS: Final = 100
"""How late a record may be applied while nobody waits for one."""
_SILENT_S: Final = 30.0
"""What the broker has acknowledged can be read; if it does not come for so long, the connection is broken."""

Applied = Callable[[Record, list[Event]], Awaitable[None]]


class BudgetFollower:
    """Applies the log as it grows.

    Args:
        settings: The budgets, and where the log is.
        clock: Current moment.
        reader: Of the log.
        on_applied: Awaited with each record once it is applied.
        on_begun: Awaited before anything is read, with a log that nothing stands on.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        reader: TopicReader,
        *,
        on_applied: Applied,
        on_begun: Callable[[BudgetState], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._reader = reader
        self._on_applied = on_applied
        self._on_begun = on_begun
        self._replay: Replay | None = None
        self._position = 0
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._is_awaited = asyncio.Event()
        self._hurries = 0

    @property
    def state(self) -> BudgetState:
        """The state so far.

        Raises:
            RuntimeError: Nothing was read yet.
        """
        if self._replay is None:
            raise RuntimeError("the log of budgets was not read yet")
        return self._replay.state

    @property
    def next_offset(self) -> int:
        """The first record that the state has not in it."""
        return self._replay.next_offset if self._replay is not None else 0

    @property
    def since_ms(self) -> int:
        """From which append time on the spendings of the log are remembered, ms since the epoch."""
        return self._replay.since_ms if self._replay is not None else 0

    async def run(self, ready: asyncio.Event) -> None:
        """Come to the end of the log, set `ready`, and go on following until cancelled.

        Raises:
            aiokafka.errors.KafkaError: The broker refuses to be read.
            DeliveryError: What follows from a record could not be published.
        """
        now_ms = int(self._clock().timestamp() * 1000)
        replay = await begun_replay(self._reader, self._settings, now_ms)
        if replay.is_new:
            await self._on_begun(replay.state)
        tp = log_of(self._settings)
        end = (await self._reader.end_offsets([tp]))[tp]
        self._replay = replay
        async for _, records, position in self._reader.follow(
            [tp], since_ms=replay.since_ms, lag_ms=_LAG_MS, hurry=self._is_awaited
        ):
            for record in records:
                read, events = replay.take(record)
                if read is not None:
                    await self._on_applied(read, events)
            self._position = position
            if position >= end and not ready.is_set():
                log.debug("%s: read up to %d", tp.topic, position)
                ready.set()
            for waiting, offset in self._waiting.items():
                if offset < position and not waiting.done():
                    waiting.set_result(None)

    async def pass_by(self, offset: int) -> None:
        """Return when the record at an offset was applied.

        Raises:
            DeliveryError: It could not be read; the process has to stop.
        """
        if offset < self._position:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = offset
        self.hurry()
        try:
            async with asyncio.timeout(_SILENT_S):
                await waiting
        except TimeoutError:
            raise DeliveryError(f"{log_of(self._settings).topic} could not be read for {_SILENT_S:g} s") from None
        finally:
            del self._waiting[waiting]
            self.rest()

    def hurry(self) -> None:
        """Have records applied as soon as they come; `rest` has to follow."""
        self._hurries += 1
        self._is_awaited.set()

    def rest(self) -> None:
        """Take back one `hurry`."""
        self._hurries -= 1
        if not self._hurries:
            self._is_awaited.clear()

"""What a process says of itself on `llm.control`, for display: the states of its breakers, and its model."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from streams.config.settings_sections import KafkaSettings
from streams.kafka.clock import Clock
from streams.kafka.publisher import DeliveryError, Output, Publisher
from topics.control import BreakerState, BreakerStatus, ModelStatus
from topics.registry import CONTROL

log = logging.getLogger(__name__)

REPEAT_AFTER: Final = timedelta(seconds=30)
"""After which a breaker that is not closed is reported again, so that the last word of a dead process grows old."""
STALE_AFTER: Final = 3 * REPEAT_AFTER
"""From when on such a report says nothing any more: its process has died or lost the broker."""

_RETRY_S: Final = 5.0
_LAST_WORDS_S: Final = 5.0
_NAME_LENGTH: Final = 200

Status = BreakerStatus | ModelStatus


def worker_name(kafka: KafkaSettings) -> str:
    """Name this process in its reports: the configured instance, else host and process id."""
    return kafka.instance or f"{socket.gethostname()[:_NAME_LENGTH]}:{os.getpid()}"


class StatusPublisher:
    """Publishes states as they change, and takes back what would stay when the process ends.

    Of each breaker, and of the model, only the latest state matters. Nobody acts on these records, so a broker that
    takes none delays them and stops nothing.

    Args:
        publisher: Open for as long as `run` runs.
        worker: Name of this process, see `worker_name`.
        clock: Dates the repetitions.
        repeat_after: After which the state of a breaker other than closed is said again.
    """

    def __init__(
        self, publisher: Publisher, worker: str, clock: Clock, *, repeat_after: timedelta = REPEAT_AFTER
    ) -> None:
        self.worker = worker
        self._publisher = publisher
        self._clock = clock
        self._repeat_s = repeat_after.total_seconds()
        self._latest: dict[str, Status] = {}
        """By key, without breakers that are closed and were said to be."""
        self._unsaid: set[str] = set()
        """Keys whose latest state is yet to be published."""
        self._wake = asyncio.Event()

    async def begin(self) -> None:
        """Say that the process is there, with no breaker open: of tier 1, which stands for all.

        The acknowledgement is the first that the process gets, so it knows the brokers' time from here on.

        Raises:
            DeliveryError: The broker did not take it.
        """
        await self._publish([_closed(self.worker, "tier:1", "worker started", self._clock())])

    def note(self, status: Status) -> None:
        """Take note of a change; returns at once, and replaces an earlier one that still waits."""
        key = status.partition_key
        self._latest[key] = status
        self._unsaid.add(key)
        self._wake.set()

    async def run(self) -> None:
        """Publish changes as they come until cancelled, then take leave."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._say_changes())
                tasks.create_task(self._repeat())
        finally:
            await self._take_leave()

    async def _say_changes(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            keys, self._unsaid = self._unsaid, set()
            said = {key: self._latest[key] for key in keys}
            try:
                await self._publish(said.values())
            except DeliveryError as error:
                log.warning(
                    "model and breaker states could not be published, trying again in %g s: %s", _RETRY_S, error
                )
                self._unsaid |= keys
                await asyncio.sleep(_RETRY_S)
                self._wake.set()
                continue
            for key, status in said.items():
                if _is_closed(status) and self._latest[key] is status:
                    del self._latest[key]

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._repeat_s)
            now = self._clock()
            for status in list(self._latest.values()):
                if isinstance(status, BreakerStatus) and not _is_closed(status):
                    self.note(status.model_copy(update={"at": now}))

    async def _publish(self, statuses: Iterable[Status]) -> None:
        await self._publisher.publish([Output(CONTROL, status) for status in statuses])

    async def _take_leave(self) -> None:
        """Report every breaker as closed that others may believe to be open, and unsay the rest."""
        now = self._clock()
        open_breakers = [status for status in self._latest.values() if isinstance(status, BreakerStatus)]
        others = [key for key, status in self._latest.items() if not isinstance(status, BreakerStatus)]
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._publish(_closed(self.worker, one.target, "worker stopped", now) for one in open_breakers)
                await self._publisher.withdraw(CONTROL, *others)
        except (DeliveryError, TimeoutError):
            log.warning("the broker did not take the last states of this process; they are shown until they are stale")


def _is_closed(status: Status) -> bool:
    return isinstance(status, BreakerStatus) and status.state == BreakerState.CLOSED


def _closed(worker: str, target: str, reason: str, now: datetime) -> BreakerStatus:
    return BreakerStatus(
        worker=worker,
        target=target,
        state=BreakerState.CLOSED,
        reason=reason,
        since=now,
        calls=0,
        failures=0,
        slow=0,
        at=now,
    )

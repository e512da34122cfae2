"""Kafka and ClickHouse as servers that may be away: how that is told from a refusal, and how it is waited for."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self, TypeVar
from urllib.parse import urlsplit

from aiokafka import errors as kafka_errors

from streams.config.settings_sections import KafkaSettings
from streams.kafka.admin import BrokerAwayError
from streams.runtime.unless import unless
from tierstream.stack.health import HealthCheck, is_healthy, ping_url

T = TypeVar("T")

log = logging.getLogger(__name__)

_ANSWER_S: Final = 5.0
"""A busy machine may take longer than a fit one to answer, and is not away for that."""
_POLL_S: Final = 1.0
_REPEAT_S: Final = 30.0
_WATCH_EVERY_S: Final = 10.0

_KAFKA_AWAY: Final = (
    BrokerAwayError,
    kafka_errors.KafkaConnectionError,
    kafka_errors.KafkaTimeoutError,
    kafka_errors.KafkaUnavailableError,
    kafka_errors.NoBrokersAvailable,
    kafka_errors.NodeNotReadyError,
    kafka_errors.MetadataEmptyBrokerList,
    kafka_errors.StaleMetadata,
    kafka_errors.BrokerNotAvailableError,
    kafka_errors.LeaderNotAvailableError,
    kafka_errors.ReplicaNotAvailableError,
    kafka_errors.NotEnoughReplicasError,
    kafka_errors.NotEnoughReplicasAfterAppendError,
    kafka_errors.RequestTimedOutError,
    kafka_errors.GroupCoordinatorNotAvailableError,
    kafka_errors.GroupLoadInProgressError,
    kafka_errors.NotCoordinatorForGroupError,
)
"""No answer, or one that says: not yet. A missing topic and a refused login are answers."""


def kafka_is_away(error: BaseException) -> bool:
    """Whether an error, or one that it was made of, says that no broker serves now."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, _KAFKA_AWAY):
        link = link.__cause__
    return link is not None


@dataclass(frozen=True)
class Need:
    """A server that something can't run without."""

    name: str
    """As it is shown: without the credentials that a URL may hold."""
    check: HealthCheck
    """How to ask it."""

    @classmethod
    def kafka(cls, bootstrap_servers: str) -> Self:
        """Make it for a broker."""
        return cls(f"Kafka at {bootstrap_servers}", HealthCheck(kind="kafka", target=bootstrap_servers))

    @classmethod
    def clickhouse(cls, url: str) -> Self:
        """Make it for ClickHouse."""
        ping = ping_url(url)
        return cls(f"ClickHouse at {urlsplit(ping).netloc}", HealthCheck(kind="http", target=ping))

    async def answers(self) -> bool:
        """Ask once."""
        return await is_healthy(self.check, None, timeout_s=_ANSWER_S)


class Dependency:
    """A need that is waited for while it does not answer, with a line that says so now and then.

    Args:
        need: What is waited for.
        tell: Gets the lines; None: the log.
        poll_s: Seconds between two questions.
        repeat_s: Seconds until the line is said again.
    """

    def __init__(
        self,
        need: Need,
        *,
        tell: Callable[[str], None] | None = None,
        poll_s: float = _POLL_S,
        repeat_s: float = _REPEAT_S,
    ) -> None:
        self._need = need
        self._tell = tell or log.warning
        self._poll_s = poll_s
        self._repeat_s = repeat_s
        self._asking = asyncio.Lock()
        self._away_since: datetime | None = None
        self._told_at = 0.0

    @classmethod
    def kafka(cls, kafka: KafkaSettings) -> Self:
        """Make it for the broker that the settings name."""
        return cls(Need.kafka(kafka.bootstrap_servers or ""))

    @property
    def is_away(self) -> bool:
        """Whether it is known not to answer."""
        return self._away_since is not None

    async def wait(self) -> None:
        """Return when it answers; of several who wait, one asks."""
        async with self._asking:
            await self._until_it_answers()
            self._note_back()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Say when it is away, and when it is back, for as long as the block lasts."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            await self.wait()
            await asyncio.sleep(_WATCH_EVERY_S)

    async def attempt(
        self, operation: Callable[[], Awaitable[T]], *, is_away: Callable[[BaseException], bool], stop: asyncio.Event
    ) -> T | None:
        """Run what needs it; where that fails for want of it, wait for it and run it anew.

        Args:
            operation: Awaited; has to see to `stop` by itself.
            is_away: Tells errors that mean so from those that are raised.
            stop: Ends the waiting.

        Returns:
            What the operation returned; None if `stop` was set while waiting.
        """
        while True:
            try:
                result = await operation()
            except Exception as error:
                if not is_away(error):
                    raise
                self._note_away(error)
            else:
                self._note_back()
                return result
            await unless(stop.wait(), self._until_it_answers_again())
            if stop.is_set():
                return None

    async def _until_it_answers_again(self) -> None:
        # What failed just now may fail for a while, although the server answers a simple question.
        await asyncio.sleep(self._poll_s)
        await self._until_it_answers()

    async def _until_it_answers(self) -> None:
        while not await self._need.answers():
            self._note_away()
            await asyncio.sleep(self._poll_s)

    def _note_away(self, error: Exception | None = None) -> None:
        if self._away_since is None:
            self._away_since = datetime.now().astimezone()
        elif time.monotonic() < self._told_at + self._repeat_s:
            return
        self._told_at = time.monotonic()
        why = f" ({type(error).__name__})" if error else ""
        self._tell(f"{self._need.name} does not answer{why}: waiting for it since {self._away_since:%H:%M:%S}")

    def _note_back(self) -> None:
        if self._away_since is not None:
            away = datetime.now().astimezone() - self._away_since
            self._away_since = None
            self._tell(f"{self._need.name} answers, after {away.total_seconds():.0f} s")

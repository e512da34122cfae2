"""Keep the roll-ups up to date while a sink fills the ledger."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from analytics.clickhouse import UNREACHABLE, open_client
from analytics.ledger import SinkStats
from analytics.ledger_window import BEGINNING
from analytics.rollups import HOUR, RollupBuilder

logger = logging.getLogger(__name__)

_LOOK_EVERYWHERE_S: Final = 1800.0
"""Seconds between looks at all hours; in between only those are looked at that the sink wrote to, and the last ones."""
_LOOK_S: Final = 60.0
"""Seconds after which the last hours are looked at although this sink wrote nothing: another one may have."""
_REST: Final = 20
"""A build is followed by a rest of so many times as long: it takes at most one part in twenty of a core."""
_TIMEOUT_S: Final = 600.0


class RollupLoop:
    """Builds what is due, again and again.

    Args:
        url: Of ClickHouse.
        database: Of the ledger; its tables exist.
        interval_s: Seconds between builds, at least.
        lifetime_s: Seconds between the first call of a request and its result, at most.
        stats: Of the sink.
        is_ours: Whether it is for this process to build: one of all sinks does.
    """

    def __init__(
        self,
        url: str,
        database: str,
        *,
        interval_s: float,
        lifetime_s: int,
        stats: SinkStats,
        is_ours: Callable[[], bool],
    ) -> None:
        self._url = url
        self._database = database
        self._interval_s = interval_s
        self._lifetime_s = lifetime_s
        self._stats = stats
        self._is_ours = is_ours
        self._looked = self._looked_everywhere = -_LOOK_EVERYWHERE_S

    async def run(self) -> None:
        """Build until cancelled; while ClickHouse is away, try again."""
        while True:
            began = time.monotonic()
            if self._is_ours():
                try:
                    await self._build()
                except UNREACHABLE as error:
                    self._looked = self._looked_everywhere = -_LOOK_EVERYWHERE_S
                    logger.warning("Could not build roll-ups, trying again: %s", str(error).splitlines()[0])
            await asyncio.sleep(max(self._interval_s, _REST * (time.monotonic() - began)))

    async def _build(self) -> None:
        now = time.monotonic()
        written = self._stats.take_earliest()
        everywhere = now - self._looked_everywhere >= _LOOK_EVERYWHERE_S
        if written is None and not everywhere and now - self._looked < _LOOK_S:
            return
        async with open_client(self._url, timeout_s=_TIMEOUT_S) as client:
            builder = RollupBuilder(client, self._database, lifetime_s=self._lifetime_s)
            if everywhere:
                await builder.drop_stale()
            built = await builder.build(BEGINNING if everywhere else self._since(written))
        if built:
            logger.debug("Built the roll-ups of %d hours in %.2f s", built, time.monotonic() - now)
        self._looked = now
        self._looked_everywhere = now if everywhere else self._looked_everywhere

    def _since(self, written: datetime | None) -> datetime:
        """Return from when on hours may be due: a result tells of calls a lifetime before it."""
        now = datetime.now(UTC)
        earliest = now if written is None else min(written, now)
        return earliest - timedelta(seconds=self._lifetime_s) - 3 * HOUR

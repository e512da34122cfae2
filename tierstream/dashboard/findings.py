"""What the report of findings says, as cards; asked beside the pages, for it reads more than a page may wait for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from analytics.findings.model import Finding, Kind
from analytics.reports.findings import FindingsReport

log = logging.getLogger(__name__)

KINDS: Final[Mapping[Kind, str]] = {
    "power_user": "power user",
    "feature_tier": "feature on the wrong tier",
    "slow_provider": "slow provider",
    "cacheable_prompt": "prompt that is not cached",
    "shareable_prompt": "prompt asked again and again",
    "cost_change": "sudden change",
}
"""What a card calls the kinds of findings."""
_KEPT_FOR: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Found:
    """The findings of a moment, the dearest one first."""

    at: datetime
    findings: Sequence[Finding]


class LatestFindings:
    """Keeps what was found last, and looks again in the background when it is asked for and old. One loop owns it."""

    def __init__(self, report: Callable[[], Awaitable[FindingsReport]]) -> None:
        """Take what makes the report."""
        self._report = report
        self._latest: Found | None = None
        self._looking: asyncio.Task[None] | None = None

    def latest(self, now: datetime) -> Found | None:
        """Return what was found last, None before it was looked; where it is old, looking begins."""
        old = self._latest is None or now - self._latest.at > _KEPT_FOR
        if old and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(now))
        return self._latest

    async def close(self) -> None:
        """Look no longer."""
        if self._looking:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self, now: datetime) -> None:
        try:
            self._latest = Found(now, (await self._report()).findings)
        except Exception:  # the pages say what is wrong with ClickHouse, and look again
            log.warning("the report of findings could not be made", exc_info=True)

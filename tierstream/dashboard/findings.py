"""What the report of findings says, as cards; asked beside the pages, for it reads more than a page may wait for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

log = logging.getLogger(__name__)

REPORT: Final = "findings"
_KEPT_FOR: Final = timedelta(minutes=10)
_EVIDENCE_SHOWN: Final = 3
_MONEY: Final = ("usd_per_month", "usd_a_month", "monthly_usd", "saving_usd", "usd")
_TITLE: Final = ("title", "name", "kind")
_TEXT: Final = ("text", "description", "detail", "summary", "action")
_EVIDENCE: Final = ("evidence", "request_ids", "examples", "requests")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that would save money, with its evidence."""

    title: str
    text: str
    usd_a_month: Decimal | None
    confidence: str
    evidence: Sequence[str]
    """Ids of requests."""
    more: int
    """Further ids."""


@dataclass(frozen=True, slots=True)
class Found:
    """The findings of a moment, the dearest one first."""

    at: datetime
    findings: Sequence[Finding]

    @property
    def usd_a_month(self) -> Decimal:
        """What all of them are worth together."""
        return sum((one.usd_a_month or Decimal(0) for one in self.findings), start=Decimal(0))


class LatestFindings:
    """Keeps what was found last, and looks again in the background when it is asked for and old. One loop owns it."""

    def __init__(self, report: Callable[[], Awaitable[Mapping[str, Any]]] | None) -> None:
        """Take what makes the report, as its JSON; None: there is no such report."""
        self._report = report
        self._latest: Found | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def exists(self) -> bool:
        """Whether there is such a report at all."""
        return self._report is not None

    def latest(self, now: datetime) -> Found | None:
        """Return what was found last, None before it was looked; where it is old, looking begins."""
        old = self._latest is None or now - self._latest.at > _KEPT_FOR
        if self._report is not None and old and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(self._report, now))
        return self._latest

    async def close(self) -> None:
        """Look no longer."""
        if self._looking:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self, report: Callable[[], Awaitable[Mapping[str, Any]]], now: datetime) -> None:
        try:
            self._latest = Found(now, findings_in(await report()))
        except Exception:  # the pages say what is wrong with ClickHouse, and look again
            log.warning("the report of findings could not be made", exc_info=True)


def findings_in(report: Mapping[str, Any]) -> list[Finding]:
    """Read the findings of the report's JSON: its list, whatever it is called, the dearest one first."""
    lists = [value for value in report.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    named = report.get("findings")
    rows = named if isinstance(named, list) else lists[0] if lists else []
    found = [_finding(row) for row in rows if isinstance(row, dict)]
    return sorted(found, key=lambda one: -(one.usd_a_month or Decimal(0)))


def _finding(row: Mapping[str, Any]) -> Finding:
    ids: list[Any] = next((row[name] for name in _EVIDENCE if isinstance(row.get(name), list)), [])
    evidence = [str(one.get("request_id", "")) if isinstance(one, dict) else str(one) for one in ids]
    return Finding(
        title=_first(row, _TITLE) or "Finding",
        text=_first(row, _TEXT),
        usd_a_month=_money(row),
        confidence=_confidence(row.get("confidence")),
        evidence=[one for one in evidence if one][:_EVIDENCE_SHOWN],
        more=max(0, len(evidence) - _EVIDENCE_SHOWN),
    )


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(row[name]) for name in names if row.get(name)), "")


def _money(row: Mapping[str, Any]) -> Decimal | None:
    for name in _MONEY:
        if row.get(name) is not None:
            try:
                return Decimal(str(row[name]))
            except InvalidOperation:
                return None
    return None


def _confidence(value: object) -> str:
    if isinstance(value, float) and 0 <= value <= 1:
        return f"{value * 100:.0f} %"
    return "" if value is None else str(value)

"""The period that a page shows: whole hours or whole days in UTC, chosen in its address."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from analytics.period import Grain
from analytics.period import Period as Buckets

CHOICES: Final = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
"""What the picker offers, by the value in the address."""
_LENGTHS: Final = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
_DAY: Final = timedelta(days=1)
_STEPS: Final = {"hour": timedelta(hours=1), "day": _DAY}
_LONGEST: Final = timedelta(days=1100)
_YEARS: Final = range(1980, 2100)
"""That ClickHouse has moments of, and of the period before."""
_HOURLY_UP_TO: Final = timedelta(days=2)
"""Charts of longer periods have a step a day, also where their figures are known by the hour."""


class PeriodError(ValueError):
    """The address names a period that there is none of; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Period:
    """What is shown, [since, until).

    Attributes:
        grain: Of the roll-ups that are read.
        choice: Of `CHOICES`; empty: other days.
    """

    since: datetime
    until: datetime
    grain: Grain
    choice: str

    @property
    def before(self) -> datetime:
        """Where the period of the same length before it begins."""
        return self.since - (self.until - self.since)

    @property
    def step(self) -> Grain:
        """What charts have a bar for."""
        return "hour" if self.until - self.since <= _HOURLY_UP_TO else "day"

    @property
    def step_s(self) -> int:
        """Seconds of a step."""
        return int(_STEPS[self.step].total_seconds())

    def buckets(self) -> Iterator[datetime]:
        """Yield the beginnings of the steps; the first and the last one may reach beyond the period."""
        at = self.since.replace(hour=0) if self.step == "day" else self.since
        while at < self.until:
            yield at
            at += _STEPS[self.step]

    def label(self, bucket: datetime) -> str:
        """Name one of its steps."""
        return f"{bucket:%-d %b}" if self.step == "day" else f"{bucket:%-d %b %H:%M}"

    @property
    def words(self) -> str:
        """Name it in words."""
        if self.choice:
            return CHOICES[self.choice]
        if not self._is_of_days:
            return f"{self.since:%-d %b %H:%M} to {self.until:%-d %b %H:%M}"
        if self.until - self.since == _DAY:
            return f"{self.since:%-d %b %Y}"
        return f"{self.since:%-d %b %Y} to {self.last_day:%-d %b %Y}"

    @property
    def query(self) -> dict[str, str]:
        """What chooses it in an address."""
        if self.choice:
            return {"period": self.choice}
        if self._is_of_days:
            return {"since": f"{self.since:%Y-%m-%d}", "until": f"{self.last_day:%Y-%m-%d}"}
        return {"since": f"{self.since:%Y-%m-%dT%H:%M}", "until": f"{self.until:%Y-%m-%dT%H:%M}"}

    @property
    def last_day(self) -> datetime:
        """A moment of the last day that is part of it."""
        return self.until - timedelta(seconds=1)

    @property
    def _is_of_days(self) -> bool:
        return not any(at.hour for at in (self.since, self.until))


def choose(asked: Mapping[str, str], now: datetime, default: str = "30d") -> Period:
    """Read the period from the parameters of an address.

    Args:
        asked: `period`, one of `CHOICES`; or `since` and `until`, ISO days or moments, the day `until` included.
        now: The current hour or day is part of the period.
        default: Of `CHOICES`, where nothing is asked.

    Raises:
        PeriodError: What is asked for is no period.
    """
    if asked.get("since") or asked.get("until"):
        since, until = _asked(asked, now)
        return _whole(since, until, "")
    choice = asked.get("period") or default
    if choice not in _LENGTHS:
        raise PeriodError(f"there is no period {choice!r}: choose one of {', '.join(CHOICES)}, or since=2026-01-31")
    # So many hours or days that the present one is one of them.
    until = Buckets.over(now - _LENGTHS[choice], now).until
    return _whole(until - _LENGTHS[choice], until, choice)


def _asked(asked: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    since, until = asked.get("since", ""), asked.get("until", "")
    last = _moment(until, "until") if until else now
    if until and len(until) == len("2026-01-31"):
        last += timedelta(days=1)
    first = _moment(since, "since") if since else last - _LENGTHS["30d"]
    if first >= last:
        raise PeriodError("the period ends before it begins")
    if last - first > _LONGEST:
        raise PeriodError("a period may have three years at most")
    return first, last


def _moment(text: str, name: str) -> datetime:
    found: datetime | None
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        found = None
    if found is None or found.year not in _YEARS:
        raise PeriodError(f"{name}={text!r} is no day: write {name}=2026-01-31")
    return found


def _whole(since: datetime, until: datetime, choice: str) -> Period:
    read = Buckets.over(since, until)
    return Period(read.since, read.until, read.grain, choice)

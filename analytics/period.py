"""Whole hours or whole days in UTC, for that is what roll-ups know."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from analytics.bound_times import second_of

Grain = Literal["hour", "day"]

_STEPS: Final[dict[Grain, timedelta]] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_LONGEST_BY_HOUR: Final = timedelta(days=8)
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Within what a ClickHouse DateTime can be, with room."""


@dataclass(frozen=True, slots=True)
class Period:
    """Whole buckets of roll-ups: [since, until).

    Attributes:
        since: Start of the first hour or day.
        until: End of the last one.
        grain: What is read: hours, or days where the period is longer than eight of them.
    """

    since: datetime
    until: datetime
    grain: Grain

    @classmethod
    def over(cls, since: datetime | None, until: datetime | None) -> "Period":
        """Return the smallest period that covers [since, until).

        Args:
            since: First moment; None: the beginning.
            until: First moment after it; None: now, with the hour or the day that has not ended yet.

        Raises:
            ValueError: A time has no zone.
        """
        first = _within(_FIRST if since is None else since)
        last = _within(datetime.now(UTC) if until is None else until)
        grain: Grain = "hour" if last - first <= _LONGEST_BY_HOUR else "day"
        return cls(_down(first, grain), max(_up(last, grain), _down(first, grain)), grain)

    @property
    def bounds(self) -> dict[str, str]:
        """The parameters `since` and `until` of a named query."""
        return {"since": second_of(self.since), "until": second_of(self.until)}


def _within(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a period needs times with a zone")
    return min(max(at.astimezone(UTC), _FIRST), _LAST)


def _down(at: datetime, grain: Grain) -> datetime:
    return at - (at - _FIRST) % _STEPS[grain]


def _up(at: datetime, grain: Grain) -> datetime:
    whole = _down(at, grain)
    return whole if whole == at else whole + _STEPS[grain]

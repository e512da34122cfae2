"""The two periods that are compared: whole hours, or whole days where one of them is long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from analytics.period import Grain, Period

_USUAL: Final = timedelta(days=7)
_STEPS: Final[dict[Grain, timedelta]] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


def whole_period(now: datetime, since: datetime | None, until: datetime | None, usual: timedelta) -> Period:
    """Return a period; one without an end ends with the last hour or day that is over.

    Args:
        now: With a time zone.
        since: Its hour or day is the first; None: the usual time before the end.
        until: Its hour or day is the last, where it has begun.
        usual: How long a period is that has no beginning.

    Raises:
        ValueError: No hour or day of it is over, or a time has no zone.
    """
    end = until or now
    begin = since or end - usual
    return _snapped(begin, end, Period.over(begin, end).grain, is_over=until is None)


def compared_periods(
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    versus_since: datetime | None = None,
    versus_until: datetime | None = None,
) -> tuple[Period, Period]:
    """Return the earlier period and the later one; both in days where one is longer than roll-ups have hours for.

    Args:
        now: With a time zone.
        since: Begin of the later period; None: seven days before its end.
        until: Its end; None: the last hour or day that is over is its last.
        versus_since: Begin of the earlier period; None: it is as long as the later one.
        versus_until: Its end; None: where the later one begins.

    Raises:
        ValueError: A period is empty, or a time has no zone.
    """
    if any(one is not None and one.tzinfo is None for one in (since, until, versus_since, versus_until)):
        raise ValueError("a period needs times with a zone")
    end = until or now
    begin = since or end - _USUAL
    other_end = versus_until or begin
    other_begin = versus_since or other_end - (end - begin)
    asked = [Period.over(begin, end), Period.over(other_begin, other_end)]
    grain: Grain = "day" if "day" in {one.grain for one in asked} else "hour"
    after = _snapped(begin, end, grain, is_over=until is None)
    if versus_until is None:
        other_end = after.since
    before = _snapped(min(other_begin, other_end), other_end, grain, is_over=False, may_be_empty=versus_since is None)
    if versus_since is None:
        before = replace(before, since=before.until - (after.until - after.since))
    return before, after


def _snapped(since: datetime, until: datetime, grain: Grain, *, is_over: bool, may_be_empty: bool = False) -> Period:
    begin, end = _down(since, grain), _down(until, grain)
    if end != until and not is_over:
        end += _STEPS[grain]
    if end <= begin and not may_be_empty:
        raise ValueError(f"from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} there is no whole {grain}")
    return Period(begin, end, grain)


def _down(at: datetime, grain: Grain) -> datetime:
    whole = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return whole if grain == "hour" else whole.replace(hour=0)

"""Periods that roll-ups know."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from analytics.period import Period

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def test_hours_are_whole_and_those_at_both_ends_are_in_it():
    found = Period.over(NOON + timedelta(minutes=59), NOON + 2 * HOUR + timedelta(microseconds=1))
    assert found == Period(NOON, NOON + 3 * HOUR, "hour")


def test_what_is_whole_stays_as_it_is():
    assert Period.over(NOON, NOON + HOUR) == Period(NOON, NOON + HOUR, "hour")


@pytest.mark.parametrize(("days", "grain"), [(8, "hour"), (8.001, "day"), (400, "day")])
def test_more_than_eight_days_are_read_by_day(days, grain):
    assert Period.over(NOON, NOON + timedelta(days=days)).grain == grain


def test_days_are_those_of_utc():
    ahead = timezone(timedelta(hours=14))
    found = Period.over(datetime(2026, 3, 1, 1, tzinfo=ahead), datetime(2026, 3, 20, 15, tzinfo=ahead))
    assert found == Period(datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 21, tzinfo=UTC), "day")


def test_without_an_end_the_hour_that_has_not_ended_is_in_it():
    now = datetime.now(UTC)
    found = Period.over(now - HOUR, None)
    assert found.grain == "hour"
    assert found.until > now
    assert found.until - found.since in {2 * HOUR, 3 * HOUR}


def test_without_a_start_it_begins_before_anything_was_written():
    found = Period.over(None, NOON)
    assert (found.since.year, found.until, found.grain) == (1970, datetime(2026, 3, 11, tzinfo=UTC), "day")


def test_it_stays_within_what_clickhouse_can_write_down():
    found = Period.over(datetime(1900, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, tzinfo=UTC))
    assert (found.since.year, found.until.year) == (1970, 2100)


def test_an_end_before_the_start_is_an_empty_period():
    found = Period.over(NOON, NOON - 5 * HOUR)
    assert found.since == found.until


def test_a_time_needs_a_zone():
    with pytest.raises(ValueError, match="zone"):
        Period.over(datetime(2026, 3, 1), None)  # noqa: DTZ001 - what is refused

"""Which whole hours or days are compared."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.change.periods import compared_periods, whole_period

NOW = datetime(2026, 11, 20, 14, 25, tzinfo=UTC)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_the_last_seven_days_and_the_seven_before_are_compared_up_to_the_last_whole_hour():
    before, after = compared_periods(NOW)
    assert (after.since, after.until, after.grain) == (at(13, 14), at(20, 14), "hour")
    assert (before.since, before.until, before.grain) == (at(6, 14), at(13, 14), "hour")


def test_a_month_is_compared_in_whole_days_of_the_same_number():
    before, after = compared_periods(NOW, since=NOW - timedelta(days=30))
    assert (after.until, after.grain) == (at(20), "day")
    assert after.until - after.since == before.until - before.since == timedelta(days=30)
    assert before.until == after.since


def test_named_ends_are_within_the_periods():
    before, after = compared_periods(NOW, at(10, 3, 10), at(11, 4, 1), at(2), at(3))
    assert (after.since, after.until) == (at(10, 3), at(11, 5))
    assert (before.since, before.until) == (at(2), at(3))


def test_both_are_in_days_where_one_is_long():
    before, after = compared_periods(NOW, at(18), at(19), at(1), at(15))
    assert {before.grain, after.grain} == {"day"}


def test_an_earlier_end_alone_keeps_the_length():
    before, _ = compared_periods(NOW, at(18), at(19), versus_until=at(5))
    assert (before.since, before.until) == (at(4), at(5))


def test_an_empty_period_is_refused():
    with pytest.raises(ValueError, match="no whole hour"):
        compared_periods(NOW, at(18), at(17))
    with pytest.raises(ValueError, match="no whole hour"):
        compared_periods(NOW, at(18), at(19), at(3), at(2))
    with pytest.raises(ValueError, match="zone"):
        compared_periods(NOW, datetime(2026, 11, 1))  # noqa: DTZ001 - what is refused


def test_a_single_period_ends_where_hours_or_days_are_over():
    assert whole_period(NOW, None, None, timedelta(days=30)).until == at(20)
    assert whole_period(NOW, at(20), None, timedelta(days=30)).until == at(20, 14)

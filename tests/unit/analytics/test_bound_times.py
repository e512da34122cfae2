"""Moments in queries: in UTC whatever zone they come in, rounded down, and never without a zone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from analytics.bound_times import microsecond_of, second_of
from analytics.period import Period

AT = datetime(2026, 3, 1, 0, 30, 59, 999_999, tzinfo=timezone(timedelta(hours=2)))


def test_moments_are_written_in_utc_and_rounded_down():
    assert second_of(AT) == "2026-02-28 22:30:59"
    assert microsecond_of(AT) == "2026-02-28 22:30:59.999999"
    assert microsecond_of(AT.replace(microsecond=0)) == "2026-02-28 22:30:59.000000"


@pytest.mark.parametrize("written", [second_of, microsecond_of])
def test_a_moment_without_a_zone_is_refused(written):
    with pytest.raises(ValueError, match="zone"):
        written(AT.replace(tzinfo=None))


def test_the_bounds_of_a_period_are_its_first_moment_and_the_first_after_it():
    period = Period.over(datetime(2026, 3, 1, 5, 30, tzinfo=UTC), datetime(2026, 3, 1, 7, tzinfo=UTC))
    assert period.bounds == {"since": "2026-03-01 05:00:00", "until": "2026-03-01 07:00:00"}

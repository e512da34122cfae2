"""Periods: what an address chooses, in whole steps that include the present one."""

from dataclasses import astuple
from datetime import UTC, datetime, timedelta

import pytest

from analytics.period import Period as Buckets
from tierstream.dashboard.period import CHOICES, PeriodError, choose

NOW = datetime(2026, 3, 31, 14, 37, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("choice", "hours", "grain", "step", "steps"),
    [("24h", 24, "hour", "hour", 24), ("7d", 168, "hour", "day", 8), ("30d", 720, "day", "day", 30)],
)
def test_a_choice_ends_with_the_present_hour_or_day_and_is_that_long(choice, hours, grain, step, steps):
    period = choose({"period": choice}, NOW)
    buckets = list(period.buckets())
    assert (period.grain, period.step, len(buckets)) == (grain, step, steps)
    assert period.until - period.since == timedelta(hours=hours)
    assert buckets[0] <= period.since
    assert buckets[-1] <= NOW < period.until
    assert period.since - period.before == period.until - period.since
    assert period.query == {"period": choice}


def test_a_period_is_snapped_as_the_reports_snap_it():
    for length in (timedelta(hours=3), timedelta(days=8), timedelta(days=8, hours=1)):
        period = choose({"since": (NOW - length).isoformat()}, NOW)
        assert (period.since, period.until, period.grain) == astuple(Buckets.over(NOW - length, NOW))


def test_a_day_alone_is_called_by_its_name():
    period = choose({"since": "2026-03-10", "until": "2026-03-10"}, NOW)
    assert (period.words, period.grain) == ("10 Mar 2026", "hour")
    assert choose(period.query, NOW) == period


def test_days_are_whole_and_the_last_one_is_part_of_it():
    period = choose({"since": "2026-03-01", "until": "2026-03-10"}, NOW)
    assert (period.since, period.until) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC))
    assert choose(period.query, NOW) == period
    assert period.words == "1 Mar 2026 to 10 Mar 2026"


def test_a_moment_begins_with_its_hour_and_its_address_leads_back_to_it():
    period = choose({"since": "2026-03-31T13:40"}, NOW)
    assert (period.since.hour, period.until.hour, period.grain) == (13, 15, "hour")
    assert choose(period.query, NOW) == period


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"period": "9d"}, "there is no period '9d'"),
        ({"since": "yesterday"}, "since='yesterday' is no day"),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "ends before it begins"),
        ({"since": "1990-01-01"}, "three years at most"),
        ({"since": "0001-01-01T00:00+23:59", "until": "0001-01-02"}, "no day"),
        ({"since": "9999-12-31", "until": "9999-12-31"}, "no day"),
        ({"until": "0001-01-01"}, "no day"),
    ],
)
def test_what_is_no_period_is_said_in_words(asked, says):
    with pytest.raises(PeriodError, match=says):
        choose(asked, NOW)


def test_an_unknown_parameter_changes_nothing():
    assert choose({"model": "x"}, NOW) == choose({}, NOW)
    assert choose({}, NOW).choice in CHOICES
    assert NOW - choose({}, NOW).since < timedelta(days=30)

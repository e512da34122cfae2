"""Periods: what an address chooses, in whole steps that include the present one."""

from datetime import UTC, datetime, timedelta

import pytest

from tierstream.dashboard.period import CHOICES, PeriodError, choose

NOW = datetime(2026, 3, 31, 14, 37, 12, tzinfo=UTC)


@pytest.mark.parametrize(("choice", "grain", "steps"), [("24h", "hour", 24), ("7d", "day", 7), ("30d", "day", 30)])
def test_a_choice_ends_with_the_present_step_and_has_so_many(choice, grain, steps):
    period = choose({"period": choice}, NOW)
    buckets = list(period.buckets())
    assert (period.grain, len(buckets)) == (grain, steps)
    assert buckets[-1] <= NOW < period.until
    assert period.since - period.before == period.until - period.since
    assert period.query == {"period": choice}


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

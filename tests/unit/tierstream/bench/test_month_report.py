"""What a month came to, between the changes of the world."""

import pytest
from support.month_figures import a_day, a_run, month_report

from tierstream.bench.month_report import Change, Verified, phases_of


def test_the_days_between_two_changes_are_one_phase_and_all_of_them_come_last():
    phases = month_report().phases
    assert [(phase.first, phase.last) for phase in phases] == [(1, 1), (2, 2), (3, 3), (1, 3)]
    of_second = phases[1].runs
    assert (of_second["off"].right, of_second["on"].right, of_second["on"].right_in_the_end) == (0.5, 0.7, 0.8)
    whole = phases[-1].runs
    assert (whole["off"].right, whole["off"].usd_per_1000) == (round(17 / 30, 4), 2.0)


def test_changes_on_one_day_are_one_cut():
    run = a_run("off", a_day(1, 8, "0.01"), a_day(2, 8, "0.01"))
    changes = [Change(day=2, what="one"), Change(day=2, what="another"), Change(day=1, what="the first")]
    assert [(phase.first, phase.last) for phase in phases_of([run], changes)] == [(1, 1), (2, 2), (1, 2)]


def test_the_budget_is_what_a_request_cost_without_the_loop():
    report = month_report()
    assert report.budget_usd_per_request == report.runs[0].usd_per_request == 0.002


@pytest.mark.parametrize(
    "more", [{"missing": 1}, {"duplicates": 1}, {"verified": Verified(ok=False, violated={"lost": 1})}]
)
def test_a_run_that_lost_or_doubled_something_is_not_sound(more):
    assert month_report().is_sound
    assert not month_report(**more).is_sound

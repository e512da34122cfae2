"""Percentiles by nearest rank, and the plan of an open loop."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierstream.bench.distribution import Distribution, nearest_rank, planned_times

VALUES = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1)
RATES = st.floats(min_value=0.1, max_value=10_000)


def test_percentiles_of_a_hundred_values_are_their_ranks():
    assert Distribution.of(range(100, 0, -1)) == Distribution(p50=50, p95=95, p99=99, max=100)


def test_a_single_value_is_every_percentile():
    assert Distribution.of([7.0]) == Distribution(p50=7, p95=7, p99=7, max=7)


def test_of_no_values_there_is_no_distribution():
    assert Distribution.of([]) is None


@given(VALUES, st.floats(min_value=0, max_value=1))
def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(values, share):
    ranked = sorted(values)
    found = nearest_rank(ranked, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) <= max(0, math.ceil(share * len(values)) - 1)


@given(VALUES)
def test_percentiles_rise(values):
    found = Distribution.of(values)
    assert found.p50 <= found.p95 <= found.p99 <= found.max


@given(st.floats(min_value=0, max_value=1e6), RATES, st.floats(min_value=0.1, max_value=10))
def test_requests_of_an_open_loop_are_due_evenly_and_none_after_its_end(start, rate, seconds):
    due = list(planned_times(start, rate, min(seconds, 1000 / rate)))
    assert due[0] == start
    assert len(due) == max(1, round(rate * min(seconds, 1000 / rate)))
    assert all(abs(at - start - number / rate) < 1e-6 for number, at in enumerate(due))


@pytest.mark.parametrize(("rate", "seconds", "requests"), [(20, 2, 40), (0.1, 1, 1), (2.5, 2, 5)])
def test_an_open_loop_has_as_many_requests_as_fit(rate, seconds, requests):
    assert len(list(planned_times(0, rate, seconds))) == requests

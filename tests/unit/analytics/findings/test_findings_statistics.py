"""The tests behind findings: how often they err where there is nothing, and that they see what there is."""

import math
from random import Random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.findings.scene import money
from analytics.findings.statistics import (
    Share,
    holm,
    normal_tail,
    p_not_above,
    p_sign,
    p_worse,
    rated,
    relative_error,
    step_by_ranks,
    step_of_level,
)

counts = st.integers(1, 2_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.lists(st.floats(0, 1), max_size=30)


@given(counts, st.floats(0.1, 6))
def test_an_interval_holds_its_share(counted, z):
    share = Share(*counted)
    low, high = share.interval(z)
    assert 0 <= low <= share.value + 1e-12
    assert share.value - 1e-12 <= high <= 1


def test_an_interval_is_that_of_wilson():
    # Newcombe's example of 81 of 263, 1998.
    assert Share(81, 263).interval() == pytest.approx((0.2553, 0.3662), abs=1e-4)


@given(counts, counts)
def test_the_level_is_where_the_interval_of_the_difference_begins_to_hold_the_margin(new, old):
    p, margin = p_worse(Share(*new), Share(*old), 0.05), 0.05
    if new[0] / new[1] - old[0] / old[1] >= margin:
        assert p == 1
    elif 1e-12 < p < 1:
        z = NormalDist().inv_cdf(1 - p)
        share, other = Share(*new), Share(*old)
        above, below = share.interval(z)[1] - share.value, other.value - other.interval(z)[0]
        assert share.value - other.value + math.hypot(above, below) == pytest.approx(margin, abs=1e-3)


@given(counts, counts)
def test_more_bad_ones_never_make_it_surer_that_something_is_as_good(new, old):
    bad, n = new
    surer = p_worse(Share(bad, n), Share(*old), 0.05)
    assert p_worse(Share(min(n, bad + 1), n), Share(*old), 0.05) >= surer - 1e-9


def test_what_is_worse_by_the_margin_is_seldom_taken_to_be_as_good():
    draw = Random(1)
    for n, share in ((60, 0.02), (300, 0.05), (1_000, 0.1)):
        wrong = 0
        for _ in range(2_000):
            new, old = (Share(sum(draw.random() < at for _ in range(n)), n) for at in (share + 0.05, share))
            wrong += p_worse(new, old, 0.05) < 0.05
        assert wrong / 2_000 < 0.065


def test_what_is_as_good_is_found_with_enough_of_it():
    assert p_worse(Share(40, 1_000), Share(40, 1_000), 0.05) < 1e-6
    assert p_worse(Share(2, 50), Share(2, 50), 0.05) > 0.05


@given(counts, st.floats(0, 1))
def test_a_share_is_above_a_bound_only_if_its_interval_is(counted, bound):
    share = Share(*counted)
    p = p_not_above(share, bound)
    assert (p == 1) == (share.interval(0)[0] <= bound)


def test_failed_checks_count_in_the_proportion_in_which_judges_look():
    assert rated(answers=1_000, failed_checks=100, judged=90, judged_bad=9) == Share(19, 100)
    assert rated(answers=0, failed_checks=0, judged=0, judged_bad=0).n == 0


@given(st.integers(0, 200), st.integers(0, 200))
def test_signs_are_counted_as_tosses_of_a_coin(above, more):
    n = above + more
    p = p_sign(above, n)
    assert p == pytest.approx(1 - (p_sign(n - above + 1, n) if above else 0), abs=1e-9)
    assert p <= p_sign(max(0, above - 1), n) + 1e-12


def test_ten_of_ten_signs():
    assert p_sign(10, 10) == 1 / 1_024
    assert p_sign(0, 0) == 1


@given(levels)
def test_holm_never_makes_anything_surer_and_keeps_the_order(given_levels):
    adjusted = holm(given_levels)
    assert all(level <= now <= 1 for level, now in zip(given_levels, adjusted, strict=True))
    order = sorted(range(len(given_levels)), key=given_levels.__getitem__)
    assert [adjusted[at] for at in order] == sorted(adjusted)


def test_holm_is_that_of_1979():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def weeks(draw, days=30, step_at=None, factor=1.0, noise=0.2):
    """A series with quiet weekends, and its strata."""
    strata = [day % 7 >= 5 for day in range(days)]
    raised = [factor if step_at is not None and day >= step_at else 1.0 for day in range(days)]
    values = [
        (0.3 if weekend else 1.0) * more * draw.lognormvariate(0, noise)
        for weekend, more in zip(strata, raised, strict=True)
    ]
    return values, strata


def test_steps_are_seldom_seen_where_there_is_none():
    draw = Random(2)
    wrong = sum(step_by_ranks(*weeks(draw)).p < 0.05 for _ in range(1_000))
    assert wrong <= 50


def test_a_step_is_seen_where_it_is_through_weekends():
    draw = Random(3)
    seen = [step_by_ranks(*weeks(draw, step_at=18, factor=2)) for _ in range(200)]
    assert sum(step.p < 0.01 for step in seen) > 190
    assert sum(abs(step.at - 18) <= 1 for step in seen) > 170
    assert sum(step.ratio for step in seen) / 200 == pytest.approx(2, rel=0.05)


@given(st.lists(st.floats(0.1, 10), max_size=5))
def test_few_values_say_nothing_of_steps(values):
    step = step_by_ranks(values, [0] * len(values))
    assert step is None or step.p > 0.05


@given(st.integers(2, 40), st.floats(1.03, 10), st.data())
def test_a_price_is_seen_to_rise_on_its_day(days, factor, data):
    at = data.draw(st.integers(1, days - 1))
    step = step_of_level([0.25 * (factor if day >= at else 1) for day in range(days)], 0.005)
    assert step.at == at
    assert step.ratio == pytest.approx(factor)
    if factor > 1.5 and days > 2:
        assert step.p < 0.001


def test_a_price_that_stays_does_not_rise():
    assert step_of_level([0.25] * 30, 0.005).p > 0.5
    assert step_of_level([0.25], 0.005) is None
    assert step_of_level([0.5] * 10 + [0.25] * 10, 0.005).p > 0.5


def test_one_odd_day_is_no_rise_of_a_price():
    prices = [0.25] * 30
    prices[12] = 2.5
    assert step_of_level(prices, 0.005).p > 0.5


@given(st.lists(st.floats(0, 1e6), max_size=40))
def test_an_error_of_the_mean_is_a_share(values):
    assert 0 <= relative_error(values) <= math.sqrt(max(1, len(values)))


@given(st.floats(-1e6, 1e6), st.lists(st.floats(0, 1e6), max_size=40), st.lists(st.floats(-1e6, 1e6), max_size=2))
def test_an_amount_is_in_its_interval(usd, by_day, others):
    amount = money(usd, by_day, *others)
    assert amount.low <= usd <= amount.high


def test_the_tail_of_the_normal_distribution():
    assert normal_tail(1.959964) == pytest.approx(0.025, rel=1e-4)

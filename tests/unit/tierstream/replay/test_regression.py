"""Regressions with shrinkage: what they find, and what they say where they have seen nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierstream.replay.regression import Layout, Moments, expit, logistic, ridge

LAYOUT = Layout((0.01, 0.5), ((3, 1.0), (2, 4.0)))


def rows(seed, size):
    draw = np.random.default_rng(seed)
    numbers = np.stack([np.ones(size), draw.normal(size=size)], axis=1)
    return numbers, np.stack([draw.integers(0, 2, size), draw.integers(0, 2, size)], axis=1)


@given(st.integers(0, 1000), st.integers(1, 50))
def test_both_ways_of_applying_coefficients_agree(seed, size):
    numbers, codes = rows(seed, size)
    coefficients = np.random.default_rng(seed).normal(size=LAYOUT.size)
    assert LAYOUT.dot(coefficients, numbers, codes) == pytest.approx(LAYOUT.dense(numbers, codes) @ coefficients)


@given(st.integers(0, 1000))
def test_moments_of_parts_add_up(seed):
    numbers, codes = rows(seed, 40)
    dense, values = LAYOUT.dense(numbers, codes), numbers[:, 1] * 2
    whole = Moments.of(dense, values)
    parts = Moments.of(dense[:15], values[:15]) + Moments.of(dense[15:], values[15:])
    assert ridge(LAYOUT, parts) == pytest.approx(ridge(LAYOUT, whole))
    assert ridge(LAYOUT, whole - Moments.of(dense[:15], values[:15])) == pytest.approx(
        ridge(LAYOUT, Moments.of(dense[15:], values[15:]))
    )


def test_a_value_that_was_never_seen_changes_nothing():
    numbers, codes = rows(1, 200)
    found = ridge(LAYOUT, Moments.of(LAYOUT.dense(numbers, codes), 3 + numbers[:, 1]))
    assert found[2 + 2] == pytest.approx(0)
    assert found[1] == pytest.approx(1, abs=0.05)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6))
def test_shares_are_between_none_and_all_and_in_order(observed):
    layout = Layout((1.0,), ((len(observed), 0.01),))
    codes = np.arange(len(observed))[:, None]
    numbers = np.ones((len(observed), 1))
    count = np.array([a + b for a, b in observed], dtype=float)
    hits = np.array([a for a, _ in observed], dtype=float)
    dense = layout.dense(numbers, codes)
    shares = expit(dense @ logistic(layout, dense, count, hits))
    assert ((shares > 0) & (shares < 1)).all()
    # With so weak a penalty, who was hit more often of many has the larger share.
    for one in range(len(observed)):
        for other in range(len(observed)):
            if count[one] == count[other] and hits[one] > hits[other]:
                assert shares[one] > shares[other]

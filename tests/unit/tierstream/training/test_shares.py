"""Shares and their intervals."""

import pytest

from tierstream.training.shares import Share, wilson_interval


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # By the formula in Wilson (1927), and as statistics packages have them.
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (15, 50, 0.191, 0.4375),
        (1, 1000, 0.0002, 0.0056),
    ],
)
def test_the_interval_of_wilson(count, of, low, high):
    assert wilson_interval(count, of) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_of_nothing_there_is_no_share():
    share = Share.of_counts(0, 0)
    assert (share.share, share.low, share.high) == (None, None, None)

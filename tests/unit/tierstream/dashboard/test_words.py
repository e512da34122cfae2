"""Figures as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tierstream.dashboard.words import NONE, ago, change, count, money, share, span

NOW = datetime(2026, 3, 31, 14, 37, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, NONE),
        (0, "$0.00"),
        (Decimal("0.00021"), "$0.000210"),
        (Decimal("0.0123"), "$0.0123"),
        (Decimal("0.00000004"), "<$0.000001"),
        (Decimal("-0.00000004"), ">−$0.000001"),
        (Decimal("3.456"), "$3.46"),
        (Decimal("-3.456"), "−$3.46"),
        (1234.5, "$1,234.50"),
        (98_765.4, "$98,765"),
    ],
)
def test_money(value, written):
    assert money(value) == written


@pytest.mark.parametrize(
    ("ms", "written"),
    [
        (0, "0.0 ms"),
        (312.4, "312 ms"),
        (2210, "2.21 s"),
        (12_340, "12.3 s"),
        (185_000, "3 min 5 s"),
        (7_200_000, "2 h"),
    ],
)
def test_spans(ms, written):
    assert span(ms) == written


def test_shares_counts_and_changes():
    assert [share(value) for value in (None, 0, 1, 0.756, -0.2)] == [NONE, "0 %", "100 %", "75.6 %", "-20.0 %"]
    assert [count(value) for value in (12, 707_366, 12_345_678, 1.5)] == ["12", "707,366", "12.35 M", "1.50"]
    assert [change(3, 2), change(1, 2), change(1, 0), change(1, None)] == ["+50 %", "−50 %", None, None]
    assert ago(NOW - timedelta(seconds=12), NOW) == "12 s ago"
    assert ago(NOW - timedelta(hours=26), NOW) == "1 d 2 h ago"
    assert ago(NOW + timedelta(seconds=1), NOW) == "0 s ago"

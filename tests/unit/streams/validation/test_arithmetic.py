"""Sums that are written out."""

import pytest
from support.asked import asked

from streams.validation.arithmetic import miscalculates
from streams.validation.finished import Finished


def fails(content: str, question: str = "How much is it?") -> bool:
    return miscalculates(Finished(asked(question), content, "stop"))


@pytest.mark.parametrize(
    "content",
    [
        "24 × 18 = 442 bottles",
        "310 + 295 + 180 + 215 = 1,100",
        "3 × $19.99 + $24.50 = $94.47",
        "4.850 EUR + 960 EUR = 5.910 EUR",
        "2008 − 1931 = 87",
        "- Hotel: $320\n- Flight: $415\n- Cab: $60\n- Total: $895",
        "| Posten | Betrag |\n|---|---|\n| Holz | 320 € |\n| Farbe | 41,50 € |\n| **Summe** | **371,50 €** |",
    ],
)
def test_wrong(content):
    assert fails(content)


@pytest.mark.parametrize(
    "content",
    [
        "24 × 18 = 432",
        "1.200 × 3 = 3.600, and 1,200 * 3 = 3,600",
        "£1,140 × 12 / 52 = £263.08",
        "17 / 5 = 3 remainder 2",
        "100 / 3 = 33.3",
        "3x + 7 = 22, so x = 15 / 3",
        "2 (3 + 4) = 14, and 2^3 + 1 = 9",
        "1 + 2 + ... + 100 = 5050",
        "48,2 ± 2,064·6,1/5 = 48,2 ± 2,52",
        "8:47 + 2:15 = 11:02",
        "10 - 4 = 6 - 0",
        "5 / 0 = 7",
        "11 + 3 = 2 (mod 12)",
        "0.1 + 0.2 = 0.30000000000000004",
        "```\n1 + 1 = 3\n```",
        "Many write 2 + 3 × 4 = 20, which is wrong.",
        "- Hotel: $320\n- Discount: $20\n- Total: $300",
        "- North: 310\n- South: 295\n- Total: 605",
        "Total: 5",
    ],
)
def test_right_or_not_told(content):
    assert not fails(content)


def test_a_question_about_other_rules():
    assert not fails("1 + 1 = 10", "Add 1 and 1 in binary.")

"""Where a tier in between pays, and where it does not."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from analytics.leverage.quality import Evidence
from analytics.leverage.split import Flow, Kind, Split, propose

NONE = Flow(0, Decimal(0), Decimal(0))


def evidence(good: float, judged: int = 400) -> Evidence:
    return Evidence(5 * judged, 0, judged, good * judged)


def kind(lower: float, upper: float, middle_usd: str = "10", **other) -> Kind:
    flow = Flow(1000, Decimal(100), Decimal(middle_usd))
    direct, escalated = (NONE, flow) if other.get("escalated") else (flow, NONE)
    return Kind(
        other.get("query_type", "faq"), other.get("sure", 0.5), evidence(lower), evidence(upper), direct, escalated
    )


def proposed(*kinds: Kind, closes: tuple[float, float] = (0.7, 0.9), margin: float = 0.05) -> Split:
    return propose(kinds, margin=margin, closes=closes)


def test_a_cheap_model_that_closes_most_of_a_small_gap_pays():
    split = proposed(kind(0.8, 0.92))
    assert split.pays
    assert split.moved == 1000
    [part] = split.parts
    assert 0.87 < part.good.value < 0.92
    # Each request costs 1 cent instead of 10, and 11 of a hundred are paid for again above.
    assert split.saving.low < 79 < split.saving.high


def test_what_would_be_worse_by_more_than_the_margin_stays():
    split = proposed(kind(0.2, 0.95))
    assert not split.pays
    assert split.moved == 0
    assert split.reason == "where it would save, its answers would be worse by more than the margin"
    assert proposed(kind(0.2, 0.95), margin=0.5).pays


def test_a_model_that_costs_as_much_as_the_upper_tier_does_not_pay():
    split = proposed(kind(0.8, 0.92, "100"))
    assert not split.pays
    assert "not surely less than what is saved" in split.reason


def test_a_saving_that_is_not_worth_a_tier_does_not_pay():
    other = Kind("code", 0.2, evidence(0.1), evidence(0.95), Flow(90_000, Decimal(9000), Decimal(900)), NONE)
    split = proposed(kind(0.8, 0.92), other)
    assert not split.pays
    assert "5% of what the upper tier costs" in split.reason


def test_without_answers_of_the_upper_tier_there_is_nothing_to_split():
    assert proposed().reason == "the upper tier answered nothing"
    assert not proposed().pays


def test_after_a_bad_answer_below_the_middle_is_good_less_often():
    direct, escalated = proposed(kind(0.8, 0.92)), proposed(kind(0.8, 0.92, escalated=True))
    assert escalated.parts[0].is_escalated
    assert escalated.parts[0].good.value < direct.parts[0].good.value - 0.2


def test_less_evidence_makes_wider_intervals():
    known = proposed(kind(0.8, 0.92)).saving
    little = Kind("faq", 0.5, evidence(0.8, 20), evidence(0.92, 20), Flow(1000, Decimal(100), Decimal(10)), NONE)
    guessed = proposed(little, margin=0.2).saving
    assert guessed.high - guessed.low > known.high - known.low


def test_the_same_evidence_makes_the_same_proposal():
    assert proposed(kind(0.8, 0.92)) == proposed(kind(0.8, 0.92))


@settings(max_examples=examples(25))
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 400), st.one_of(st.none(), st.floats(0, 1)))
def test_shares_stay_shares_whatever_was_seen(lower, upper, judged, sure):
    flow = Flow(10, Decimal(1), Decimal("0.1"))
    split = proposed(Kind("", sure, evidence(lower, judged), evidence(upper, judged), flow, flow))
    for part in split.parts:
        assert 0 <= part.good.low <= part.good.value <= part.good.high <= 1
        assert part.good.value <= part.upper_good + 1e-9
        assert part.saving.low <= part.saving.value <= part.saving.high

"""What could move: only where the answers are measured to be as good, the limits hold, and it is not dearer."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.leverage.model_facts import ModelFacts, TokenRates
from analytics.leverage.moves import Ledgered, Move, Place, Traffic, best_moves
from analytics.leverage.quality import Evidence, difference, z_for

HERE, BESIDE, BELOW, ABOVE = Place(2, "a/large"), Place(2, "b/large"), Place(1, "b/small"), Place(3, "c/top")
GOOD = Evidence(10_000, 100, 4000, 3800)
MILLION = 1_000_000


def rates(price: str) -> TokenRates:
    return TokenRates(*(Decimal(price) * factor for factor in (1, Decimal("0.1"), 1, 4)))


def traffic(price: str, output: int = MILLION) -> Traffic:
    cost = rates(price).cost(fresh=4 * MILLION, cached=MILLION, written=0, output=Decimal(output))
    return Traffic(10_000, 4 * MILLION, MILLION, 0, output, cost)


def moves(margin: float = 0.05, discount: str = "0.2", **other) -> list[Move]:
    targets = other.get("targets", {BESIDE: (GOOD, "1")})
    evidence = {(HERE, "faq"): other.get("here", GOOD)} | {(place, "faq"): one for place, (one, _) in targets.items()}
    facts = {place.ref: ModelFacts(place.ref, rates(price)) for place, (_, price) in targets.items()}
    known = Ledgered({(HERE, "faq"): traffic("2"), **other.get("more", {})}, evidence, facts, other.get("fits", {}))
    return [move for move in best_moves(known, margin, Decimal(discount)) if move.source == HERE]


def test_what_is_as_good_and_cheaper_moves_whole_and_saves_the_difference_of_prices():
    [move] = moves()
    assert (move.target, move.standing, move.answers) == (BESIDE, "same tier", 10_000)
    assert move.cost_usd == traffic("2").cost_usd
    assert move.saving() == traffic("2").cost_usd / 2
    assert move.saving(Decimal("0.2")) == traffic("2").cost_usd * Decimal("0.6")
    assert move.quality.low < 0 < move.quality.high


def test_worse_by_more_than_the_margin_stays():
    worse = Evidence(10_000, 100, 4000, 3500)
    assert moves(targets={BESIDE: (worse, "1")}) == []
    assert len(moves(margin=0.15, targets={BESIDE: (worse, "1")})) == 1


def test_too_little_evidence_is_none():
    assert moves(targets={BESIDE: (Evidence(50, 0, 20, 20), "1")}) == []
    assert moves(here=Evidence(10_000, 100, 0, 0)) == []


def test_failed_checks_count_as_bad_answers():
    failing = Evidence(10_000, 1500, 4000, 3800)
    assert failing.good == pytest.approx(0.85 * 0.95)
    assert moves(targets={BESIDE: (failing, "1")}) == []


def test_a_dearer_one_is_taken_only_where_the_discount_makes_up_for_it():
    assert moves(targets={BESIDE: (GOOD, "2.4")})[0].saving() < 0
    assert moves(targets={BESIDE: (GOOD, "2.4")}, discount="0") == []
    assert moves(targets={BESIDE: (GOOD, "2.6")}) == []


def test_the_cheapest_is_taken_but_a_measured_one_before_one_that_needs_a_trial():
    [move] = moves(targets={BESIDE: (GOOD, "1.5"), ABOVE: (GOOD, "1"), BELOW: (GOOD, "0.1")})
    assert (move.target, move.standing) == (ABOVE, "higher tier")
    [move] = moves(targets={BELOW: (GOOD, "0.1")})
    assert (move.target, move.standing) == (BELOW, "lower tier")


def test_models_of_the_same_provider_are_no_leverage():
    assert moves(targets={Place(2, "a/other"): (GOOD, "0.1")}) == []


def test_only_what_is_within_the_limits_moves():
    [move] = moves(fits={("a/large", "b/large"): 0.75})
    assert move.answers == 7500
    assert move.cost_usd == traffic("2").cost_usd * Decimal("0.75")
    assert move.saving() == traffic("2").cost_usd * Decimal("0.375")


def test_a_target_whose_answers_are_longer_costs_more_and_shorter_ones_are_not_believed():
    [longer] = moves(more={(BESIDE, "faq"): traffic("1", output=2 * MILLION)})
    [shorter] = moves(more={(BESIDE, "faq"): traffic("1", output=MILLION // 2)})
    assert longer.target_usd == traffic("1", output=2 * MILLION).cost_usd
    assert shorter.target_usd == traffic("1").cost_usd


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0, 1), st.floats(0, 1), st.integers(1, 300))
def test_an_interval_holds_its_difference_and_is_wider_for_more_comparisons(ours, theirs, good, other, comparisons):
    mine, yours = Evidence(ours, 0, ours, good * ours), Evidence(theirs, 0, theirs, other * theirs)
    found = difference(mine, yours, z_for(comparisons))
    wider = difference(mine, yours, z_for(comparisons + 1))
    assert found is not None
    assert -1 <= wider.low <= found.low <= found.value <= found.high <= wider.high <= 1
    turned = difference(yours, mine, z_for(comparisons))
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_an_interval_is_that_of_the_books():
    """The example of Newcombe 1998, table II (a): 56 of 70 less 48 of 80, by his method 10."""
    found = difference(Evidence(70, 0, 70, 56), Evidence(80, 0, 80, 48), 1.959964)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)

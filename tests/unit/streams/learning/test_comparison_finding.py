"""What comparisons are said to show: intervals that hold whenever they are looked at, and the decision that follows."""

import random
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.learning.comparison import ERROR_RATE, Comparison, Costs, Finding, Tally, decide

RUNS, LOOKS = 1_000, 500
CHEAPER = Costs(candidate=Decimal("0.01"), incumbent=Decimal("0.02"))
DEARER = Costs(candidate=Decimal("0.02"), incumbent=Decimal("0.01"))
counts = st.integers(0, 400)
tallies = st.builds(Tally, counts, counts, counts)
Chances = Callable[[str], tuple[float, float]]
"""Of a win and of a loss, by query type."""


def finding(wins: int, ties: int, losses: int) -> Finding:
    return Finding(Tally(wins, ties, losses), alpha=0.025)


@given(tallies)
def test_an_interval_holds_what_was_seen_and_nothing_that_there_can_not_be(tally):
    found = Finding(tally, alpha=0.025)
    assert -1 <= found.low <= found.high <= 1
    if tally.difference is None:
        assert (found.low, found.high) == (-1, 1)
    else:
        assert found.low <= tally.difference <= found.high


@given(tallies)
def test_who_wins_and_who_loses_is_symmetric(tally):
    found = Finding(tally, alpha=0.025)
    mirrored = Finding(Tally(tally.losses, tally.ties, tally.wins), alpha=0.025)
    assert mirrored.low == pytest.approx(-found.high)
    assert mirrored.high == pytest.approx(-found.low)
    assert found.is_better() == mirrored.is_worse()


@given(tallies)
def test_a_further_win_or_loss_moves_the_interval_its_way(tally):
    found = Finding(tally, alpha=0.025)
    better = Finding(tally + Tally(wins=1), alpha=0.025)
    worse = Finding(tally + Tally(losses=1), alpha=0.025)
    assert better.low >= found.low - 1e-9
    assert worse.high <= found.high + 1e-9


@given(tallies, st.floats(-0.9, 0.9))
def test_better_and_worse_are_what_the_interval_says(tally, than):
    found = Finding(tally, alpha=0.025)
    if abs(found.low - than) > 1e-6:
        assert found.is_better(than) == (found.low > than)
    if abs(found.high - than) > 1e-6:
        assert found.is_worse(than) == (found.high < than)


def test_more_of_the_same_makes_it_narrower():
    few, many = finding(40, 40, 20), finding(400, 400, 200)
    assert many.high - many.low < (few.high - few.low) / 2
    assert many.is_better()
    assert not few.is_better()


@given(st.lists(tallies, max_size=40))
def test_all_chances_of_an_error_together_stay_below_the_one_that_is_stated(found):
    comparison = Comparison(tuple((f"type {n}", tally) for n, tally in enumerate(found)))
    assert comparison.overall.alpha + sum(one.alpha for _, one in comparison.by_type()) <= ERROR_RATE
    assert comparison.overall.tally.total == sum(tally.total for tally in found)


WORSE, ON_CODE = "it is worse by more than 10%", "it is worse by more than 10% on code"
NO_GAIN = "it is not cheaper, and not better by more than 10%"
MANY_TIES = {"faq": Tally(100, 800, 100)}


@pytest.mark.parametrize(
    ("types", "costs", "failed", "expected"),
    [
        ({}, CHEAPER, 0, ("not yet", "nothing was compared")),
        ({"faq": Tally(3, 4, 3)}, CHEAPER, 0, ("not yet", "more comparisons are needed")),
        ({"faq": Tally(300, 100, 100)}, DEARER, 0, ("switch", "it is better")),
        ({"faq": Tally(100, 100, 300)}, CHEAPER, 0, ("stay", WORSE)),
        (MANY_TIES, CHEAPER, 0, ("switch", "it is cheaper, and not worse by more than 10%")),
        (MANY_TIES, DEARER, 0, ("stay", NO_GAIN)),
        (MANY_TIES, Costs(None, None), 0, ("stay", NO_GAIN)),
        ({"faq": Tally(300, 100, 100)}, CHEAPER, 200, ("not yet", "it gave no answer in 200 of 700 tries")),
        ({"faq": Tally(600, 50, 50), "code": Tally(5, 20, 75)}, CHEAPER, 0, ("stay", ON_CODE)),
        (
            {"faq": Tally(900, 50, 50), "code": Tally(30, 400, 90)},
            CHEAPER,
            0,
            ("not yet", "it is worse on code, by how much is open"),
        ),
        ({"faq": Tally(600, 50, 50), "": Tally(0, 0, 75)}, CHEAPER, 0, ("stay", f"{WORSE} on no type")),
    ],
)
def test_the_decision(types, costs, failed, expected):
    assert decide(Comparison(tuple(types.items())), costs, failed=failed, margin=0.1) == expected


def simulated(seed: int, chances: Chances, looks: int = LOOKS) -> tuple[bool, Comparison]:
    """Run comparisons and look after each; say whether a difference was ever called, and what there is at the end."""
    draw = random.Random(seed)
    types: dict[str, Tally] = {}
    called = False
    for _ in range(looks):
        kind = draw.choice(("code", "faq", "summary"))
        win, loss = chances(kind)
        at = draw.random()
        outcome = Tally(wins=1) if at < win else Tally(losses=1) if at < win + loss else Tally(ties=1)
        types[kind] = types.get(kind, Tally()) + outcome
        comparison = Comparison(tuple(types.items()))
        touched = [comparison.overall, *(found for name, found in comparison.by_type() if name == kind)]
        called = called or any(found.is_better() or found.is_worse() for found in touched)
    return called, comparison


@pytest.mark.slow
@pytest.mark.parametrize(("win", "loss"), [(0.3, 0.3), (0.05, 0.05), (0.5, 0.5)], ids=["plain", "ties", "no ties"])
def test_of_a_thousand_equal_candidates_at_most_one_in_twenty_is_ever_called_different(win, loss):
    """Overall or on a query type, at any of 500 looks."""
    called = sum(simulated(seed, lambda _: (win, loss))[0] for seed in range(RUNS))
    assert called <= ERROR_RATE * RUNS, f"a difference was called in {called} of {RUNS} runs"


def test_an_equal_candidate_is_not_called_better():
    for seed in range(10):
        called, comparison = simulated(seed, lambda _: (0.3, 0.3))
        assert not called
        assert decide(comparison, DEARER, failed=0, margin=0.1)[0] != "switch"


def test_one_that_is_worse_on_code_and_better_elsewhere_is_reported_so():
    _, comparison = simulated(1, lambda kind: (0.1, 0.6) if kind == "code" else (0.55, 0.1), looks=600)
    found = dict(comparison.by_type())
    assert comparison.regressions() == comparison.regressions(0.1) == ["code"]
    assert found["faq"].is_better()
    assert found["summary"].is_better()
    assert decide(comparison, CHEAPER, failed=0, margin=0.1) == ("stay", ON_CODE)

"""Whether answers fail more often since a promotion."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.learning.failure_shares import Cell, FailureShare, anytime_interval, failure_shares, worsening

NO_MARGIN = 0.0
counts = st.integers(0, 400)


@st.composite
def cells(draw):
    decided = draw(st.integers(1, 1000))
    failed = draw(st.integers(0, decided))
    judged = draw(st.integers(0, decided - failed))
    return Cell(decided, failed, judged, draw(st.integers(0, judged)), draw(st.integers(0, decided)))


def test_a_look_stands_for_the_answers_of_its_cell():
    # A kind that fails often is looked at often: taken together without weights, 30 of 130 would have failed.
    often, seldom = Cell(100, 0, 100, 30, 0), Cell(900, 0, 30, 0, 0)
    found = failure_shares([often, seldom])
    assert found["failed by a judge"].share == pytest.approx(0.03)
    assert found["failed by a judge"].answers < 130
    assert found["failed checks"] == FailureShare(0.0, 1000)


def test_worse_is_said_with_both_intervals():
    before = [Cell(2000, 60, 200, 10, 4)]
    found = worsening(before, [Cell(600, 120, 60, 3, 2)], worse_by=0.02)
    assert found is not None
    assert found.kind == "failed checks"
    assert str(found).startswith("failed checks: 20.0% (")
    assert "before 3.0% (" in str(found)
    assert worsening(before, [Cell(600, 120, 60, 3, 2)], worse_by=0.5) is None
    assert worsening(before, [Cell(600, 18, 60, 3, 2)], NO_MARGIN) is None


def test_a_judge_and_users_can_tell_too():
    before = [Cell(2000, 0, 400, 20, 10)]
    judged = worsening(before, [Cell(500, 0, 200, 80, 2)], NO_MARGIN)
    complained = worsening(before, [Cell(500, 0, 100, 5, 80)], NO_MARGIN)
    assert judged is not None
    assert complained is not None
    assert (judged.kind, complained.kind) == ("failed by a judge", "complaints")


@pytest.mark.slow
def test_looking_at_every_answer_seldom_finds_what_is_not_there():
    """The share is 10 % all the time, and is looked at after each of 400 answers, in 400 runs."""
    random, alpha, wrong = Random(7), 0.05, 0
    for _ in range(400):
        hits = 0
        for n in range(1, 401):
            hits += random.random() < 0.1
            low, high = anytime_interval(FailureShare(hits / n, n), alpha)
            if not low <= 0.1 <= high:
                wrong += 1
                break
    assert wrong <= alpha * 400


@given(counts, counts)
def test_an_interval_holds_the_share_that_was_seen(hits, misses):
    n = hits + misses
    share = hits / n if n else 0.0
    low, high = anytime_interval(FailureShare(share, n), 0.01)
    assert 0 <= low <= share <= high <= 1
    if n:
        tenfold = anytime_interval(FailureShare(share, 10 * n), 0.01)
        assert tenfold[1] - tenfold[0] <= high - low + 1e-9


@given(st.lists(cells(), max_size=4))
def test_nothing_is_worse_than_itself(found):
    assert worsening(found, found, NO_MARGIN) is None
    assert worsening([], found, NO_MARGIN) is None
    assert worsening(found, [], NO_MARGIN) is None

"""A candidate against the active model on held-back requests, and when it may be promoted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.learning.held_back import HeldRequest, compare, too_low_probability, verdict
from streams.learning.tier_targets import KnownTiers

PRICES = (0.0001, 0.001, 0.01)
WRONG = 0.02
FEWEST = 20


def request(known, candidate, active, *, user="", weight=1.0, beliefs=(0.5, 0.2)):
    return HeldRequest(user, KnownTiers(*known), beliefs, PRICES, candidate, active, weight)


TOO_LOW_NOW = request((1, 2), 2, 1)
"""Tier 1 is known to be too low and tier 2 to do; the active model sends it to 1, the candidate to 2."""
tiers = st.integers(1, 3)
known = st.tuples(st.integers(0, 2), st.integers(1, 3)).filter(lambda pair: pair[0] < pair[1])
requests = st.builds(request, known, tiers, tiers, user=st.sampled_from(["", "ann", "bob"]), weight=st.floats(0.1, 20))


@pytest.mark.parametrize(
    ("known", "tier", "expected"),
    [
        ((1, 3), 1, 1.0),
        ((0, 2), 2, 0.0),
        ((0, 1), 3, 0.0),
        ((0, 3), 1, 0.5),
        # It needs more than tier 1: half of those do, and two in five of these more than tier 2.
        ((1, 3), 2, 0.4),
        ((0, 2), 1, (0.5 - 0.2) / 0.8),
    ],
)
def test_how_likely_a_tier_is_too_low(known, tier, expected):
    assert too_low_probability(KnownTiers(*known), (0.5, 0.2), tier) == pytest.approx(expected)


def test_a_wrong_answer_costs_more_than_a_dearer_tier():
    found = compare([TOO_LOW_NOW] * 30, WRONG)
    assert (found.requests, found.moved, found.untested) == (30, 30, 0)
    assert found.too_low == (0.0, 1.0)
    assert found.usd == pytest.approx((1.0, 20.1))
    assert found.is_better
    is_better, reason = verdict(found, FEWEST)
    assert is_better
    assert "-19.1" in reason


def test_a_dearer_tier_than_is_needed_is_worse():
    found = compare([request((0, 1), 3, 1)] * 30, WRONG)
    assert found.too_high == (1.0, 0.0)
    assert not found.is_better
    assert found.low > 0


def test_a_few_lucky_requests_prove_nothing():
    same = [request((0, 1), 1, 1)] * 200
    assert not compare([*same, *[TOO_LOW_NOW] * 2], WRONG).is_better
    assert compare([*same, *[TOO_LOW_NOW] * 20], WRONG).is_better


def test_many_requests_of_one_user_are_one_voice():
    same = [request((0, 1), 1, 1, user=f"user{n}") for n in range(50)]
    loud = [replace(TOO_LOW_NOW, user="loud")] * 40
    assert not compare([*same, *loud], WRONG).is_better
    assert compare([*same, *(replace(TOO_LOW_NOW, user=f"other{n}") for n in range(40))], WRONG).is_better


def test_too_few_requests_and_equal_models_are_refused_with_the_reason():
    assert verdict(compare([TOO_LOW_NOW] * 5, WRONG), FEWEST) == (
        False,
        "5 held-back requests with labels are too few: 20 are needed",
    )
    same = compare([request((0, 1), 1, 1)] * 30, WRONG)
    assert verdict(same, FEWEST)[1].startswith("it sends every held-back request to the same tier")
    assert not verdict(compare([], WRONG), FEWEST)[0]


def test_contradictory_labels_are_left_out():
    assert compare([request((2, 1), 2, 1)] * 3, WRONG).requests == 0


@given(st.lists(requests, max_size=12))
def test_a_model_is_never_better_than_itself(found):
    same = [replace(one, candidate=one.active) for one in found]
    result = compare(same, WRONG)
    assert (result.low, result.high) == (0, 0)
    assert not result.is_better


@given(st.lists(requests, min_size=1, max_size=12))
def test_what_nobody_has_tried_never_speaks_for_the_candidate(found):
    untested = [one for one in found if not one.known.is_known(one.candidate) or not one.known.is_known(one.active)]
    assert compare(untested, WRONG).low >= 0


@given(st.lists(requests, min_size=1, max_size=12))
def test_whoever_is_better_is_not_worse(found):
    forwards = compare(found, WRONG)
    backwards = compare([replace(one, candidate=one.active, active=one.candidate) for one in found], WRONG)
    assert not (forwards.is_better and backwards.is_better)
    assert forwards.low <= forwards.high


@given(known, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_tier_is_never_likelier_to_be_too_low(pair, one, other):
    beliefs = (max(one, other), min(one, other))
    likely = [too_low_probability(KnownTiers(*pair), beliefs, tier) for tier in (1, 2, 3)]
    assert likely == sorted(likely, reverse=True)
    assert all(-1e-9 <= p <= 1 + 1e-9 for p in likely)

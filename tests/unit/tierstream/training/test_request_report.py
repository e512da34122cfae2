"""Figures of decisions on labelled requests that were made by hand, so that each is known."""

import numpy as np
import pytest

from tierstream.training.labelled_requests import LabelledRequest
from tierstream.training.request_costs import ExpectedCosts
from tierstream.training.request_report import (
    Scores,
    area_under_curve,
    calibration_error,
    decide,
    draw_weights,
    labels_of,
    report,
)
from tierstream.training.simulated_voter import ASKED, RIGHT, simulate_votes

COSTS = (0.001, 0.002, 0.01)
WORDS = ["river", "stone", "cloud", "paper", "green"]


def labelled(number, tier, *, question=None, answered=False, **label):
    question = {"role": "user", "content": question or f"question {number}"}
    earlier = [question, {"role": "assistant", "content": "an answer"}] if answered else []
    return LabelledRequest.model_validate(
        {
            "request_id": f"r-{number}",
            "messages": [*earlier, question],
            "label": {"tier": tier, "query_type": "faq", **label},
        }
    )


def perfect(requests):
    needs = [(float(r.label.tier > 1), float(r.label.tier > 2)) for r in requests]
    return Scores(np.array(needs), np.array([str(r.label.query_type) for r in requests]))


def many(count=300):
    return [labelled(i, 1 + i % 3, language="en" if i % 2 else "de") for i in range(count)]


def judged(requests, scores, thresholds=0.45, draws=0):
    return report(requests, scores, thresholds, draw_weights(requests, draws, 0))


def group(found, by, name):
    return next(one for one in found.groups if (one.by, one.name) == (by, name))


def test_the_lowest_tier_that_too_few_need_more_than():
    needs = np.array([(0.44, 0.1), (0.45, 0.44), (0.9, 0.45), (0.3, 0.3), (0.5, 0.5)])
    assert decide(needs, 0.45).tolist() == [1, 2, 3, 1, 3]
    assert decide(needs, (0.2, 0.5)).tolist() == [2, 2, 2, 2, 3]


def test_known_figures():
    requests = [
        labelled(0, 1, language="en", slice="shop"),
        labelled(1, 1, acceptable=[1, 2], language="en", answered=True),
        labelled(2, 2, language="de", query_type="code"),
        labelled(3, 3, language="de", second=[2, [2], "code"]),
        labelled(4, 3, language="de", second=[3, [2, 3], "faq"]),
    ]
    needs = np.array([(0.9, 0.9), (0.6, 0.1), (0.2, 0.1), (0.8, 0.3), (0.95, 0.9)])
    found = judged(requests, Scores(needs, np.array(["faq", "faq", "code", "code", "faq"])))
    everything = group(found, "all", "all").figures
    # On tiers 3, 2, 1, 2 and 3.
    assert everything.right.value == pytest.approx(2 / 5)
    assert everything.too_low.value == pytest.approx(2 / 5)
    assert everything.too_high.value == pytest.approx(1 / 5)
    assert [getattr(everything, f"on_tier_{tier}").value for tier in (1, 2, 3)] == [0, 0, 0.5]
    assert everything.query_type.value == pytest.approx(4 / 5)
    # More than tier 1: 0.2, 0.8 and 0.95 beside 0.9 and 0.6.
    assert everything.auc_more_than_1.value == pytest.approx(3 / 6)
    # Tier 3: 0.3 and 0.9 beside 0.9, 0.1 and 0.1.
    assert everything.auc_tier_3.value == pytest.approx((2 + 2.5) / 6)
    assert everything.right.interval is None
    assert group(found, "language", "en").requests == 2
    assert group(found, "language", "de").figures.too_low.value == pytest.approx(2 / 3)
    assert group(found, "language", "en").figures.auc_more_than_1 is None
    assert group(found, "turns", "conversation").requests == group(found, "query_type", "code").requests == 1
    assert [one.name for one in found.groups if one.by == "slice"] == ["shop"]
    assert found.second.requests == 2
    assert found.second.same_tier.value == 0.5
    assert (found.second.figures.right.value, found.second.by_first.right.value) == (1, 0.5)


def test_a_perfect_classifier():
    requests = many()
    found = judged(requests, perfect(requests), draws=50)
    assert found.second is None
    for one in found.groups:
        for name in ("right", "on_tier_1", "on_tier_2", "on_tier_3", "auc_more_than_1", "auc_tier_3", "query_type"):
            figure = getattr(one.figures, name)
            assert (figure.value, figure.interval.low, figure.interval.high) == (1, 1, 1)
        for name in ("too_low", "too_high", "error_more_than_1", "error_tier_3"):
            assert getattr(one.figures, name).value == 0


def test_a_useless_classifier():
    requests = many()
    scores = Scores(np.tile([2 / 3, 1 / 3], (300, 1)), np.full(300, "other"))
    figures = judged(requests, scores, draws=200).groups[0].figures
    assert figures.auc_more_than_1.value == figures.auc_tier_3.value == pytest.approx(0.5)
    assert figures.error_more_than_1.value == pytest.approx(0)
    assert figures.query_type.value == 0
    assert (figures.on_tier_1.value, figures.on_tier_2.value, figures.on_tier_3.value) == (0, 1, 0)
    # About 1.96 standard errors of a share of a third on each side.
    assert figures.right.interval.low == pytest.approx(1 / 3 - 0.053, abs=0.02)
    assert figures.right.interval.high == pytest.approx(1 / 3 + 0.053, abs=0.02)


def test_the_area_counts_pairs_by_weight():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 60) / 6, rng.random(60) < 0.4
    times = rng.integers(0, 4, 60)
    again = np.repeat(np.arange(60), times)
    drawn = [(a > b) + (a == b) / 2 for a in scores[again][positive[again]] for b in scores[again][~positive[again]]]
    assert area_under_curve(times[None].astype(float), scores, positive).value == pytest.approx(np.mean(drawn))


def test_the_calibration_error_is_the_mean_gap_in_a_bin():
    weights, probabilities = np.ones((1, 4)), np.array([0.12, 0.18, 0.9, 1.0])
    found = calibration_error(weights, probabilities, np.array([False, True, True, False]))
    # 1 of 0.30 in one bin, 1 of 1.90 in the last.
    assert found.value == pytest.approx((0.7 + 0.9) / 4)


def test_requests_that_ask_the_same_are_drawn_together():
    requests = [labelled(i, 1, question=f"the same question {i % 2}") for i in range(10)]
    weights = draw_weights(requests, 20, 0)
    assert (weights[0] == 1).all()
    assert (weights[:, ::2] == weights[:, :1]).all()


def test_a_voter_who_is_asked_about_everything():
    requests = many(3000)
    labels, costs = labels_of(requests), np.tile(COSTS, (3000, 1))
    # All drafts are on tier 2, from where a vote reaches every tier.
    found = [*simulate_votes(labels, np.tile([0.9, 0.1], (3000, 1)), 0.45, costs, 0)]
    assert [(one.voter, one.share) for one in found] == [(voter, share) for voter in RIGHT for share in ASKED]
    for one in found:
        if one.share == 1:
            assert one.votes == 3000
            assert one.right == pytest.approx(one.voter, abs=0.03)
            # A wrong vote is too low for tier 3 and half of the time for tier 2.
            assert one.too_low == pytest.approx((1 - one.voter) / 2, abs=0.03)
            assert one.usd_per_1000 == pytest.approx(sum(COSTS) / 3 * 1000, rel=0.1)
        else:
            # All are as near to the boundary: no band holds some of them.
            assert (one.votes, one.half_width, one.right) == (0, None, pytest.approx(1 / 3))
            assert one.usd_per_1000 == pytest.approx(2)


def test_votes_are_asked_for_where_it_is_close_and_move_a_draft_by_one_tier():
    requests = [labelled(i, 3) for i in range(200)]
    needs = np.stack([np.linspace(0, 0.44, 200), np.zeros(200)], axis=1)
    found = [*simulate_votes(labels_of(requests), needs, 0.45, np.tile(COSTS, (200, 1)), 0)]
    for one in found:
        assert one.votes == one.share * 200
        # From tier 1 a vote leads to tier 2 only, whoever is right.
        assert (one.right, one.too_low) == (0, 1)
        assert one.usd_per_1000 == pytest.approx(1 + one.share)
    assert found[ASKED.index(0.1)].half_width == pytest.approx(0.45 - needs[180, 0])


def choose(wrong_usd, requests, needs):
    costs = np.tile(COSTS, (len(requests), 1))
    return ExpectedCosts(labels_of(requests), costs, wrong_usd, draw_weights(requests, 20, 0)).choose(needs, 0.45)


def unsure(count=3000):
    """Requests with probabilities that are true."""
    rng = np.random.default_rng(0)
    needs = np.sort(rng.random((count, 2)), axis=1)[:, ::-1]
    more = rng.random(count)
    tiers = 1 + (more < needs[:, 0]).astype(int) + (more < needs[:, 1])
    return [labelled(i, int(tier), question=f"{i} {WORDS[i % 5]}") for i, tier in enumerate(tiers)], needs


def test_the_dearer_a_wrong_answer_the_lower_the_boundary():
    requests, needs = unsure()
    found = [choose(wrong_usd, requests, needs) for wrong_usd in (0.0, 0.01, 0.02, 0.1, 10.0)]
    boundaries = [choice.boundary.thresholds[0] for choice in found]
    assert boundaries == sorted(boundaries, reverse=True)
    assert boundaries[0] == 0.95
    assert boundaries[0] > boundaries[2] > boundaries[-1] == 0.05
    too_low = [choice.boundary.too_low.value for choice in found]
    assert too_low == sorted(too_low, reverse=True)


def test_thresholds_are_where_the_next_tier_pays_for_itself():
    requests, needs = unsure(6000)
    choice = choose(0.02, requests, needs)
    # Up to tier 2 costs a dollar more for 1,000 and saves at most 20; up to tier 3 costs 8: from 8 / 20.
    assert choice.thresholds.thresholds[1] == pytest.approx(8 / 20, abs=0.06)
    assert choice.thresholds.thresholds[0] < choice.boundary.thresholds[0] < choice.thresholds.thresholds[1] + 0.06
    assert choice.thresholds.expected_usd_per_1000.value <= choice.boundary.expected_usd_per_1000.value
    others = {one.name: one for one in choice.others}
    assert others["settings' boundary"].thresholds == (0.45, 0.45)
    assert choice.boundary.expected_usd_per_1000.value <= others["settings' boundary"].expected_usd_per_1000.value
    for tier, cost in enumerate(COSTS, 1):
        assert others[f"all to tier {tier}"].calls_usd_per_1000.value == pytest.approx(cost * 1000)
    assert others["all to tier 3"].too_low.value == others["oracle"].too_low.value == 0
    assert others["oracle"].right.value == 1
    low, high = (getattr(others["oracle"].expected_usd_per_1000.interval, end) for end in ("low", "high"))
    assert low < others["oracle"].expected_usd_per_1000.value < high

"""The metrics of routing: cases computed by hand, invariants, folds and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierstream.training.evaluation import (
    NoGapError,
    Ranking,
    draw_metrics,
    interval,
    intervals,
    lead,
    oracle,
    random_metrics,
)
from tierstream.training.folds import deal_groups, deal_subjects, number_consecutively, passage_groups
from tierstream.training.threshold import pick_thresholds

# Ten prompts; the weaker model fails the last four, the stronger one none.
WEAK = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0], dtype=float)
STRONG = np.ones(10)
UP = np.arange(10.0)


def test_the_best_ranking_by_hand():
    found = Ranking(UP, WEAK, STRONG).metrics()
    # PGR rises by a quarter at each step up to 40 % and stays at 1.
    assert found.pgr == pytest.approx([0, 0.25, 0.5, 0.75, *[1] * 7])
    assert found.apgr == pytest.approx(0.1 * (0.25 + 0.5 + 0.75 + 6 + 0.5))
    assert (found.cpt50, found.cpt80) == pytest.approx((0.2, 0.32))
    # 95 % of a quality of 1 from 0.6: 0.35 of the 0.4 that are missing.
    assert found.share95 == pytest.approx(0.35)


def test_the_worst_ranking_by_hand():
    found = Ranking(-UP, WEAK, STRONG).metrics()
    assert found.pgr == pytest.approx([*[0] * 7, 0.25, 0.5, 0.75, 1])
    assert found.apgr == pytest.approx(0.1 * (0.25 + 0.5 + 0.75 + 0.5))
    assert (found.cpt50, found.cpt80, found.share95) == pytest.approx((0.8, 0.92, 0.95))


def test_a_curve_falls_where_only_the_weaker_model_is_right():
    share, quality = Ranking([3, 2, 1], [1, 0, 0], [0, 1, 1]).curve()
    assert share == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert quality == pytest.approx([1 / 3, 0, 1 / 3, 2 / 3])


def test_prompts_of_equal_score_count_as_routed_at_random():
    assert Ranking(np.ones(10), WEAK, STRONG).metrics() == random_metrics(WEAK, STRONG)
    found = random_metrics(WEAK, STRONG)
    assert (found.apgr, found.cpt50, found.cpt80) == pytest.approx((0.5, 0.5, 0.8))
    tied = Ranking([1, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 1]).metrics()
    assert tied.apgr == pytest.approx(0.5)


def test_a_full_curve_between_the_ten_percent_steps():
    weak, strong = np.array([0.0, *[1.0] * 19]), np.ones(20)
    found = Ranking(np.arange(20, 0, -1), weak, strong).metrics()
    assert found.pgr[1] == pytest.approx(1)
    assert found.share95 == pytest.approx(0)


def drawn_intervals(ranking, groups, draws, seed):
    return intervals([found for (found,) in draw_metrics([ranking], groups, draws, seed)])


@pytest.mark.parametrize(("weak", "strong"), [([1, 1], [1, 1]), ([1, 0], [0, 0]), ([0, 0], [0, 0])])
def test_without_a_gap_there_are_no_metrics(weak, strong):
    with pytest.raises(NoGapError):
        Ranking([1, 2], weak, strong).metrics()
    assert drawn_intervals(Ranking([1, 2], weak, strong), np.array([0, 1]), 20, 0) is None


@pytest.mark.parametrize("columns", [([], [], []), ([1], [1, 0], [1, 1])])
def test_columns_that_do_not_match(columns):
    with pytest.raises(ValueError, match="one entry"):
        Ranking(*columns)


OUTCOMES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=40).filter(
    lambda rows: sum(s for _, _, s in rows) > sum(w for _, w, _ in rows)
)


@given(rows=OUTCOMES)
def test_invariants(rows):
    scores, weak, strong = np.array(rows, dtype=float).T
    found, best = Ranking(scores, weak, strong).metrics(), oracle(weak, strong).metrics()
    worst = Ranking(weak - strong, weak, strong).metrics()
    assert worst.apgr - 1e-9 <= found.apgr <= best.apgr + 1e-9
    assert best.apgr >= 0.5 - 1e-9
    assert 0 <= found.cpt50 <= found.cpt80 <= 1
    assert best.share95 <= found.share95 + 1e-9
    assert Ranking(scores * 3 - 7, weak, strong).metrics() == found
    # What one order gains the opposite one loses.
    assert Ranking(-scores, weak, strong).metrics().apgr == pytest.approx(1 - found.apgr)


def test_weights_count_like_repeated_outcomes():
    rng = np.random.default_rng(0)
    scores, weak, strong = rng.integers(0, 5, 30), rng.integers(0, 2, 30), np.ones(30)
    times = rng.integers(0, 3, 30)
    repeated = Ranking(*(np.repeat(x, times) for x in (scores, weak, strong))).metrics()
    weighted = Ranking(scores, weak, strong).metrics(times.astype(float))
    assert weighted.pgr == pytest.approx(repeated.pgr)
    assert weighted.share95 == pytest.approx(repeated.share95)


def test_intervals_hold_the_figure_and_repeat_with_the_seed():
    rng = np.random.default_rng(1)
    weak = rng.integers(0, 2, 400).astype(float)
    ranking = Ranking(-weak + rng.normal(size=400), weak, np.ones(400))
    found = drawn_intervals(ranking, np.arange(400), 100, 3)
    assert found.apgr.low < ranking.metrics().apgr < found.apgr.high
    assert found == drawn_intervals(ranking, np.arange(400), 100, 3)
    one_group = drawn_intervals(ranking, np.zeros(400, dtype=int), 20, 3)
    assert one_group.apgr.low == pytest.approx(one_group.apgr.high)


def test_leads_are_drawn_in_pairs():
    rng = np.random.default_rng(2)
    weak, groups = rng.integers(0, 2, 600).astype(float), np.arange(600) // 2
    good, bad = -weak + rng.normal(size=600), rng.normal(size=600)
    rankings = [Ranking(scores, weak, np.ones(600)) for scores in (good, bad, good * 2)]
    one, other, same = (ranking.metrics() for ranking in rankings)
    drawn = draw_metrics(rankings, groups, 60, 0)
    found = lead(one, other, [(d[0], d[1]) for d in drawn])
    assert found.verdict == "better"
    assert found.interval.low < found.apgr == one.apgr - other.apgr < found.interval.high
    assert lead(other, one, [(d[1], d[0]) for d in drawn]).verdict == "worse"
    # Not one draw tells them apart, which intervals of each alone would not show.
    level = lead(one, same, [(d[0], d[2]) for d in drawn])
    assert (level.apgr, level.interval.low, level.interval.high, level.verdict) == (0, 0, 0, "no worse")
    assert intervals([d[0] for d in drawn]) == drawn_intervals(rankings[0], groups, 60, 0)
    assert lead(one, other, []) is None
    assert lead(one, other, [(one, other), (other, one)]).verdict == "no worse"
    assert lead(other, one, [(one, other), (other, one)]).verdict == "unclear"


def test_interval():
    found = interval(np.arange(1001))
    assert (found.low, found.high) == pytest.approx((25, 975))


PASSAGE = "it was the best of times it was the worst of times and so it went on"


def test_prompts_of_one_passage_are_one_group():
    prompts = ["a " + PASSAGE, "something else", PASSAGE + " b", "something else again"]
    assert passage_groups(prompts).tolist() == [0, 1, 0, 2]


def test_the_same_prompt_is_one_group_however_often_it_occurs():
    prompts = [PASSAGE, *["why?"] * 40, "b " + PASSAGE]
    assert passage_groups(prompts).tolist() == [0, *[1] * 40, 0]


def test_a_template_is_no_passage():
    assert len(set(passage_groups([f"{PASSAGE} {i}" for i in range(13)]).tolist())) == 13


def test_chains_of_passages_stay_small():
    words = [f"w{i}" for i in range(400)]
    prompts = [" ".join(words[i : i + 20]) for i in range(0, 380, 10)]
    assert np.bincount(passage_groups(prompts)).max() <= 12


@given(labels=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), folds=st.integers(2, 5))
def test_groups_and_subjects_stay_in_one_fold(labels, folds):
    groups = number_consecutively(labels)
    for dealt in (deal_groups(groups, folds, 0), deal_subjects(labels, folds, 0)):
        assert dealt.max() < folds
        assert all(len(set(dealt[groups == group].tolist())) == 1 for group in set(groups.tolist()))


def test_thresholds():
    rng = np.random.default_rng(0)
    gain = rng.random(2000)
    weak = (rng.random(2000) > gain).astype(float)
    ranking = Ranking(gain, weak, np.ones(2000))
    found = pick_thresholds(ranking, np.arange(2000), target=0.9, draws=100, seed=0)
    for threshold in (found.expected, found.cautious):
        up = gain >= threshold.score
        assert up.mean() == pytest.approx(threshold.strong_share)
        assert np.where(up, 1, weak).mean() == pytest.approx(threshold.quality)
        assert threshold.quality_interval.low < threshold.quality < threshold.quality_interval.high
    assert found.expected.quality == pytest.approx(0.9, abs=0.001)
    assert found.cautious.score < found.expected.score
    assert found.cautious.quality_interval.low >= 0.9 - 1e-9


def test_a_target_that_the_weaker_model_reaches_needs_no_call():
    found = pick_thresholds(Ranking(UP, WEAK, STRONG), np.arange(10), target=0.5, draws=20, seed=0).expected
    assert (found.strong_share, found.quality) == pytest.approx((0, 0.6))
    assert found.score > UP.max()

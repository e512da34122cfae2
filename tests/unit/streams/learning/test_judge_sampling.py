"""The rates of sampling: more looks where more fails, within bounds, and within a share of the spend."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from streams.learning.judge_sampling import JudgeSampling, SamplingBounds, upper_bound
from topics.learned import MOST_CELLS, JudgeRates

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOUNDS = SamplingBounds(sample_rate=0.1, min_rate=0.01, max_rate=0.5, max_spend_share=0.1)
RICH = SamplingBounds(sample_rate=0.1, min_rate=0.01, max_rate=0.5, max_spend_share=0.9)
"""Money is no object."""
CELL = (1, "groq/a", "faq")
verdicts = st.lists(st.booleans(), min_size=1, max_size=60)


def sampling(bounds: SamplingBounds = RICH, *failed: bool, cost: float = 0.0) -> JudgeSampling:
    made = JudgeSampling(bounds)
    for _ in range(len(failed) or 1):
        made.observe_answer(*CELL, 0.001)
    for one in failed:
        made.observe_verdict(*CELL, one, cost)
    return made


def rate_of(rates: JudgeRates, cell: tuple[int, str, str] = CELL) -> float:
    found = {(c.tier, c.model, c.query_type): c.rate for c in rates.cells}
    return found.get(cell, rates.others)


def test_before_anything_was_looked_at_the_rate_is_the_settings():
    rates = JudgeSampling(BOUNDS).rates(AT)
    assert (rates.others, rates.cells, rates.reason) == (0.1, (), "not looked at yet")
    assert rate_of(sampling().rates(AT)) == 0.1


def test_the_reason_says_what_was_counted():
    [cell] = sampling(RICH, *[True] * 12, *[False] * 48).rates(AT).cells
    assert (cell.tier, cell.model, cell.query_type) == CELL
    assert cell.reason.endswith("of 57 failed")  # of 60, the older ones count a little less
    assert cell.rate > 0.1


def test_what_never_fails_is_looked_at_least_and_what_always_fails_most():
    assert rate_of(sampling(RICH, *[False] * 400).rates(AT)) == RICH.min_rate
    assert rate_of(sampling(RICH, *[True] * 400).rates(AT)) == RICH.max_rate


@settings(max_examples=examples(100))
@given(verdicts, st.data(), st.sampled_from([BOUNDS, RICH]), st.sampled_from([0.0, 0.0001, 0.01]))
def test_one_more_failure_never_means_fewer_looks(failed, data, bounds, cost):
    at = data.draw(st.integers(0, len(failed) - 1))
    without, with_it = list(failed), list(failed)
    without[at], with_it[at] = False, True
    fewer, more = (rate_of(sampling(bounds, *one, cost=cost).rates(AT)) for one in (without, with_it))
    assert fewer <= more


cells = st.tuples(st.integers(1, 3), st.sampled_from(["a/x", "b/y"]), st.sampled_from(["faq", "code"]))
events = st.lists(st.tuples(cells, st.floats(0, 1), st.none() | st.booleans(), st.booleans()), max_size=80)


@settings(max_examples=examples(100))
@given(events, st.floats(0, 1), st.floats(0, 0.5), st.floats(0.5, 1), st.floats(0, 0.99))
def test_rates_stay_within_their_bounds(seen, sample_rate, least, most, share):
    bounds = SamplingBounds(sample_rate, least, most, share)
    made = JudgeSampling(bounds)
    for cell, cost, failed, critical in seen:
        made.observe_answer(*cell, cost)
        if failed is not None:
            made.observe_verdict(*cell, failed, cost, critical=critical)
    rates = made.rates(AT)
    for rate in (rates.others, *(cell.rate for cell in rates.cells)):
        assert 0 <= rate <= most
        if "cut" not in rates.reason:
            assert rate >= min(least, rates.others) - 1e-5


@pytest.mark.parametrize("critical_share", [0.0, 0.02])
@pytest.mark.parametrize("judge_usd", [0.0004, 0.002])
def test_judges_keep_to_their_share_of_the_spend(critical_share, judge_usd):
    """20,000 requests of cells that fail differently often, at a price at which all of them can't be looked at."""
    chance = random.Random(7)
    fails = {(1, "groq/a", "faq"): 0.01, (1, "groq/a", "code"): 0.4, (2, "openai/b", "code"): 0.1}
    prices = {1: 0.0002, 2: 0.002}
    made, spent, judged = JudgeSampling(BOUNDS), 0.0, 0.0
    looks = dict.fromkeys(fails, 0)
    rates = made.rates(AT)
    for n in range(20_000):
        if n % 100 == 0:
            rates = made.rates(AT)
        cell = chance.choice(list(fails))
        made.observe_answer(*cell, prices[cell[0]])
        spent += prices[cell[0]]
        critical = chance.random() < critical_share
        if critical or chance.random() < rate_of(rates, cell):
            looks[cell] += not critical
            judged += judge_usd
            made.observe_verdict(*cell, chance.random() < fails[cell], judge_usd, critical=critical)
    share = judged / (spent + judged)
    assert share <= BOUNDS.max_spend_share
    assert share >= BOUNDS.max_spend_share / 2, "what may be spent is made use of"
    assert looks[1, "groq/a", "code"] > 3 * looks[1, "groq/a", "faq"]


def test_critical_paths_that_take_the_whole_share_leave_nothing_to_samples():
    made = JudgeSampling(BOUNDS)
    for _ in range(100):
        made.observe_answer(*CELL, 0.001)
        made.observe_verdict(*CELL, True, 0.001, critical=True)
    rates = made.rates(AT)
    assert (rates.others, rate_of(rates)) == (0, 0)
    assert rates.reason == "not looked at yet, cut to 0% by the judges' share of the spend"


def test_what_was_long_ago_counts_little():
    forgiven = sampling(RICH, *[True] * 400, *[False] * 4000).rates(AT)
    assert rate_of(forgiven) < 0.1 * rate_of(sampling(RICH, *[True] * 400).rates(AT))


def test_it_holds_a_bounded_number_of_cells():
    made = JudgeSampling(RICH)
    for n in range(MOST_CELLS + 500):
        made.observe_verdict(1, f"p/m{n}", "faq", False, 0.001)
    rates = made.rates(AT)
    assert len(rates.cells) == MOST_CELLS
    assert rates.cells[-1].model == f"p/m{MOST_CELLS + 499}"


def test_weights_never_leave_what_a_float_holds(monkeypatch):
    monkeypatch.setattr("streams.learning.judge_sampling._FADES_ANSWERS", 1.0)
    made = JudgeSampling(BOUNDS)
    for n in range(3000):
        made.observe_answer(*CELL, 0.001)
        if n % 2:
            made.observe_verdict(*CELL, n % 4 == 1, 0.0001)
    assert 0 < rate_of(made.rates(AT)) <= BOUNDS.max_rate


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_the_bound_is_a_share_above_what_was_seen(fails, passes):
    bound = upper_bound(fails, fails + passes)
    assert (fails + 1) / (fails + passes + 20) <= bound <= 1

"""What requests are expected to cost: exactly what they cost where nothing changes, and what follows where it does."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.replayed_requests import ASKED_MS, MODELS, call, decision, line, recorded, replayed

from streams.config.context_windows import ContextWindows
from streams.config.settings import load
from tierstream.replay.decide import Decided, Replayed
from tierstream.replay.estimate import estimate
from tierstream.replay.plan import Plan, Prices
from tierstream.replay.report import changed_requests, policy_report


@pytest.fixture(scope="module")
def base():
    return load()


def planned(base, **overrides):
    then = load(overrides=overrides) if overrides else base
    return Plan(base, then, ContextWindows(then))


def on_tier(number, tier, *, usd="0.001", tokens=(100, 50), scores=(0.9, 0.08, 0.02), outcome="ok", in_batch=False):
    name = f"r{number}"
    made = call(name, tier, usd=usd, tokens=tokens, in_batch=in_batch)
    return recorded(name, [line(name, tier, outcome)], [made], tier=tier, scores=scores)


def priced(base, tier, tokens):
    rates = Prices(base).rates(MODELS[tier], ASKED_MS, tokens[0])
    return str((tokens[0] * rates.input + tokens[1] * rates.output) / Decimal(1_000_000))


costs = st.decimals(0, 10, places=9, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from((1, 2, 3)), costs), min_size=1, max_size=30))
def test_what_goes_as_it_went_costs_what_it_cost(base, found):
    traffic = [replayed(on_tier(n, tier, usd=str(usd))) for n, (tier, usd) in enumerate(found)]
    told = estimate(traffic, planned(base), {})
    paid = float(sum(usd for _, usd in found))
    assert told.leaves.all()
    assert told.usd.value == pytest.approx(paid)
    assert told.usd.low == pytest.approx(told.usd.high)
    report = policy_report(traffic, told, ())
    assert (report.changed, report.extrapolated) == (0, 0)
    assert report.p95_ms[0] == report.p95_ms[1]
    assert list(changed_requests(traffic, told)) == []


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 2000)), min_size=1, max_size=20))
def test_another_price_bills_the_recorded_tokens_anew(base, lengths):
    traffic = [replayed(on_tier(n, 2, tokens=tokens)) for n, tokens in enumerate(lengths)]
    told = estimate(traffic, planned(base, prices={MODELS[2]: {"input": 7, "output": 11}}), {})
    assert told.usd.value == pytest.approx(sum(7 * i + 11 * o for i, o in lengths) / 1e6)


@pytest.mark.parametrize(
    ("overrides", "factor"),
    [
        ({"prices": {MODELS[2]: {"input": 7, "output": 11}}}, 0.5),
        ({"prices": {MODELS[2]: {"input": 7, "output": 11}}, "providers": {"openai": {"batch_price": "0.25"}}}, 0.25),
    ],
)
def test_what_a_batch_answered_is_billed_as_a_batch(base, overrides, factor):
    traffic = [replayed(on_tier(n, 2, in_batch=True)) for n in range(10)]
    told = estimate(traffic, planned(base, **overrides), {})
    assert told.leaves.all()
    assert told.usd.value == pytest.approx(10 * (7 * 100 + 11 * 50) / 1e6 * factor)


def test_at_the_same_prices_a_batch_costs_what_it_cost(base):
    traffic = [replayed(on_tier(n, 2, usd="0.0001", in_batch=True)) for n in range(10)]
    assert estimate(traffic, planned(base), {}).usd.value == pytest.approx(0.001)


def test_no_model_is_slow_because_batches_of_it_were_waited_for(base):
    traffic = [
        replayed(on_tier(n, tier, in_batch=n % 2 == 0)) for tier in (1, 3) for n in range(tier * 100, tier * 140)
    ]
    moved = [replayed(on_tier(1000 + n, 1), then=decision(3)) for n in range(20)]
    told = estimate(traffic + moved, planned(base), {})
    own_ms, provider_ms = 50.0, 100.0
    assert told.latency_ms[-20:] == pytest.approx([own_ms + provider_ms] * 20)


@settings(max_examples=examples(15))
@given(st.integers(40, 120), st.integers(1, 40))
def test_who_moves_costs_what_others_cost_there(base, stay, move):
    """All questions and answers are alike, so that the estimate has to come close to the price of one."""
    cheap = [replayed(on_tier(n, 1, usd=priced(base, 1, (100, 50)))) for n in range(stay)]
    dear = [replayed(on_tier(stay + n, 3, usd=priced(base, 3, (100, 50)))) for n in range(stay)]
    moved = [replayed(on_tier(2 * stay + n, 1, usd=priced(base, 1, (100, 50))), then=decision(3)) for n in range(move)]
    told = estimate(cheap + dear + moved, planned(base), {})
    assert (~told.leaves).sum() == move
    expected = told.expected_usd[-move:]
    one = float(priced(base, 3, (100, 50)))
    assert expected == pytest.approx([one] * move, rel=0.15)
    assert told.usd.low <= told.usd.value <= told.usd.high
    assert told.usd.value == pytest.approx(told.expected_usd.sum())


def test_what_a_request_was_answered_on_the_way_counts_for_itself(base):
    """It failed on the first tier and was answered on the second, where it would start now."""
    calls = [call("a", 1, usd="0.001"), call("b", 2, usd="0.02")]
    record = recorded("r", [line("a", 1, "hedge"), line("b", 2)], calls)
    others = [replayed(on_tier(n, 1)) for n in range(50)]
    told = estimate([replayed(record, then=decision(2)), *others], planned(base), {})
    assert told.expected_usd[0] == pytest.approx(0.02, rel=0.01)
    assert not told.extrapolated[0]


def test_what_failed_on_a_better_tier_fails_on_a_weaker_one(base):
    calls = [call("a", 2, usd="0.01"), call("b", 3, usd="0.2")]
    failing = recorded("r", [line("a", 2, "hedge"), line("b", 3)], calls, tier=2)
    passing = [replayed(on_tier(n, tier)) for tier in (1, 2) for n in range(tier * 100, tier * 100 + 60)]
    told = estimate([replayed(failing, then=decision(1)), *passing], planned(base), {})
    # First the cheap try, and then all that it had.
    assert told.expected_usd[0] > 0.21
    assert told.was[0] == pytest.approx(1 / 121)


def test_who_is_refused_costs_nothing_and_has_no_answer(base):
    record = on_tier(0, 1)
    kept = replayed(record)
    refused = Replayed(
        record, record.decision, kept.again, Decided(None, "too long"), (0, 0, 0), 9, "faq", kept.data_class
    )
    told = estimate([refused, replayed(on_tier(1, 1))], planned(base), {})
    assert told.expected_usd[0] == 0
    assert told.ends_badly.value == pytest.approx(0.5)
    [move, _] = policy_report([refused, replayed(on_tier(1, 1))], told, ()).moves
    assert (move.from_tier, move.to_tier) == (1, 0)


def test_a_tier_that_nobody_was_on_is_said_to_be_guessed(base):
    traffic = [replayed(on_tier(n, 1)) for n in range(60)]
    told = estimate([replayed(on_tier(99, 1), then=decision(3)), *traffic], planned(base), {})
    assert told.extrapolated.tolist() == [True, *[False] * 60]
    assert told.expected_usd[0] > 0


def test_a_model_that_was_never_seen_has_its_price(base):
    tiers = [
        {"name": "fast", "models": [{"provider": "together", "model": "new/model"}]},
        {"name": "closed", "models": [{"provider": "openai", "model": "gpt-6-luna"}]},
        {"name": "frontier", "models": [{"provider": "anthropic", "model": "claude-opus-5-5"}]},
    ]
    prices = {"together/new/model": {"input": 100, "output": 1000}}
    traffic = [replayed(on_tier(n, 1)) for n in range(60)]
    told = estimate(traffic, planned(base, tiers=tiers, prices=prices), {})
    assert not told.leaves.any()
    assert told.extrapolated.all()
    assert told.expected_usd == pytest.approx([(100 * 100 + 50 * 1000) / 1e6] * 60, rel=0.25)


def test_a_judge_who_has_to_look_is_paid(base):
    traffic = [replayed(on_tier(n, 1)) for n in range(60)]
    watched = replayed(on_tier(99, 1), then=decision(1, validate=True))
    told = estimate([watched, *traffic], planned(base), {})
    assert told.expected_usd[0] > 0.001

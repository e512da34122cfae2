"""Effects add up whatever changed, and what alone changed has the whole difference."""

from decimal import Decimal
from itertools import permutations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.change.decomposition import Effect, added_up, decomposed
from analytics.change.measured import KINDS, Cell, Measured, Paid
from analytics.change.rounding import CENT, rounded_to, to_step
from analytics.change.shapley import parts_of_change

MONEY = st.decimals(min_value=0, max_value=1000, places=12)
FACTOR = st.decimals(min_value=0, max_value=1000, places=4)
CELLS = st.builds(
    Cell,
    st.sampled_from(["faq-bot", "docgen", ""]),
    st.sampled_from(["faq", "code"]),
    st.sampled_from(["infer", "infer", "judge"]),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from(["groq", "openai"]),
    st.sampled_from(["small", "large"]),
)


@st.composite
def paid(draw):
    """Tokens without costs, costs without tokens, and calls without either happen too."""
    tokens = {kind: draw(st.one_of(st.just(0), st.integers(1, 10**9))) for kind in KINDS}
    costs = {kind: draw(st.one_of(st.just(Decimal(0)), MONEY)) for kind in KINDS}
    least = 1 if any(tokens.values()) or any(costs.values()) else 0
    return Paid(draw(st.integers(least, 10**6)), tokens, costs)


PERIODS = st.builds(
    Measured,
    st.dictionaries(CELLS, paid(), max_size=8),
    st.dictionaries(
        st.tuples(st.sampled_from(["faq-bot", "docgen", ""]), st.sampled_from(["faq", "code"])), st.integers(1, 10**6)
    ),
)


def cost(period: Measured) -> Decimal:
    return sum((one.cost_usd for one in period.paid.values()), start=Decimal(0))


def total(before: Measured, after: Measured) -> dict[Effect, Decimal]:
    found = added_up(decomposed(before, after), lambda _: "")
    return {effect: usd for effect, usd in found[""].effects.items() if usd} if found else {}


@given(PERIODS, PERIODS)
def test_effects_of_any_two_periods_add_up_exactly(before, after):
    changes = decomposed(before, after)
    for keys in (lambda _: "", lambda cell: cell.ref, lambda cell: cell.feature):
        sums = added_up(changes, keys)
        assert sum((one.difference_usd for one in sums.values()), start=Decimal(0)) == cost(after) - cost(before)
        for one in sums.values():
            assert sum(one.effects.values()) == one.difference_usd


@given(PERIODS, PERIODS)
def test_the_way_back_has_the_same_effects_with_the_other_sign(before, after):
    there, back = decomposed(before, after), decomposed(after, before)
    for cell, one in there.items():
        for effect in Effect:
            assert one.effects[effect] == pytest.approx(-back[cell].effects[effect], abs=Decimal("1e-11"))


@given(PERIODS)
def test_nothing_changed_has_no_effect(period):
    assert total(period, period) == {}


def usual(**other) -> Measured:
    """Two models answer, a tenth of the calls is escalated, and a judge looks."""
    of = {
        "requests": 1000,
        "small": 800,
        "large": 200,
        "escalated": 100,
        "length": 1000,
        "cached": 400,
        "rate": Decimal("0.5"),
    } | other
    paid = {}
    for escalated, tier, model, calls, times in (
        (False, 1, "small", of["small"], 1),
        (False, 2, "large", of["large"], 10),
        (True, 2, "large", of["escalated"], 10),
    ):
        tokens = {
            "fresh": calls * (of["length"] - of["cached"]),
            "cached": calls * of["cached"],
            "written": 0,
            "output": calls * of["length"] // 10,
        }
        rates = {"fresh": of["rate"], "cached": of["rate"] / 10, "written": Decimal(0), "output": of["rate"] * 4}
        costs = {kind: tokens[kind] * rates[kind] * times / 1_000_000 for kind in KINDS}
        paid[Cell("faq-bot", "faq", "infer", escalated, tier, "openai", model)] = Paid(calls, tokens, costs)
    return Measured(paid, {("faq-bot", "faq"): of["requests"]})


ALONE = {
    Effect.PRICE: {"rate": Decimal("0.75")},
    Effect.VOLUME: {"requests": 3000, "small": 2400, "large": 600, "escalated": 300},
    Effect.MIX: {"small": 300, "large": 700},
    Effect.TOKENS: {"length": 2000, "cached": 800},
    Effect.CACHING: {"cached": 900},
    Effect.ESCALATIONS: {"escalated": 170},
}


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("turned", [False, True], ids=["there", "back"])
def test_what_alone_changed_has_the_whole_difference(effect, turned):
    before, after = usual(), usual(**ALONE[effect])
    if turned:
        before, after = after, before
    assert total(before, after) == {effect: cost(after) - cost(before)}


def test_what_was_not_there_before_is_volume_mix_or_escalations():
    nothing = Measured({}, {})
    assert total(nothing, usual()) == {Effect.VOLUME: cost(usual())}
    assert total(usual(), nothing) == {Effect.VOLUME: -cost(usual())}
    calm = usual(escalated=0)
    assert set(total(calm, usual())) == {Effect.ESCALATIONS}
    one_model = usual(small=1000, large=0)
    assert set(total(one_model, usual())) == {Effect.MIX}
    assert set(total(usual(), one_model)) == {Effect.MIX}


def test_twice_the_calls_a_request_are_tokens():
    twice = usual(small=1600, large=400)
    assert set(total(usual(), twice)) == {Effect.TOKENS}


def test_a_price_that_changed_while_a_model_came_is_known_from_its_other_calls():
    def period(rate: int, calls: dict[tuple[str, str], int]) -> Measured:
        paid = {}
        for (feature, model), n in calls.items():
            tokens = dict.fromkeys(KINDS, 0) | {"output": n * 100}
            price = Decimal(rate) if model == "large" else Decimal(1)
            costs = dict.fromkeys(KINDS, Decimal(0)) | {"output": n * 100 * price}
            paid[Cell(feature, "", "infer", False, 1, "openai", model)] = Paid(n, tokens, costs)
        return Measured(paid, {(feature, ""): 10 for feature, _ in calls})

    before = period(2, {("a", "large"): 10, ("b", "small"): 10})
    after = period(4, {("a", "large"): 10, ("b", "large"): 10})
    effects = added_up(decomposed(before, after), lambda cell: cell.feature)["b"].effects
    assert {effect for effect, usd in effects.items() if usd} == {Effect.MIX, Effect.PRICE}
    # Half of the calls on average over the orders, at 2 more for each of 1,000 tokens.
    assert effects[Effect.PRICE] == 1000
    assert effects[Effect.MIX] == 2000


@given(st.lists(st.tuples(FACTOR, FACTOR), min_size=1, max_size=6))
def test_parts_are_what_each_change_brings_on_average_over_all_orders(pairs):
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    parts = parts_of_change(before, after)
    assert sum(parts) == pytest.approx(prod(after) - prod(before), abs=Decimal("1e-12"), rel=Decimal("1e-15"))
    orders = list(permutations(range(len(pairs))))[:24] if len(pairs) < 5 else []
    for place in range(len(pairs)) if orders and len(pairs) < 5 else ():
        brought = Decimal(0)
        for order in orders:
            at = list(before)
            for changes in order[: order.index(place)]:
                at[changes] = after[changes]
            without = prod(at)
            at[place] = after[place]
            brought += prod(at) - without
        assert parts[place] == pytest.approx(brought / len(orders), abs=Decimal("1e-12"), rel=Decimal("1e-12"))


def test_seven_factors_are_too_many():
    with pytest.raises(ValueError, match="at most 6"):
        parts_of_change([Decimal(1)] * 7, [Decimal(2)] * 7)


@given(st.dictionaries(st.integers(), st.decimals(min_value=-1000, max_value=1000, places=12), min_size=1, max_size=6))
def test_rounded_parts_still_add_up(parts):
    whole = to_step(sum(parts.values()), CENT)
    rounded = rounded_to(parts, whole, CENT)
    assert sum(rounded.values()) == whole
    largest = max(abs(one) for one in parts.values())
    for name, one in rounded.items():
        assert one % CENT == 0
        assert abs(one - parts[name]) <= CENT / 2 * (len(parts) + 1)
        if abs(parts[name]) < largest - CENT:
            assert abs(one - parts[name]) <= CENT / 2

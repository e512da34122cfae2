"""The parts of a shared call: that they add up exactly, in tokens and in money."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.calls.pricing import split
from topics.journal import Rates, Usage

counts = st.integers(0, 50) | st.integers(0, 10**9)
rate = st.decimals(0, 1000, places=6)
rates = st.builds(Rates, input=rate, output=rate, cached=rate, cache_write=st.none() | rate, source=st.just("config"))
sources = st.sampled_from(("provider", "estimated"))
shares = st.integers(1, 40)


@st.composite
def usages(draw) -> Usage:
    fresh, cached, written, plain, reasoning = (draw(counts) for _ in range(5))
    return Usage(
        input=fresh + cached + written,
        output=plain + reasoning,
        cached=cached,
        cache_written=written,
        reasoning=reasoning,
        source=draw(sources),
    )


TOKENS = ("input", "output", "cached", "cache_written", "reasoning")


def _check_sums(usage: Usage, rates: Rates, parts: list[tuple[Usage, Decimal]]) -> None:
    for name in TOKENS:
        assert sum(getattr(part, name) for part, _ in parts) == getattr(usage, name)
    assert sum(cost for _, cost in parts) == rates.cost(usage)
    for part, cost in parts:
        assert Usage.model_validate(part.model_dump()) == part
        assert part.source == usage.source
        assert cost == rates.cost(part)


@given(usages(), rates, shares)
def test_parts_are_usages_and_add_up_exactly(usage, rates, n):
    parts = split(usage, rates, n)
    assert len(parts) == n
    _check_sums(usage, rates, parts)
    for part, _ in parts:
        assert part.cached + part.cache_written <= part.input
        assert part.reasoning <= part.output


@given(usages(), rates, shares)
def test_parts_are_even_and_nobody_gets_all_odd_tokens(usage, rates, n):
    parts = [part for part, _ in split(usage, rates, n)]
    for name in TOKENS:
        amounts = [getattr(part, name) for part in parts]
        assert max(amounts) - min(amounts) <= 1
    for amounts in (
        [part.input - part.cached - part.cache_written for part in parts],
        [part.output - part.reasoning for part in parts],
        [part.input + part.output for part in parts],
    ):
        assert max(amounts) - min(amounts) <= 1


@given(
    st.builds(Usage, input=counts, output=counts, cached=counts, cache_written=counts, reasoning=counts), rates, shares
)
def test_counts_that_contradict_each_other_add_up_all_the_same(usage, rates, n):
    _check_sums(usage, rates, split(usage, rates, n))


def test_a_call_alone_is_its_own_share():
    usage = Usage(input=10, output=5, cached=3, cache_written=2, reasoning=1)
    prices = Rates(input=Decimal(1), output=Decimal(10), cached=Decimal("0.1"), source="config")
    assert split(usage, prices, 1) == [(usage, prices.cost(usage))]


def test_nobody_to_share_with_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        split(Usage(input=1, output=1), Rates(input=0, output=0, cached=0, source="config"), 0)

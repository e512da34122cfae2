"""Rate limits: what may leave in any minute, estimates and what they turn out to be, and the provider's word."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.admission.rate_limit import BURST_S, Ahead, RateLimiter, TokenBucket
from streams.providers.base import ProviderLimits

# A minute has its first moment and not its last; what rounding puts a hair before a full minute belongs to the next.
MINUTE = 60 - 1e-6
A_BIT = 1e-7


def limiter(requests: int | None = None, tokens: int | None = None) -> RateLimiter:
    return RateLimiter(requests_per_minute=requests, tokens_per_minute=tokens, now=0.0)


def most_in_a_minute(taken: list[tuple[float, int]]) -> int:
    return max(sum(n for at, n in taken if start <= at < start + MINUTE) for start, _ in taken)


@given(
    st.integers(1, 100),
    st.lists(st.floats(0, 30, allow_subnormal=False), min_size=1, max_size=150),
)
@example(per_minute=1, pauses=[0, 0, 0])
@example(per_minute=100, pauses=[0] * 150)
def test_no_minute_has_more_requests_than_configured(per_minute, pauses):
    limit, now, taken = limiter(requests=per_minute), 0.0, []
    for pause in pauses:
        now += pause
        now += limit.wait_s(1, now)
        limit.take(1, now)
        taken.append((now, 1))
    assert most_in_a_minute(taken) <= per_minute


@given(
    st.integers(12, 10_000),
    st.lists(st.tuples(st.floats(0, 20, allow_subnormal=False), st.integers(1, 3_000)), min_size=1, max_size=60),
)
def test_no_minute_has_more_tokens_than_configured_and_the_part_of_a_call_above_the_burst(per_minute, calls):
    limit, now, taken = limiter(tokens=per_minute), 0.0, []
    for pause, tokens in calls:
        now += pause
        now += limit.wait_s(tokens, now)
        limit.take(tokens, now)
        taken.append((now, tokens))
    burst = TokenBucket(per_minute, now=0).burst
    over = max(0, max(tokens for _, tokens in calls) - burst)
    assert most_in_a_minute(taken) <= per_minute + over + 1e-3


@given(st.integers(1, 5_000), st.lists(st.integers(1, 500), max_size=20), st.integers(1, 500))
def test_the_wait_is_what_is_needed_and_no_more(per_minute, before, tokens):
    limit = limiter(tokens=per_minute)
    for earlier in before:
        limit.take(earlier, 0.0)
    wait = limit.wait_s(tokens, 0.0)
    if wait:
        assert limit.wait_s(tokens, wait - A_BIT) > 0
    assert limit.wait_s(tokens, wait + A_BIT) == 0


@given(st.integers(1, 600), st.lists(st.integers(1, 50), max_size=8), st.integers(1, 50))
def test_the_wait_behind_others_is_the_wait_once_they_have_left(per_minute, others, tokens):
    limit, queued = limiter(requests=per_minute, tokens=per_minute * 10), limiter(per_minute, per_minute * 10)
    expected = queued.wait_s(tokens, 0.0, Ahead(len(others), sum(others)))
    for other in others:
        limit.take(other, 0.0)
    assert limit.wait_s(tokens, 0.0) == pytest.approx(expected)


def test_a_few_seconds_worth_leaves_at_once_after_a_pause():
    limit = limiter(requests=60)
    for _ in range(int(BURST_S)):
        assert limit.wait_s(1, 100.0) == 0
        limit.take(1, 100.0)
    assert 0 < limit.wait_s(1, 100.0) < 1.1


def test_without_a_configured_limit_nothing_waits():
    limit = limiter()
    for _ in range(1000):
        assert limit.wait_s(10_000, 5.0) == 0
        limit.take(10_000, 5.0)


def test_a_call_above_the_burst_leaves_when_the_bucket_is_full_and_is_paid_for_afterwards():
    limit = limiter(tokens=1200)
    assert limit.wait_s(5000, 0.0) == 0
    limit.take(5000, 0.0)
    assert limit.wait_s(1, 0.0) > 200


def test_actual_usage_replaces_the_estimate():
    limit = limiter(tokens=1200)
    limit.take(100, 0.0)
    limit.settle(100, 40, 0.0)
    assert limit.wait_s(60, 0.0) == 0
    assert limit.wait_s(61, 0.0) > 0
    limit.settle(0, 60, 0.0)
    assert limit.wait_s(1, 0.0) > 0


def test_what_never_left_is_given_back():
    limit = limiter(requests=1, tokens=1200)
    limit.take(100, 0.0)
    assert limit.wait_s(1, 0.0) == 60
    limit.give_back(100, 0.0)
    assert limit.wait_s(100, 0.0) == 0
    limit.give_back(100, 0.0)
    limit.take(100, 0.0)
    assert limit.wait_s(1, 0.0) == 60, "giving back never fills above the burst"


@pytest.mark.parametrize(
    "limits",
    [
        ProviderLimits(remaining_requests=0, requests_reset_s=1.5, remaining_tokens=9000),
        ProviderLimits(remaining_requests=3, requests_reset_s=900, remaining_tokens=0, tokens_reset_s=1.5),
    ],
)
@pytest.mark.parametrize("configured", [None, 6000])
def test_nothing_leaves_while_the_provider_has_nothing_left(limits, configured):
    limit = limiter(configured, configured)
    limit.observe(limits, 10.0)
    assert limit.wait_s(1, 10.0) == 1.5
    assert limit.wait_s(1, 11.4) > 0
    assert limit.wait_s(1, 11.5) == 0


def test_an_older_word_that_comes_later_lifts_nothing():
    limit = limiter()
    limit.observe(ProviderLimits(remaining_requests=0, requests_reset_s=1.9), 0.0)
    limit.observe(ProviderLimits(remaining_requests=50, requests_reset_s=1), 0.0)
    limit.observe(ProviderLimits(remaining_requests=0, requests_reset_s=1), 0.0)
    assert limit.wait_s(1, 0.0) == 1.9


def test_headers_lower_what_is_left_and_never_raise_it():
    limit = limiter(requests=600, tokens=60_000)
    limit.observe(ProviderLimits(remaining_requests=2), 0.0)
    limit.observe(ProviderLimits(remaining_requests=10_000, remaining_tokens=10_000_000), 0.0)
    assert [limit.wait_s(1, 0.0, Ahead(ahead, 0)) > 0 for ahead in range(3)] == [False, False, True]
    assert limit.wait_s(5_001, 0.0, Ahead(0, 1)) > 0


def test_a_provider_that_is_silent_about_the_reset_only_empties_the_bucket():
    limit = limiter(requests=60)
    limit.observe(ProviderLimits(remaining_requests=0), 0.0)
    assert 0 < limit.wait_s(1, 0.0) < 1.1
    unlimited = limiter()
    unlimited.observe(ProviderLimits(remaining_requests=0), 0.0)
    assert unlimited.wait_s(1, 0.0) == 0


def test_that_nothing_is_left_is_believed_for_two_seconds():
    """The reset is when the limit is full again, for some limits a day away; it fills up all the time."""
    limit = limiter()
    limit.observe(ProviderLimits(remaining_requests=0, requests_reset_s=86_400), 0.0)
    assert limit.wait_s(1, 0.0) == 2

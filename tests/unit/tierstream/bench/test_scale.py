"""The model of many workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierstream.bench.scale import Costs, scale

COSTS = Costs(request_ms=2.9, broker_ms=1.0, broker_bytes=9_000)


def of(workers: int, *, window_s: float = 3600, memory_mib: float = 2048):
    return scale(workers, COSTS, window_s=window_s, memory_mib=memory_mib)


@given(st.integers(1, 10_000))
def test_a_thread_is_full_of_its_own_share_and_of_what_it_follows(workers):
    found = of(workers)
    serving = found.requests_per_s / workers * COSTS.request_ms / 1000
    assert serving + found.following_percent / 100 == pytest.approx(1, abs=0.01)


@given(st.integers(1, 1_000))
def test_more_workers_do_more_but_never_more_than_one_can_follow(workers):
    assert of(workers).requests_per_s < of(workers + 1).requests_per_s < 1_000_000 / 36


@given(st.floats(60, 7200), st.floats(300, 65_536))
def test_the_memory_is_enough_for_the_rate_that_it_is_said_to_be_enough_for(window_s, memory_mib):
    found = of(100, window_s=window_s, memory_mib=memory_mib)
    if found.breaks_first == "memory":
        assert found.requests_per_s_in_memory < found.requests_per_s
        assert found.memory_mib > memory_mib
    else:
        assert found.memory_mib <= memory_mib + 1


@pytest.mark.parametrize(
    ("workers", "memory_mib", "bound"), [(1, 2048, "serving"), (10, 2048, "memory"), (100, 65_536, "following")]
)
def test_what_breaks_first(workers, memory_mib, bound):
    assert of(workers, memory_mib=memory_mib).breaks_first == bound

"""When a canary is stopped, and when it has passed."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.learning.canary import ERROR_RATE, CanaryWatch, canary_of, canary_why, plain_why


def watched(candidate: tuple[int, int], incumbent: tuple[int, int], *, min_requests: int = 50) -> CanaryWatch:
    """A watch that saw so many requests and failures of each."""
    watch = CanaryWatch(min_requests)
    for is_candidate, (requests, failures) in ((True, candidate), (False, incumbent)):
        for n in range(requests):
            watch.observe(is_candidate=is_candidate, failed=n < failures)
    return watch


@pytest.mark.parametrize(
    ("candidate", "incumbent", "state"),
    [
        ((0, 0), (0, 0), "running"),
        ((10, 10), (0, 0), "running"),
        ((40, 25), (1000, 20), "stopped"),
        ((40, 1), (1000, 20), "running"),
        ((200, 4), (1000, 20), "passed"),
        ((200, 16), (1000, 20), "running"),
    ],
)
def test_the_state_follows_from_what_was_seen(candidate, incumbent, state):
    assert watched(candidate, incumbent).state().state == state


def test_what_was_stopped_stays_so_and_says_why():
    watch = watched((40, 25), (1000, 20))
    stopped = watch.state()
    for _ in range(5000):
        watch.observe(is_candidate=True, failed=False)
    assert watch.state() == stopped
    assert stopped.reason.startswith("it fails at least ")
    record = stopped.record(name="next", model="groq/n", by="learn", at=datetime(2026, 3, 1, tzinfo=UTC))
    assert (record.name, record.state, record.candidate_requests, record.candidate_failures) == (
        "next",
        "stopped",
        40,
        25,
    )


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=300))
def test_all_that_was_seen_is_counted(seen):
    watch = CanaryWatch(10)
    for is_candidate, failed in seen:
        watch.observe(is_candidate=is_candidate, failed=failed)
    found = watch.state()
    assert found.candidate_requests == sum(one for one, _ in seen)
    assert found.candidate_failures == sum(one and failed for one, failed in seen)
    assert found.incumbent_requests + found.candidate_requests == len(seen)


@pytest.mark.slow
def test_one_that_fails_as_often_as_the_others_is_hardly_ever_stopped():
    """Looked at after every tenth request; 300 runs with fixed seeds."""
    stopped = 0
    for seed in range(300):
        draw, watch = random.Random(seed), CanaryWatch(200)
        for n in range(400):
            watch.observe(is_candidate=draw.random() < 0.3, failed=draw.random() < 0.1)
            if n % 10 == 0 and watch.state().state == "stopped":
                stopped += 1
                break
    assert stopped <= ERROR_RATE * 300


def test_a_route_names_the_canary_behind_why_the_request_is_there():
    why = canary_why("escalated from tier 1: check: hedge", "next-1.5")
    assert why == "escalated from tier 1: check: hedge, canary next-1.5"
    assert canary_why(why, "other") == "escalated from tier 1: check: hedge, canary other"
    assert (canary_of(why), plain_why(why)) == ("next-1.5", "escalated from tier 1: check: hedge")
    assert canary_of("rule canary birds") is None
    assert plain_why("rule x") == "rule x"

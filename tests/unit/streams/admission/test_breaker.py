"""The circuit breaker: what opens it, how it closes, and what must hold under any schedule."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.examples import examples

from streams.admission.breaker import WINDOW_BUCKETS, BreakerView, CircuitBreaker, Counts, SlidingCounts, Ticket
from streams.admission.call_effect import (
    CONFIG_ERROR_OPEN_S,
    NOTHING_LEARNED,
    CallEffect,
    Signal,
    effect_of,
    tokens_used,
)
from streams.config.settings_sections import BreakerSettings
from streams.providers.base import ErrorKind, ProviderError
from topics.control import BreakerState
from topics.journal import Usage

SETTINGS = BreakerSettings(window_s=30, min_calls=4, failure_rate=0.5, slow_rate=0.75, open_s=5, probes=3)
OK = CallEffect(Signal.SUCCESS)
SLOW = CallEffect(Signal.SUCCESS, slow=True)
BAD = CallEffect(Signal.FAILURE, reason="server_error")


def asked(seconds: float) -> CallEffect:
    return CallEffect(Signal.FAILURE, reason="rate_limited", open_s=seconds, asked=True)


@dataclass
class Breaker:
    """A breaker with its time and everything that it told."""

    config: BreakerSettings = SETTINGS
    now: float = 1000.0
    changes: list[BreakerView] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.real = CircuitBreaker(
            "p/m", self.config, now=self.now, on_change=lambda view, _: self.changes.append(view)
        )

    @property
    def state(self) -> BreakerState:
        return self.real.view(self.now).state

    def admit(self) -> Ticket:
        ticket = self.real.admit(self.now)
        assert ticket is not None
        return ticket

    def call(self, *verdicts: CallEffect) -> None:
        for effect in verdicts:
            self.real.record(self.admit(), effect, self.now)

    def end(self, ticket: Ticket, effect: CallEffect) -> None:
        self.real.record(ticket, effect, self.now)


@given(
    st.lists(st.tuples(st.floats(0, 8, allow_subnormal=False), st.booleans(), st.booleans()), max_size=60),
    st.floats(0, 40, allow_subnormal=False),
    st.sampled_from([0.3, 1.0, 10.0, 30.0]),
)
def test_the_window_counts_as_a_list_of_all_calls_does(calls, rest, window_s):
    window = SlidingCounts(window_s)
    width = window_s / WINDOW_BUCKETS
    now, log = 500.0, []
    for pause, failed, slow in calls:
        now += pause
        window.add(now, failed=failed, slow=slow)
        log.append((now, failed, slow))
    now += rest
    newest = int(now // width)
    kept = [call for call in log if int(call[0] // width) > newest - WINDOW_BUCKETS]
    assert window.counts(now) == Counts(len(kept), sum(c[1] for c in kept), sum(c[2] for c in kept))
    slack = 1e-9
    assert all(now - at < window_s + slack for at, _, _ in kept)
    assert all(now - at >= 0.9 * window_s - slack for at, _, _ in log[: len(log) - len(kept)])
    assert len(window._buckets) <= WINDOW_BUCKETS


def test_opens_when_enough_calls_have_failed_and_not_before():
    breaker = Breaker()
    breaker.call(BAD, BAD, BAD)
    assert breaker.state is BreakerState.CLOSED
    breaker.call(OK)
    assert breaker.state is BreakerState.OPEN
    (change,) = breaker.changes
    assert change.counts == Counts(4, 3, 0)
    assert change.reason == "3 of 4 calls failed"
    assert change.until == breaker.now + 5


def test_a_rate_below_the_limit_leaves_it_closed():
    breaker = Breaker()
    breaker.call(OK, OK, OK, BAD, BAD, OK, BAD)
    assert breaker.state is BreakerState.CLOSED


def test_opens_when_most_calls_are_slow():
    breaker = Breaker()
    breaker.call(OK, SLOW, SLOW, SLOW)
    assert breaker.state is BreakerState.OPEN
    assert breaker.changes[0].reason == "3 of 4 calls were slow"


def test_failures_that_the_window_has_left_behind_count_no_more():
    breaker = Breaker()
    breaker.call(BAD, BAD, BAD)
    breaker.now += 30
    breaker.call(BAD)
    assert breaker.real.view(breaker.now).counts == Counts(1, 1, 0)
    assert breaker.state is BreakerState.CLOSED


def test_lets_exactly_the_probes_through_and_closes_with_an_empty_window_when_all_are_answered():
    breaker = Breaker()
    breaker.call(asked(5))
    assert breaker.real.wait_s(breaker.now) == 5
    breaker.now += 4.999
    assert breaker.real.admit(breaker.now) is None
    breaker.now += 0.001
    probes = [breaker.admit() for _ in range(3)]
    assert breaker.real.admit(breaker.now) is None
    assert breaker.real.wait_s(breaker.now) is None
    breaker.end(probes[0], OK)
    assert breaker.real.admit(breaker.now) is None, "an answered probe is not replaced"
    # A slow answer is an answer.
    breaker.end(probes[1], SLOW)
    breaker.end(probes[2], OK)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.real.view(breaker.now).counts == Counts()
    assert breaker.changes[-1].counts == Counts(3, 0, 1)
    assert [change.state for change in breaker.changes] == ["open", "half_open", "closed"]


def test_one_failed_probe_opens_it_again_for_the_same_time():
    breaker = Breaker()
    breaker.call(asked(1))
    for _ in range(3):
        breaker.now = breaker.real.view(breaker.now).until
        first, second, late = breaker.admit(), breaker.admit(), breaker.admit()
        breaker.end(first, OK)
        breaker.end(second, BAD)
        assert breaker.changes[-1].reason == "probe failed: server_error"
        assert breaker.real.view(breaker.now).until == breaker.now + 5
        breaker.end(late, OK)
        assert breaker.state is BreakerState.OPEN


def test_the_time_that_a_hung_probe_took_counts_as_time_to_recover():
    breaker = Breaker()
    breaker.call(BAD, BAD, BAD, BAD)
    breaker.now += 5
    probe = breaker.admit()
    breaker.now += 3
    breaker.end(probe, BAD)
    assert breaker.real.wait_s(breaker.now) == 2
    breaker.now += 2
    probe = breaker.admit()
    breaker.now += 60
    breaker.end(probe, BAD)
    assert breaker.state is BreakerState.HALF_OPEN


def test_failures_in_a_row_open_it_however_good_the_window_was():
    breaker = Breaker()
    breaker.call(*[OK] * 100, *[BAD] * 7)
    assert breaker.state is BreakerState.CLOSED
    breaker.call(OK, *[BAD] * 8)
    assert breaker.state is BreakerState.OPEN


def test_recovered_by_others_it_closes_unless_an_order_holds():
    breaker = Breaker()
    breaker.call(BAD, BAD, BAD, BAD)
    breaker.real.recover("a model answers again", breaker.now)
    assert breaker.state is BreakerState.CLOSED
    breaker.real.order("open", breaker.now)
    breaker.real.recover("a model answers again", breaker.now)
    assert breaker.state is BreakerState.OPEN


def test_a_call_that_has_not_left_when_it_opens_may_leave_no_more():
    breaker = Breaker()
    ticket = breaker.admit()
    assert breaker.real.stands(ticket)
    breaker.call(BAD, BAD, BAD, BAD)
    assert not breaker.real.stands(ticket)
    breaker.now += 5
    probes = [breaker.admit() for _ in range(3)]
    assert all(map(breaker.real.stands, probes))
    for probe in probes:
        breaker.end(probe, OK)
    assert breaker.real.stands(ticket), "it is closed, whatever was before"


def test_a_probe_that_never_left_gives_its_place_back():
    breaker = Breaker()
    breaker.call(asked(1))
    breaker.now += 1
    for _ in range(10):
        breaker.call(NOTHING_LEARNED)
    breaker.call(OK, OK, NOTHING_LEARNED, OK)
    assert breaker.state is BreakerState.CLOSED


def test_results_of_calls_that_left_before_the_state_changed_do_not_count():
    breaker = Breaker()
    old = [breaker.admit() for _ in range(10)]
    breaker.call(asked(5))
    breaker.end(old[0], OK)
    breaker.end(old[1], BAD)
    assert breaker.real.view(breaker.now).until == breaker.now + 5
    breaker.now += 5
    for ticket in old[2:6]:
        breaker.end(ticket, OK)
    breaker.end(old[6], BAD)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.call(OK, OK, OK)
    for ticket in old[7:]:
        breaker.end(ticket, CallEffect(Signal.FAILURE, reason="bad_key", open_s=60))
    assert breaker.state is BreakerState.CLOSED
    assert breaker.real.view(breaker.now).counts == Counts()


def test_of_several_retry_afters_the_longest_wins_from_whenever_the_call_was():
    breaker = Breaker()
    first, second, third, fourth = (breaker.admit() for _ in range(4))
    opened_at = breaker.now
    breaker.end(first, asked(2))
    assert breaker.real.view(breaker.now).until == opened_at + 2, "exactly then, though open_s is longer"
    breaker.end(second, asked(20))
    breaker.now += 1
    breaker.end(third, asked(3))
    assert breaker.real.view(breaker.now).until == opened_at + 20
    assert len(breaker.changes) == 1
    breaker.now = opened_at + 20
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.end(fourth, asked(7))
    assert breaker.real.wait_s(breaker.now) == 7


def test_a_wrong_config_opens_at_once_and_for_longer():
    breaker = Breaker()
    breaker.call(CallEffect(Signal.FAILURE, reason="bad_key", open_s=60))
    assert breaker.real.wait_s(breaker.now) == 60
    breaker = Breaker(SETTINGS.model_copy(update={"open_s": 90}))
    breaker.call(CallEffect(Signal.FAILURE, reason="bad_key", open_s=60))
    assert breaker.real.wait_s(breaker.now) == 90


def test_forced_open_lets_nothing_through_until_the_order_is_taken_back():
    breaker = Breaker()
    under_way = breaker.admit()
    breaker.real.order("open", breaker.now)
    breaker.now += 1e6
    breaker.end(under_way, asked(5))
    assert breaker.real.admit(breaker.now) is None
    assert breaker.real.wait_s(breaker.now) is None
    breaker.real.order("auto", breaker.now)
    assert breaker.state is BreakerState.CLOSED
    assert [(view.state, view.forced) for view in breaker.changes] == [("open", True), ("closed", False)]


def test_forced_closed_lets_everything_through_and_still_counts():
    breaker = Breaker()
    breaker.call(asked(1000))
    breaker.real.order("closed", breaker.now)
    breaker.call(*[BAD] * 20, asked(9), CallEffect(Signal.FAILURE, reason="bad_key", open_s=60))
    view = breaker.real.view(breaker.now)
    assert (view.state, view.forced, view.counts) == (BreakerState.CLOSED, True, Counts(22, 22, 0))
    breaker.real.order("auto", breaker.now)
    assert breaker.real.view(breaker.now).counts == Counts()


def test_an_order_that_is_in_force_changes_nothing():
    breaker = Breaker()
    breaker.call(asked(1000))
    breaker.real.order("auto", breaker.now)
    assert breaker.state is BreakerState.OPEN
    for order in ("open", "open", "closed", "closed"):
        breaker.real.order(order, breaker.now)
    assert [view.reason for view in breaker.changes[1:]] == ["ordered open", "ordered closed"]


@pytest.mark.parametrize(
    ("error", "seconds", "expected"),
    [
        (ProviderError(ErrorKind.CONTENT_POLICY, "", status=400), 1, OK),
        (ProviderError(ErrorKind.CONTEXT_TOO_LONG, "", status=400), 9, SLOW),
        (ProviderError(ErrorKind.BAD_REQUEST, "", status=429, retry_after_ms=900), 1, OK),
        (ProviderError(ErrorKind.SERVER_ERROR, "", status=500), 1, BAD),
        (ProviderError(ErrorKind.TIMEOUT, ""), 1, NOTHING_LEARNED),
        (ProviderError(ErrorKind.TIMEOUT, ""), 8, CallEffect(Signal.FAILURE, slow=True, reason="timeout")),
        (ProviderError(ErrorKind.TIMEOUT, "", status=504), 1, CallEffect(Signal.FAILURE, reason="timeout")),
        (
            ProviderError(ErrorKind.RATE_LIMITED, "", retry_after_ms=0),
            1,
            CallEffect(Signal.FAILURE, reason="rate_limited"),
        ),
        (
            ProviderError(ErrorKind.OVERLOADED, "", retry_after_ms=1500),
            1,
            CallEffect(Signal.FAILURE, reason="overloaded, asks for 1.5 s", open_s=1.5, asked=True),
        ),
        (
            ProviderError(ErrorKind.MODEL_NOT_FOUND, "", status=404),
            1,
            CallEffect(Signal.FAILURE, reason="model_not_found", open_s=CONFIG_ERROR_OPEN_S),
        ),
        (
            ProviderError(ErrorKind.BAD_KEY, "", status=429, retry_after_ms=90_000),
            1,
            CallEffect(Signal.FAILURE, reason="bad_key", open_s=90, asked=True),
        ),
    ],
)
def test_what_errors_say(error, seconds, expected):
    assert effect_of(error, seconds=seconds, slow_s=8) == expected


def test_tokens_of_failed_calls():
    assert tokens_used(ProviderError(ErrorKind.RATE_LIMITED, ""), 100) == 0
    assert tokens_used(ProviderError(ErrorKind.CUT, ""), 100) == 100
    assert tokens_used(ProviderError(ErrorKind.EMPTY, "", usage=Usage(input=7, output=2)), 100) == 9


class AnySchedule(RuleBasedStateMachine):
    """Calls that leave and end in any order, at any time, with any outcome, between orders."""

    @initialize(probes=st.integers(1, 4))
    def start(self, probes):
        self.breaker = Breaker(SETTINGS.model_copy(update={"probes": probes}), now=0.0)
        self.out: list[Ticket] = []
        self.closed_to = float("-inf")
        """What providers asked for, since the last order."""

    @property
    def period(self) -> int:
        """Which state this is, counted from the start."""
        return len(self.breaker.changes)

    @rule(seconds=st.sampled_from([0, 0.001, 1, 4.999, 5, 20, 60]))
    def time_passes(self, seconds):
        self.breaker.now += seconds

    @rule(count=st.integers(1, 6))
    def calls_try_to_leave(self, count):
        for _ in range(count):
            state, forced = self.breaker.state, self.breaker.real.forced
            open_before = self.breaker.real.lets_through(self.breaker.now)
            ticket = self.breaker.real.admit(self.breaker.now)
            assert (ticket is not None) == open_before
            assert state is not BreakerState.OPEN or ticket is None
            assert state is not BreakerState.CLOSED or ticket is not None
            if ticket is not None:
                assert forced or self.breaker.now >= self.closed_to
                self.out.append(ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), effect=st.sampled_from([OK, OK, SLOW, BAD, NOTHING_LEARNED, asked(3), asked(40)]))
    def a_call_ends(self, data, effect):
        ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        before = self.breaker.real.view(self.breaker.now)
        stale = ticket.generation != self.period
        self.breaker.end(ticket, effect)
        after = self.breaker.real.view(self.breaker.now)
        if effect.asked and not before.forced:
            self.closed_to = max(self.closed_to, self.breaker.now + effect.open_s)
            assert after.state is BreakerState.OPEN
            assert after.until >= self.closed_to
        elif stale or effect is NOTHING_LEARNED:
            assert after == before

    @rule(order=st.sampled_from(["open", "closed", "auto"]))
    def an_operator_orders(self, order):
        forced = self.breaker.real.forced
        self.breaker.real.order(order, self.breaker.now)
        if order != "auto" or forced:
            self.closed_to = float("-inf")

    @rule()
    def the_provider_recovers(self):
        if self.breaker.real.forced:
            return
        until = self.breaker.real.view(self.breaker.now).until
        self.breaker.now = until or self.breaker.now
        for _ in range(1000):
            if self.breaker.state is not BreakerState.HALF_OPEN:
                break
            ticket = self.breaker.real.admit(self.breaker.now)
            self.breaker.end(ticket or self.out.pop(0), OK)
        assert self.breaker.state is BreakerState.CLOSED

    @invariant()
    def no_more_probes_than_allowed(self):
        view = self.breaker.real.view(self.breaker.now)
        if view.state is BreakerState.HALF_OPEN:
            probing = sum(ticket.generation == self.period for ticket in self.out)
            assert probing + view.counts.calls <= self.breaker.config.probes

    @invariant()
    def states_follow_one_another(self):
        for before, after in zip(self.breaker.changes, self.breaker.changes[1:], strict=False):
            if after.state is BreakerState.HALF_OPEN:
                assert before.state is BreakerState.OPEN
                assert after.since >= before.until


AnySchedule.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestAnySchedule = AnySchedule.TestCase

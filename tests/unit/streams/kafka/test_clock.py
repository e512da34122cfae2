"""The brokers' time, learned from acknowledgements."""

import logging
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import BASE, BASE_MS

from streams.kafka.clock import BrokerClock

HOUR_S = 3600.0


class Machine:
    """A clock that may be wrong, and monotonic seconds that are not."""

    def __init__(self, off_s: float = 0.0) -> None:
        self.off_s = off_s
        self.passed = 0.0

    def local(self):
        return BASE + timedelta(seconds=self.passed + self.off_s)

    def monotonic(self) -> float:
        return 50.0 + self.passed

    def broker_ms(self, off_s: float = 0.0) -> int:
        return BASE_MS + int((self.passed + off_s) * 1000)

    def acknowledge(self, clock: BrokerClock, *, took_s: float = 0.01, off_s: float = 0.0) -> None:
        """The broker appends in the middle of the way there and back."""
        sent_at = self.monotonic()
        self.passed += took_s / 2
        told = self.broker_ms(off_s)
        self.passed += took_s / 2
        clock.learn(told, sent_at)

    def error_s(self, clock: BrokerClock) -> float:
        """How far the clock is ahead of the broker's time."""
        return (clock() - BASE).total_seconds() - self.passed


def made(off_s: float = 0.0):
    machine = Machine(off_s)
    return machine, BrokerClock(machine.local, machine.monotonic)


@pytest.mark.parametrize("off_s", [0.0, 2 * HOUR_S, -2 * HOUR_S], ids=["right", "ahead", "behind"])
def test_our_own_clock_counts_until_the_broker_has_told(off_s):
    machine, clock = made(off_s)
    assert machine.error_s(clock) == pytest.approx(off_s)
    machine.acknowledge(clock)
    assert machine.error_s(clock) == pytest.approx(0, abs=0.011)


def test_a_step_of_our_own_clock_changes_nothing():
    machine, clock = made()
    machine.acknowledge(clock)
    before = clock()
    machine.off_s = HOUR_S
    assert clock() == before


def test_an_acknowledgement_that_was_long_on_its_way_changes_nothing():
    machine, clock = made()
    machine.acknowledge(clock)
    before = machine.error_s(clock)
    machine.acknowledge(clock, took_s=3)
    assert machine.error_s(clock) == pytest.approx(before)


def test_it_gets_better_with_quicker_ones():
    machine, clock = made()
    machine.acknowledge(clock, took_s=4)
    assert machine.error_s(clock) == pytest.approx(-2, abs=0.01)
    machine.acknowledge(clock, took_s=0.002)
    assert machine.error_s(clock) == pytest.approx(0, abs=0.003)


def test_of_brokers_that_differ_the_one_that_is_ahead_counts():
    machine, clock = made()
    for _ in range(50):
        machine.acknowledge(clock, off_s=3)
        machine.acknowledge(clock)
        assert machine.error_s(clock) == pytest.approx(3, abs=0.02)


def test_what_is_too_much_is_taken_back_slowly():
    machine, clock = made()
    machine.acknowledge(clock, off_s=3)
    errors = []
    for _ in range(400):
        machine.passed += 1
        machine.acknowledge(clock)
        errors.append(machine.error_s(clock))
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(errors))
    assert errors[0] > 2.9
    assert errors[-1] == pytest.approx(0, abs=0.02)


def test_a_mistake_is_taken_back_at_once():
    machine, clock = made()
    machine.acknowledge(clock, off_s=HOUR_S)
    machine.acknowledge(clock)
    assert machine.error_s(clock) == pytest.approx(0, abs=0.011)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 0.5), st.floats(-2, 2)), max_size=50))
def test_time_does_not_run_backwards_between_brokers_that_nearly_agree(course):
    machine, clock = made()
    machine.acknowledge(clock)
    last = clock()
    for waits_s, took_s, off_s in course:
        machine.passed += waits_s
        assert clock() >= last
        machine.acknowledge(clock, took_s=took_s, off_s=off_s)
        assert clock() >= last
        last = clock()


class TestWarning:
    def warnings(self, caplog):
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    def test_nothing_is_said_of_a_clock_that_is_right(self, caplog):
        machine, clock = made(2.0)
        for _ in range(10):
            machine.acknowledge(clock)
        assert self.warnings(caplog) == []

    def test_a_wrong_clock_is_told_of_once(self, caplog):
        machine, clock = made(2 * HOUR_S)
        for _ in range(10):
            machine.acknowledge(clock)
        assert self.warnings(caplog) == ["the clock of this machine is 7200 s ahead of the brokers'; theirs counts"]

    def test_and_again_when_it_is_wrong_by_something_else(self, caplog):
        machine, clock = made()
        for off_s in (-60.0, -61.0, 0.0):
            machine.off_s = off_s
            machine.acknowledge(clock)
        assert self.warnings(caplog) == [
            "the clock of this machine is 60 s behind the brokers'; theirs counts",
            "the clock of this machine agrees with the brokers' again",
        ]

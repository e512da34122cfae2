"""What is said of a system that was killed, from what the provider, the client and the system's own record know."""

from tierstream.bench.durability import durability_of
from tierstream.bench.load import Answered, Trial


def trial(answered, *, missing=0, duplicates=0):
    answers = [Answered(number, 0.0, 1.0, b"") for number in range(answered)]
    return Trial(began=0.0, sent=answered + missing, answered=answers, missing=missing, duplicates=duplicates)


def test_nothing_happened():
    found = durability_of("s", 5, trial(2), {"a": 1, "b": 1}, {"a": 1, "b": 1}, 0)
    assert (found.sent, found.answered, found.lost, found.doubled) == (2, 2, 0, 0)
    assert (found.calls, found.repeated, found.billed, found.unbilled, found.unknown) == (2, 0, 2, 0, 0)


def test_a_call_that_was_on_the_wire_is_repeated_and_known_as_unknown():
    found = durability_of("s", 5, trial(2), {"a": 2, "b": 1}, {"a": 1, "b": 1}, 1)
    assert (found.calls, found.repeated, found.billed, found.unbilled, found.unknown) == (3, 1, 2, 1, 1)


def test_a_request_may_be_lost_although_its_call_was_made():
    found = durability_of("s", 5, trial(1, missing=2), {"a": 1, "b": 1}, {"a": 1}, 0)
    assert (found.lost, found.repeated, found.unbilled, found.unknown) == (2, 0, 1, 0)


def test_a_bill_for_a_call_that_was_not_made_makes_up_for_no_other():
    assert durability_of("s", 5, trial(1), {"a": 1}, {"b": 1}, 0).unbilled == 1

"""A record whose handler raised ends its request, whatever the record carries."""

from decimal import Decimal
from uuid import uuid4

from in_memory import BASE, BASE_MS, new_task

from streams.failed_records import FailedRecord
from streams.stage import Received
from topics.events import DeadLetter
from topics.results import Outcome, ResultStatus
from topics.tasks import Attempt

RECEIVED = Received("llm.escalations", 0, 7, BASE_MS, b"k", b"v", (), generation=1)


def attempt(cost):
    described = dict.fromkeys(("stage", "provider", "model", "why", "outcome"), "x")
    return Attempt(attempt_id=uuid4(), tier=1, cost_usd=Decimal(cost), provider_ms=1, **described)


def ending_of(task):
    failed = FailedRecord("escalate", RECEIVED, BASE).raised(task, ValueError("no"))
    letter, outcome = (output.record for output in failed)
    assert isinstance(letter, DeadLetter)
    assert isinstance(outcome, Outcome)
    return outcome


def test_the_ending_keeps_what_was_paid():
    assert ending_of(new_task(attempts=(attempt("0.25"),))).cost_usd == Decimal("0.25")


def test_what_does_not_fit_into_an_ending_ends_the_request_all_the_same():
    too_much_together = (attempt("9e25"), attempt("9e25"))
    outcome = ending_of(new_task(attempts=too_much_together))
    assert (outcome.request_id, outcome.status, outcome.cost_usd) == ("r1", ResultStatus.FAILED, 0)

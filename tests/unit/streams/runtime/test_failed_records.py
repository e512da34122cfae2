"""A record whose handler raised ends its request, whatever the record carries."""

from decimal import Decimal
from uuid import uuid4

from support.in_memory import BASE, BASE_MS, new_request, new_task

from streams.kafka.publisher import RecordTooLargeError
from streams.runtime.failed_records import FailedRecord
from streams.runtime.stage import Received
from topics.events import DeadLetter
from topics.journal import Usage
from topics.results import Outcome, ResultStatus
from topics.tasks import Answer, Attempt, Completion

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


def completion(content):
    described = dict.fromkeys(("provider", "model", "finish_reason"), "x")
    return Completion(attempt_id=uuid4(), tier=1, content=content, usage=Usage(input=1, output=1), **described)


def test_what_no_topic_takes_ends_the_request_with_what_was_paid_and_without_what_is_large():
    asked = new_task(new_request(tags=("t",) * 1000))
    paid = asked.model_copy(update={"attempts": (attempt("0.25"),), "best": completion("b" * 1000)})
    too_large = Answer(task=paid, completion=completion("a" * 1000))
    error = RecordTooLargeError("the record for validation has 9 bytes, at most 8 are accepted", too_large)
    letter, outcome = (output.record for output in FailedRecord("infer:1", RECEIVED, BASE).raised(asked, error))
    assert (letter.reason, letter.message, letter.traceback) == ("too_large", str(error), None)
    assert (outcome.status, outcome.error.code, outcome.error.message) == ("failed", "too_large", str(error))
    assert (outcome.cost_usd, len(outcome.route)) == (Decimal("0.25"), 1)
    assert (outcome.content, outcome.usage, outcome.attempt_id, outcome.tags) == (None, None, None, ())
    assert len(outcome.model_dump_json()) < 2000


def test_an_ending_that_no_topic_takes_becomes_another_ending():
    asked = new_task()
    [_, ended] = FailedRecord("infer:1", RECEIVED, BASE).raised(asked, ValueError("no"))
    large = ended.record.model_copy(update={"content": "a" * 1000, "status": ResultStatus.OK, "error": None})
    error = RecordTooLargeError("too large", large)
    [_, output] = FailedRecord("infer:1", RECEIVED, BASE).raised(asked, error)
    assert (output.record.status, output.record.content, output.record.digest) == ("failed", None, asked.digest)


def test_a_request_that_outgrows_its_topic_is_rejected():
    request = new_request()
    error = RecordTooLargeError("too large", new_task(request))
    [_, output] = FailedRecord("classify", RECEIVED, BASE, rejects=True).raised(request, error)
    assert (output.record.status, output.record.error.code) == ("rejected", "too_large")


def test_a_letter_keeps_as_much_as_it_may():
    received = Received("t", 0, 7, BASE_MS, b"k" * 100, b"v" * 100, (("h", b"x" * 100),), generation=1)
    [letter, _] = FailedRecord("s", received, BASE, kept_bytes=10).raised(new_task(), ValueError("no"))
    assert (letter.record.key, letter.record.value, letter.record.headers) == (b"k" * 10, b"v" * 10, ())
    assert letter.record.truncated

"""Feedback as verify sees it: what is told of, what is answered anew, and what is not."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tierstream.verify.feedback import FeedbackBook
from tierstream.verify.findings import Check, Findings
from topics.base import from_millis
from topics.codec import DecodeError
from topics.dead_letters import dead_letter
from topics.events import Hop, Hops
from topics.feedback import Feedback, FeedbackKind
from topics.results import Result, ResultStatus
from topics.tasks import Source

AT_MS = 1_772_366_400_000
NOW = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
TOPIC = "llm.feedback"


@pytest.fixture
def findings() -> Findings:
    return Findings()


@pytest.fixture
def book(findings) -> FeedbackBook:
    made = FeedbackBook(findings, topic=TOPIC, window=timedelta(hours=1), longest=timedelta(minutes=30))
    made.add_feedback(Feedback(request_id="r1", kind=FeedbackKind.WRONG, retry=True), 2, 5, AT_MS)
    return made


def told(detail: str = "noted", at_ms: int = AT_MS, stage: str = "feedback") -> Hops:
    at = from_millis(at_ms)
    hop = Hop(stage=stage, started_at=at, ended_at=at, queue_ms=0, outcome="wrong", detail=detail)
    return Hops(request_id="r1", hops=(hop,))


def answered(offset: int = 5, at_ms: int = AT_MS, revision: int = 1) -> Result:
    return Result(
        request_id="r1",
        revision=revision,
        status=ResultStatus.OK,
        cost_usd=Decimal(0),
        source=Source(topic=TOPIC, partition=2, offset=offset, timestamp_ms=at_ms),
        latency_ms=1,
        settled_at=NOW,
    )


def test_feedback_that_is_told_of_is_right(book, findings):
    assert book.is_waiting
    book.add_hops(told())
    assert not book.is_waiting
    book.finish({2: 6}, NOW)
    assert not findings.counts
    assert (book.count, book.retries) == (1, 0)


def test_of_two_kinds_in_the_same_millisecond_each_is_to_be_told_of(book, findings):
    book.add_feedback(Feedback(request_id="r1", kind=FeedbackKind.THUMBS_DOWN), 2, 6, AT_MS)
    book.add_hops(told())
    book.finish({2: 7}, NOW)
    assert [finding.subject for finding in findings.named(Check.FEEDBACK_UNTOLD)] == [f"{TOPIC}-2@6"]
    at = from_millis(AT_MS)
    unmatched = Hop(
        stage="feedback", started_at=at, ended_at=at, queue_ms=0, outcome="unmatched", detail="thumbs_down: no result"
    )
    book.add_hops(Hops(request_id="r1", hops=(unmatched,)))
    assert not book.is_waiting


@pytest.mark.parametrize("hops", [told(at_ms=AT_MS + 1), told(stage="infer:1")])
@pytest.mark.parametrize(("committed", "check"), [(6, Check.FEEDBACK_UNTOLD), (5, Check.PENDING)])
def test_feedback_that_no_hop_tells_of_is_lost_once_it_was_done(book, findings, hops, committed, check):
    book.add_hops(hops)
    book.finish({2: committed}, NOW)
    assert dict(findings.counts) == {check: 1}


def test_a_revision_that_was_asked_for_has_its_result(book, findings):
    for _ in range(2):
        book.add_hops(told("retried as revision 1"))
    assert (book.is_waiting, book.retries) == (True, 1)
    book.add_result(answered())
    assert not book.is_waiting
    book.finish({2: 6}, NOW)
    assert not findings.counts


@pytest.mark.parametrize(("later", "check"), [(0, Check.PENDING), (3600, Check.LOST)])
def test_a_revision_without_a_result_is_lost_when_its_time_is_up(book, findings, later, check):
    book.add_hops(told("retried as revision 1"))
    book.add_result(answered(revision=2))
    book.add_result(answered(at_ms=AT_MS - 3_600_001))
    book.finish({2: 6}, NOW + timedelta(seconds=later))
    assert dict(findings.counts) == {check: 1}


def test_a_revision_that_nobody_asked_for_is_named(book, findings):
    book.add_hops(told())
    book.add_result(answered(offset=6))
    book.add_result(answered(offset=7), judged=False)
    assert dict(findings.counts) == {Check.REVISION_UNASKED: 1}


def test_unreadable_feedback_has_its_dead_letter(book, findings):
    book.add_hops(told())
    for offset in (7, 8, 9):
        book.add_unreadable(b"{", 2, offset)
    book.add_dead_letter(letter(7, b"{"))
    book.add_dead_letter(letter(8, b"["))
    book.finish_dead_letters()
    assert dict(findings.counts) == {Check.DEAD_LETTER_UNFOUNDED: 1, Check.DEAD_LETTER_MISSING: 1}


def test_feedback_over_which_a_handler_raised_is_told_of_by_its_letter(book, findings):
    book.add_dead_letter(letter(5, b"{}"))
    book.finish({2: 6}, NOW)
    assert not findings.counts


def letter(offset: int, value: bytes):
    class Bad:
        timestamp, key, headers = AT_MS, None, ()

    Bad.offset, Bad.value = offset, value
    return dead_letter("feedback", DecodeError("invalid", "no"), Bad(), topic=TOPIC, partition=2, at=NOW)

"""Comparisons as verify sees them: each that was done is told of, by a hop or by a dead letter."""

from datetime import UTC, datetime

import pytest
from support.in_memory import new_request, new_task

from tierstream.verify.findings import Check, Findings
from tierstream.verify.shadows import ShadowBook
from topics.codec import DecodeError
from topics.dead_letters import dead_letter
from topics.events import Hop, Hops
from topics.journal import Usage
from topics.shadow import ShadowTask
from topics.tasks import Completion

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC = "llm.shadow"


@pytest.fixture
def findings() -> Findings:
    return Findings()


@pytest.fixture
def book(findings) -> ShadowBook:
    made = ShadowBook(findings, topic=TOPIC)
    task = new_task(new_request(request_id="r1"))
    who = {"attempt_id": "0" * 32, "tier": 1, "provider": "p", "model": "m"}
    answer = Completion(content="4", finish_reason="stop", usage=Usage(input=1, output=1), **who)
    for offset in (3, 7):
        made.add_task(ShadowTask(task=task, completion=answer, shadow="next"), 2, offset)
    return made


def told(outcome: str = "win", detail: str = "next: better / better") -> Hops:
    hop = Hop(stage="shadow", started_at=AT, ended_at=AT, queue_ms=0, outcome=outcome, detail=detail)
    return Hops(request_id="r1", hops=(hop,))


def test_copies_of_a_task_are_told_of_once(book, findings):
    book.add_hops(told())
    book.finish({2: 8})
    assert not findings.counts


@pytest.mark.parametrize("hops", [None, told("compared"), told(detail="other: better / better")])
@pytest.mark.parametrize(("committed", "named"), [(3, []), (4, [f"{TOPIC}-2@3"]), (8, [f"{TOPIC}-2@3"])])
def test_what_was_done_and_is_not_told_of_is_named(book, findings, hops, committed, named):
    if hops is not None:
        book.add_hops(hops)
    book.finish({2: committed})
    assert [finding.subject for finding in findings.named(Check.SHADOW_UNTOLD)] == named


def test_a_handler_that_raised_has_told_of_it_by_its_letter(book, findings):
    class Bad:
        timestamp, key, headers, offset, value = 1_772_366_400_000, None, (), 7, b"{}"

    book.add_dead_letter(dead_letter("shadow", DecodeError("invalid", "no"), Bad(), topic=TOPIC, partition=2, at=AT))
    book.finish({2: 8})
    assert not findings.counts

"""Requests against results and dead letters: none lost, none answered twice, none refused without a trace."""

from datetime import timedelta

import pytest
from support.ledger_records import BASE, result
from support.verify_judge import LATER, WINDOW, ms

from streams.config.settings_sections import DeadlineSettings
from tierstream.verify.findings import Check, Findings
from tierstream.verify.requests import RequestBook
from topics.events import DeadLetter
from topics.messages import Message
from topics.requests import Request

TOPIC = "llm.requests"
NOW_MS = ms(BASE)


def request(request_id: str, text: str = "Hello", **fields) -> Request:
    return Request(request_id=request_id, messages=(Message(role="user", content=text),), **fields)


def letter(offset: int, sha256: str, topic: str = TOPIC) -> DeadLetter:
    place = {"topic": topic, "partition": 0, "offset": offset, "timestamp_ms": NOW_MS}
    return DeadLetter(stage="classify", reason="not_json", message="", size=1, sha256=sha256, at=BASE, **place)


@pytest.fixture
def findings() -> Findings:
    return Findings()


@pytest.fixture
def book(findings) -> RequestBook:
    return RequestBook(findings, topic=TOPIC, deadlines=DeadlineSettings(), window=WINDOW)


def test_each_request_is_answered_once(findings, book):
    for offset, n in enumerate((1, 1, 2, 3)):
        book.add_request(request(f"r{n}"), 0, offset, NOW_MS)
    waiting = book.outstanding()
    for n in (1, 2, 2):
        book.add_result(result(n))
        waiting.discard(result(n))
    assert [missing.offset for missing in book.unanswered()] == [3]
    assert waiting
    waiting.discard(result(3))
    assert not waiting
    assert book.distinct == 3
    assert [finding.subject for finding in findings.named(Check.DOUBLED)] == ["r2"]
    assert not findings.ok


def test_the_same_id_with_another_body_is_only_counted(findings, book):
    for offset, text in enumerate(("a", "a", "b")):
        book.add_request(request("r1", text), 0, offset, NOW_MS)
    book.add_result(result(1))
    assert findings.counts == {Check.ID_REUSED: 1}
    assert findings.ok


HOUR_MS = ms(LATER) - NOW_MS


def answer_to(n: int, appended_ms: int, *, revision: int = 0):
    source = result(n).source.model_copy(update={"timestamp_ms": appended_ms})
    return result(n).model_copy(update={"source": source, "revision": revision})


def test_copies_within_the_window_are_of_one_request_and_others_are_not(findings, book):
    """An id may be used anew after the window: it is a request of its own then, with a result of its own."""
    appended = [NOW_MS, NOW_MS + HOUR_MS, NOW_MS + HOUR_MS + 1, NOW_MS + 3 * HOUR_MS]
    for offset, at_ms in enumerate(appended):
        book.add_request(request("r1", f"text {offset // 2}"), 0, offset, at_ms)
    waiting = book.outstanding()
    for at_ms in (appended[0], appended[3]):
        book.add_result(answer_to(1, at_ms))
        waiting.discard(answer_to(1, at_ms))
    assert waiting
    # The third copy came more than a window after the one that was answered.
    assert [missing.offset for missing in book.unanswered()] == [2]
    assert Check.DOUBLED not in findings.counts
    # The second copy was in time for both bodies.
    assert findings.counts == {Check.ID_REUSED: 1}
    book.add_result(answer_to(1, appended[2]))
    waiting.discard(answer_to(1, appended[2]))
    assert not list(book.unanswered())
    assert not waiting
    book.add_result(answer_to(1, appended[3] + HOUR_MS))
    assert findings.counts[Check.DOUBLED] == 1


def test_a_request_without_a_result_is_named_once_however_often_it_came(book):
    for offset in range(1_000):
        book.add_request(request("r1"), 0, offset, NOW_MS + offset * HOUR_MS // 400)
    # Over two windows and a half; of the copies in a window only the outermost are kept.
    assert [missing.offset for missing in book.unanswered()] == [0, 800]


def test_a_retry_of_a_dead_letter_asks_for_a_result_of_its_own(findings, book):
    late_ms = NOW_MS + 5 * HOUR_MS
    book.add_request(request("r1"), 0, 0, NOW_MS)
    book.add_request(request("r1"), 0, 1, late_ms, revision=1)
    book.add_result(answer_to(1, NOW_MS))
    assert [missing.offset for missing in book.unanswered()] == [1]
    book.add_result(answer_to(1, late_ms, revision=1))
    assert not list(book.unanswered())
    assert not findings.counts


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 120),
        ({"service_class": "bulk"}, 1800),
        ({"timeout_ms": 500}, 0.5),
        ({"timeout_ms": 5000, "deadline": BASE + timedelta(seconds=2)}, 2),
        ({"deadline": BASE + timedelta(days=2)}, 3600),
    ],
)
def test_deadlines_are_those_of_the_contract(book, fields, seconds):
    book.add_request(request("r1", **fields), 1, 5, NOW_MS)
    [missing] = book.unanswered()
    assert (missing.partition, missing.offset) == (1, 5)
    assert missing.deadline_ms == NOW_MS + seconds * 1000


def test_an_unreadable_request_needs_its_dead_letter(findings, book):
    sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of b"x"
    for offset in range(3):
        book.add_unreadable(b"x", "bad" if offset == 0 else None, 0, offset, NOW_MS)
    assert book.add_dead_letter(letter(0, sha))
    assert book.add_dead_letter(letter(1, "other"))
    assert not book.add_dead_letter(letter(2, sha, topic="llm.tier1"))
    assert not book.add_dead_letter(letter(9, sha))
    raised = letter(9, sha).model_copy(update={"reason": "handler_error", "request_id": "r1"})
    assert not book.add_dead_letter(raised)
    assert book.raised == {"r1"}
    book.finish_dead_letters()
    assert [f.subject for f in findings.named(Check.DEAD_LETTER_UNFOUNDED)] == [f"{TOPIC}-0@1"]
    assert [f.subject for f in findings.named(Check.DEAD_LETTER_MISSING)] == [f"{TOPIC}-0@2"]
    assert [missing.offset for missing in book.unanswered()] == [0]

"""Batches of providers as an operator sees them: which are shown, what is said of each, the printed list and JSON."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from support.in_memory import BASE

from streams.bulk.submission_log import SubmissionLog
from tierstream.cli.render.submissions import show_submissions
from tierstream.operations.submissions import submission_reports
from topics.bulk import Member, Submission, SubmissionEnded, Submitted
from topics.codec import encode

ASKED_MS = int(BASE.timestamp() * 1000)


def submission(name, *offsets, ago=timedelta(0), stage="infer:1"):
    return Submission(
        submission_id=name,
        stage=stage,
        provider="groq",
        model="openai/gpt-oss-20b",
        members=tuple(
            Member(offset=at, request_id=f"r{at}", n=0, asked_ms=int(BASE.timestamp() * 1000)) for at in offsets
        ),
        at=BASE - ago,
        gives_up_at=BASE - ago + timedelta(hours=20),
    )


def submitted(name, batch_id, *, found=False):
    return Submitted(submission_id=name, batch_id=batch_id, at=BASE, found=found)


def ended(name, status="collected", answered=2, detail=None):
    return SubmissionEnded(submission_id=name, status=status, answered=answered, detail=detail, at=BASE)


def log_of(*partitions):
    """A log whose partitions hold these records."""
    log = SubmissionLog()
    for partition, records in enumerate(partitions):
        for record in records:
            encoded = encode(record)
            log.note(SimpleNamespace(partition=partition, value=encoded.value, headers=encoded.headers))
    return log


HISTORY = (
    (
        submission("old", 0, 1, 2, ago=timedelta(hours=5)),
        submitted("old", "batch_7"),
        ended("old"),
        submission("waits", 3, 4, ago=timedelta(minutes=1)),
    ),
    (
        submission("runs", 0, ago=timedelta(hours=2), stage="infer:2"),
        submitted("runs", "batch_8", found=True),
        submission("late", 0, 1),
        submission("none", 5, ago=timedelta(hours=1)),
        ended("none", "refused", 0, "groq took none of it: token_limit_exceeded"),
    ),
)


def shown(capsys, *, with_ended):
    show_submissions(submission_reports(log_of(*HISTORY), with_ended=with_ended), with_ended=with_ended)
    header, *lines = (line.split() for line in capsys.readouterr().out.splitlines())
    return header, lines


@pytest.mark.parametrize(
    ("with_ended", "expected"),
    [
        (False, [("runs", "submitted", 1), ("waits", "submitting", 2)]),
        (
            True,
            [("old", "collected", 3), ("runs", "submitted", 1), ("none", "refused", 1), ("waits", "submitting", 2)],
        ),
    ],
)
def test_those_under_way_are_listed_and_the_ended_ones_on_request_the_oldest_first(with_ended, expected):
    found = submission_reports(log_of(*HISTORY), with_ended=with_ended)
    assert [(one.submission.submission_id, one.state, one.calls) for one in found] == expected


def test_the_list_says_which_batch_it_is_and_when_it_is_given_up(capsys):
    header, lines = shown(capsys, with_ended=False)
    assert " ".join(header) == "submission model stage calls since at the provider gives up"
    runs, waits = (" ".join(line) for line in lines)
    assert runs == "runs groq/openai/gpt-oss-20b infer:2 1 2026-03-01 10:00:00 batch_8 2026-03-02 06:00:00"
    assert waits == (
        "waits groq/openai/gpt-oss-20b infer:1 2 2026-03-01 11:59:00 not submitted yet 2026-03-02 07:59:00"
    )


def test_the_whole_list_also_says_how_they_ended(capsys):
    header, lines = shown(capsys, with_ended=True)
    assert header[-3:] == ["ended", "answered", "why"]
    old, runs, none, _ = (" ".join(line) for line in lines)
    assert old.endswith("2026-03-01 07:00:00 batch_7 - collected 2026-03-01 12:00:00 2")
    assert runs.endswith("batch_8 2026-03-02 06:00:00")
    assert none.endswith("- - refused 2026-03-01 12:00:00 0 groq took none of it: token_limit_exceeded")


@pytest.mark.parametrize(("with_ended", "line"), [(False, "no submissions under way\n"), (True, "no submissions\n")])
def test_an_empty_list_says_so(with_ended, line, capsys):
    show_submissions([], with_ended=with_ended)
    assert capsys.readouterr().out == line


def test_what_a_provider_said_can_not_take_over_the_terminal(capsys):
    log = log_of((submission("s", 0), submitted("s", "batch\x1b[2J"), ended("s", "lost", 0, "gone\x1b[2J")))
    show_submissions(submission_reports(log, with_ended=True), with_ended=True)
    assert "\x1b" not in capsys.readouterr().out


def test_json_has_all_but_the_members():
    old, runs, none, waits = (one.as_json() for one in submission_reports(log_of(*HISTORY), with_ended=True))
    assert runs == {
        "submission_id": "runs",
        "stage": "infer:2",
        "provider": "groq",
        "model": "openai/gpt-oss-20b",
        "at": "2026-03-01T10:00:00Z",
        "gives_up_at": "2026-03-02T06:00:00Z",
        "calls": 1,
        "state": "submitted",
        "submitted": {"batch_id": "batch_8", "at": "2026-03-01T12:00:00Z", "found": True},
        "ended": None,
    }
    assert old["ended"] == {"status": "collected", "answered": 2, "detail": None, "at": "2026-03-01T12:00:00Z"}
    assert (none["submitted"], none["state"]) == (None, "refused")
    assert (waits["submitted"], waits["ended"]) == (None, None)

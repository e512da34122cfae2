"""Figures of the free checks on labelled answers that were made by hand, so that each is known."""

import json

import pytest

from tierstream.client.request_file import InputError
from tierstream.training.answer_report import report
from tierstream.training.labelled_answers import LabelledAnswer, read_answers

ANSWERS = [
    ("a", "good", "en", "It is 4."),
    ("b", "good", "en", "I don't know."),
    ("c", "refusal", "en", "I'm sorry, I can't help with that."),
    ("d", "refusal", "de", "Vier."),
    ("e", "empty", "de", " "),
]


def line(name="a", kind="good", language="en", answer="4", **fields):
    request = {"messages": [{"role": "user", "content": "What is 2 + 2?"}]}
    return json.dumps({"id": name, "kind": kind, "language": language, "request": request, "answer": answer, **fields})


@pytest.fixture
def written(tmp_path):
    def write(*lines):
        (tmp_path / "answers.jsonl").write_text("\n".join(lines))
        return tmp_path / "answers.jsonl"

    return write


def test_figures_by_kind_check_and_language(written):
    answers = read_answers(written(*(line(*answer) for answer in ANSWERS), ""), LabelledAnswer)
    told = []
    found = report(answers, told.append)
    assert told == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert (found.answers, found.caught.count, found.caught.of) == (5, 2, 3)
    assert (found.false_alarms.count, found.false_alarms.of) == (1, 2)
    assert found.false_alarms.low < 0.5 < found.false_alarms.high
    assert [(kind.kind, kind.failed.count, kind.checks) for kind in found.kinds] == [
        ("good", 1, {"hedge": 1}),
        ("refusal", 1, {"hedge": 1}),
        ("empty", 1, {"empty": 1}),
    ]
    checks = {check.check: (check.caught.count, check.false_alarms.count) for check in found.checks}
    assert (checks["hedge"], checks["empty"], checks["loop"]) == ((1, 1), (1, 0), (0, 0))
    assert [(one.language, one.caught.count, one.false_alarms.count) for one in found.languages] == [
        ("de", 1, 0),
        ("en", 1, 1),
    ]
    assert [(miss.id, miss.check) for miss in found.misses] == [("b", "hedge"), ("d", None)]
    assert 0 < found.took_ms.median <= found.took_ms.p95


def test_there_may_be_no_bad_answers(written):
    found = report(read_answers(written(line()), LabelledAnswer), lambda share: None)
    assert (found.caught.of, found.caught.share, found.caught.low) == (0, None, None)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["{}"], "line 1: id: "),
        ([line(), line()], "line 2: id: 'a' occurs twice"),
        ([line(finish_reason="eos")], "line 1: finish_reason: "),
        ([line(verdict=1)], "line 1: verdict: "),
        ([line(request={"messages": []})], "line 1: request.messages: "),
        (["[]"], "line 1: line: "),
        ([""], "there is no answer in it"),
    ],
)
def test_what_can_not_be_read_is_named_and_no_text_quoted(written, lines, words):
    with pytest.raises(InputError) as caught:
        read_answers(written(*lines), LabelledAnswer)
    assert words in str(caught.value)
    assert "2 + 2" not in str(caught.value)

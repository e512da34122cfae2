"""Files of answers, and the script that is made of them."""

import pytest
from support.answers_and_ends import PAIRS, pair_of, write_pairs

from streams.validation.checks import failed_check
from tierstream.bench.answer_pairs import AnswerPair, distinct, script_of
from tierstream.client.request_file import InputError
from tierstream.simulator.answers import Script
from tierstream.training.labelled_answers import read_answers


def test_what_is_read_is_what_the_simulator_says(tmp_path):
    pairs = read_answers(write_pairs(tmp_path / "pairs.jsonl"), AnswerPair)
    script = Script(script_of(pairs))
    assert len(script) == len(PAIRS) == 20
    for raw, pair in zip(PAIRS, pairs, strict=True):
        entry = script.find(raw["request"]["messages"][-1]["content"])
        if pair.is_good:
            assert (entry.label, entry.answer, entry.finish) == (1, raw["answer"], raw["finish_reason"])
        else:
            assert (entry.label, entry.failure) == (2, "wrong")
            assert (entry.wrong, entry.wrong_finish) == (raw["answer"], raw["finish_reason"])
            assert entry.answer.strip() != entry.wrong.strip()


def test_no_check_stops_what_stands_in_for_the_right_answer(tmp_path):
    for pair in read_answers(write_pairs(tmp_path / "pairs.jsonl"), AnswerPair):
        assert pair.is_good or failed_check(pair.request, pair.right_answer, "stop") is None


def test_a_bad_answer_that_quotes_the_question_is_not_the_right_one():
    pair = pair_of("refusal", "What is the capital of Norway.")
    assert pair.right_answer == "What is the capital of Norway. (What is the capital of Norway.)"


def test_a_question_that_comes_again_is_left_out():
    first, again = pair_of(id="a"), pair_of("refusal", "No idea.", id="b")
    assert distinct([first, again]) == ([first], [again])


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("not JSON", "line 1: line:"),
        ('{"id": "a", "kind": "good", "answer": "b"}', "request"),
        ('{"id": "a", "kind": "good", "answer": "b", "request": {"messages": []}}', "request.messages"),
        ('{"id": "a", "kind": "good", "answer": "b", "request": 3}', "request"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path, line, where):
    file = tmp_path / "pairs.jsonl"
    file.write_text(line)
    with pytest.raises(InputError, match=where):
        read_answers(file, AnswerPair)


def test_a_file_without_pairs_is_none(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n")
    with pytest.raises(InputError, match="no answer"):
        read_answers(file, AnswerPair)

"""`tierstream feedback` without a broker: what is wrong is said before anything is sent."""

import pytest
from typer.testing import CliRunner

from tierstream.cli import app

MISTAKES = {
    "": "give REQUEST_ID and KIND, or --input FILE",
    "r1": "give REQUEST_ID and KIND, or --input FILE",
    "r1 bad": "'bad' is not one of 'thumbs_up'",
    "r1 rating": "--rating: needed with kind rating, and with no other",
    "r1 wrong --rating 2": "--rating: needed with kind rating, and with no other",
    "r1 rating --rating 6": "Invalid value for '--rating'",
    "r1 wrong --correction-file answer.txt": "--correction-file: goes with kind human_corrected only",
    "r1 human_corrected --correction-file none.txt": "none.txt: No such file or directory",
    "r1 wrong --input lines.jsonl": "--input goes with --wait, --timeout and --json only",
    "--input empty.jsonl": "empty.jsonl: there is no feedback in it",
    "--input lines.jsonl": "lines.jsonl line 3: retry: Input should be a valid boolean",
    "--input broken.jsonl": "broken.jsonl line 1: not JSON",
    "--input list.jsonl": "list.jsonl line 1: not a JSON object",
}
FILES = {
    "answer.txt": "It is 4.",
    "empty.jsonl": "\n",
    "lines.jsonl": '{"request_id": "r1", "kind": "wrong"}\n\n{"request_id": "r1", "kind": "wrong", "retry": 1}\n',
    "broken.jsonl": "{",
    "list.jsonl": "[]",
}


@pytest.mark.parametrize(("arguments", "problem"), MISTAKES.items())
def test_mistakes_are_one_clear_line(arguments, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "300")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    shown = CliRunner().invoke(app, ["feedback", *arguments.split()])
    told = " ".join((shown.output + str(shown.exception or "")).split())
    assert shown.exit_code != 0
    assert problem in told

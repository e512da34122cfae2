"""Evaluating the free checks on the command line, with the answers that they were tuned on."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.validation.checks import CHECKS
from tierstream.cli import app

TUNING = Path(__file__).parents[2] / "tierstream" / "training" / "answers" / "tuning.jsonl"


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_what_the_checks_were_tuned_on():
    found = json.loads(run("--answers", TUNING, "--json").stdout)
    assert found["false_alarms"]["count"] == 0
    assert found["caught"]["count"] > 0.9 * found["caught"]["of"]
    assert all(
        kind["failed"]["count"] > 0.8 * kind["failed"]["of"] for kind in found["kinds"] if kind["kind"] != "good"
    )
    assert [check["check"] for check in found["checks"]] == [*CHECKS]
    assert not any("answer" in miss for miss in found["misses"])


def test_texts_are_shown_where_that_is_asked_for(tmp_path):
    said = "I am sorry, I cannot help with \x1b[31mthat."
    line = {"id": "a-1", "kind": "good", "request": {"messages": [{"role": "user", "content": "Hi"}]}, "answer": said}
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps(line))
    silent, shown = run("--answers", file).stdout, run("--answers", file, "--show-misses").stdout
    assert "100.0%" in silent
    assert "sorry" not in silent
    assert "a-1" not in silent
    assert "I am sorry, I cannot help with [31mthat." in shown
    assert "a-1" in shown
    [miss] = json.loads(run("--answers", file, "--show-misses", "--json").stdout)["misses"]
    assert miss == {"id": "a-1", "kind": "good", "check": "hedge", "answer": said}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--answers", TUNING, "--outcomes", TUNING), "--outcomes does not go with --answers"),
        (("--answers", TUNING, "--seed", 1), "--seed does not go with --answers"),
        (("--requests", TUNING, "--show-misses"), "--show-misses belongs to --answers"),
        (("--answers", TUNING.parent / "none.jsonl"), "No such file"),
        (("--answers", TUNING.parent / "README.md"), "README.md line 1: line: "),
    ],
)
def test_what_does_not_go_together(arguments, words):
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())

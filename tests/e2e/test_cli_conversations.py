"""`tierstream evaluate --conversations` on the command line, with a small file made here."""

import json

import pytest
from typer.testing import CliRunner

from tierstream.cli import app

ASKED = [
    {"role": "user", "content": "Which city is the capital of Australia?"},
    {"role": "assistant", "content": "Australia is a country in Oceania."},
]
ROWS = [
    ("a", "en", "Which town has the seat of the Australian government, its capital city?", ["rephrased"]),
    ("b", "en", "This is useless. Are you kidding me?!", ["frustrated"]),
    ("c", "de", "Und von Neuseeland?", []),
    ("d", "de", "Thanks!", ["frustrated"]),
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "labelled.jsonl"
    rows = (
        {"id": key, "language": language, "messages": [*ASKED, {"role": "user", "content": text}], "labels": labels}
        for key, language, text, labels in ROWS
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_the_figures_as_json(file):
    result = run("--conversations", file, "--bootstrap", 20, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["conversations"] == 4
    everything = found["groups"][0]["figures"]
    assert everything["rephrased"]["precision"]["value"] == everything["rephrased"]["recall"]["value"] == 1
    assert (everything["frustrated"]["labelled"], everything["frustrated"]["given"]) == (2, 1)
    assert everything["frustrated"]["recall"]["value"] == 0.5
    assert [group["language"] for group in found["groups"]] == ["", "de", "en"]


def test_the_figures_as_tables(file):
    result = run("--conversations", file, "--bootstrap", 0)
    assert result.exit_code == 0, result.output
    assert "4 conversations" in result.stdout
    assert "100.0% / 100.0%" in result.stdout
    assert "- / 0.0%" in result.stdout
    assert "by language" in result.stdout


@pytest.mark.parametrize("option", [("--votes",), ("--folds", 3), ("--requests", "x.jsonl"), ("--cross-validate",)])
def test_options_of_others_are_refused(file, option):
    result = run("--conversations", file, *option)
    assert result.exit_code == 2, result.output
    assert f"{option[0]} does not go with --conversations" in " ".join(result.stderr.replace("│", " ").split())


def test_a_file_that_cannot_be_used_is_one_line(tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text('{"id": "a", "messages": [{"role": "user", "content": "secret words"}], "labels": []}')
    result = run("--conversations", path)
    assert result.exit_code == 2
    assert "line 1: messages" in " ".join(result.stderr.replace("│", " ").split())
    assert "secret" not in result.output

"""Training, scoring, evaluating and calibrating on the command line, with small files made here."""

import gzip
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from streams.routing.learned.classifier import LearnedClassifier
from tierstream.cli import app

WORDS = ["river", "stone", "cloud", "paper", "green", "seven", "music", "winter", "table", "bread"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def assert_refused(result, *words):
    assert result.exit_code == 2, result.output
    line = result.stderr.strip()
    assert line.startswith("error: "), line
    assert "\n" not in line
    for word in words:
        assert word in line


def outcomes(count=300, benchmark="mmlu", subjects=8, seed=0):
    """Outcomes in which prompts with figures need the stronger model."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        hard = bool(rng.random() < 0.5)
        figures = f"{rng.integers(100, 999)} + {rng.integers(100, 999)} = ?" if hard else "why?"
        yield {
            "id": f"{benchmark}-{seed}-{number}",
            "benchmark": benchmark,
            "subject": f"subject-{number % subjects}",
            "prompt": f"{' '.join(rng.choice(WORDS, 8))} {figures}",
            "weak_correct": int(rng.random() < (0.3 if hard else 0.9)),
            "strong_correct": int(rng.random() < 0.9),
        }


def write(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("train")
    mmlu = [*outcomes()]
    for row in mmlu[:20]:
        row["subject"] = "moral_scenarios"
    write(place / "train.jsonl.gz", [*mmlu, *outcomes(120, "gsm8k", subjects=1, seed=1)])
    write(place / "other.jsonl", outcomes(200, seed=2))
    succeed("train", "--outcomes", place / "train.jsonl.gz", "--out", place / "model.npz", "--attribution", "made up")
    return place


@pytest.mark.parametrize("command", ["train", "score", "evaluate", "calibrate"])
def test_help(command):
    result = succeed(command, "--help")
    assert "Usage" in result.stdout
    assert "Example" in result.stdout


def test_train_is_deterministic_and_says_what_it_made(files, tmp_path):
    result = succeed("train", "--outcomes", files / "train.jsonl.gz", "--out", tmp_path / "again.npz", "--json")
    found = json.loads(result.stdout)
    assert (found["outcomes"], found["model"]) == (420, str(tmp_path / "again.npz"))
    assert found["bytes"] == (tmp_path / "again.npz").stat().st_size < 5_000_000
    bare = ({**{k: r[k] for k in r if k != "benchmark"}, "subject": None} for r in outcomes())
    write(tmp_path / "bare.jsonl", bare)
    succeed("train", "--outcomes", tmp_path / "bare.jsonl", "--out", tmp_path / "one.npz")
    # The subject sorts figures and is never learned from.
    write(tmp_path / "full.jsonl", outcomes())
    succeed("train", "--outcomes", tmp_path / "full.jsonl", "--out", tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_score_writes_a_line_for_each_prompt(files, tmp_path):
    texts = ["river 123 + 456 = ?", "cloud why?", "", "日本語", "\ud800", "\x00", "x" * 100_000, "def f(): pass"]
    prompts = write(tmp_path / "p.jsonl.gz", ({"id": f"p{i}", "prompt": text} for i, text in enumerate(texts)))
    result = succeed("score", "--model", files / "model.npz", "--prompts", prompts, "--out", tmp_path / "s", "--json")
    assert json.loads(result.stdout)["prompts"] == len(texts)
    found = [json.loads(line) for line in (tmp_path / "s").read_text().splitlines()]
    assert [row["id"] for row in found] == [f"p{i}" for i in range(len(texts))]
    assert all(0 <= row["score"] <= 1 for row in found)
    assert found[0]["score"] > found[1]["score"]
    shown = succeed("score", "--model", files / "model.npz", "--prompts", prompts, "--out", "-").stdout
    assert shown == (tmp_path / "s").read_text()


def test_score_takes_the_shipped_model_and_raw_control_characters(tmp_path):
    (tmp_path / "p.jsonl").write_bytes('\ufeff{"id": "a", "prompt": "tab\tbell\x07"}\n\n'.encode())
    succeed("score", "--prompts", tmp_path / "p.jsonl", "--out", tmp_path / "s.jsonl")
    assert json.loads((tmp_path / "s.jsonl").read_text())["id"] == "a"


def test_evaluate_on_outcomes_that_were_not_trained_on(files):
    found = json.loads(
        succeed("evaluate", "--model", files / "model.npz", "--outcomes", files / "other.jsonl", "--json").stdout
    )
    assert (found["outcomes"], found["trained_on"]) == (200, 0)
    [mmlu] = found["slices"]
    by_name = {row["router"]: row for row in mmlu["routers"]}
    apgr = {name: row["metrics"]["apgr"] for name, row in by_name.items()}
    assert apgr["random"] == pytest.approx(0.5)
    assert 0.6 < apgr["model"] < apgr["oracle"]
    span = by_name["model"]["intervals"]["apgr"]
    assert span["low"] < apgr["model"] < span["high"]
    assert len(mmlu["paper"]) == 4


def test_evaluate_cross_validates_by_passage_and_by_subject(files):
    arguments = ("evaluate", "--outcomes", files / "train.jsonl.gz", "--cross-validate", "--folds", 2)
    result = succeed(*arguments, "--bootstrap", 20, "--json")
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found["model"] is None
    sizes = {part["name"]: part["outcomes"] for part in found["slices"]}
    assert sizes == {"gsm8k": 120, "mmlu": 300, "mmlu_clean": 280, "unseen_subjects": 280}
    for part in found["slices"]:
        by_name = {row["router"]: row for row in part["routers"]}
        apgr = {name: row["metrics"]["apgr"] for name, row in by_name.items()}
        assert apgr["model"] > 0.55
        lead = by_name["tf-idf ridge"]["model_lead"]
        assert lead["apgr"] == pytest.approx(apgr["model"] - apgr["tf-idf ridge"])
        assert lead["interval"]["low"] < lead["apgr"] < lead["interval"]["high"]
        assert by_name["model"]["model_lead"] is by_name["oracle"]["model_lead"] is None


def test_evaluate_compares_with_a_baseline_fitted_to_the_training_file(files, tmp_path):
    new = [{**row, "subject": "subject-new"} if i < 60 else row for i, row in enumerate(outcomes(200, seed=2))]
    arguments = ("evaluate", "--model", files / "model.npz", "--baseline-outcomes", files / "train.jsonl.gz")
    result = succeed(*arguments, "--outcomes", write(tmp_path / "new.jsonl", new), "--bootstrap", 50)
    assert "unseen_subjects: 60 outcomes" in result.stdout
    assert "tf-idf ridge" in result.stdout
    assert any(verdict in result.stdout for verdict in ("better", "worse", "unclear"))
    assert result.stderr == ""
    again = succeed(*arguments, "--outcomes", files / "train.jsonl.gz", "--bootstrap", 0)
    assert "420 of these 420 prompts are among --baseline-outcomes" in again.stderr


def test_controls_learn_nothing(files):
    arguments = ("evaluate", "--outcomes", files / "train.jsonl.gz", "--cross-validate", "--folds", 2)
    found = json.loads(succeed(*arguments, "--control", "swapped", "--repeats", 1, "--json").stdout)
    assert {part["name"]: len(part["apgr"]) for part in found["slices"]} == {"gsm8k": 1, "mmlu": 1, "mmlu_clean": 1}
    assert all(value < 0.45 for part in found["slices"] for value in part["apgr"])
    shown = succeed(*arguments, "--control", "shuffled", "--repeats", 2).stdout
    assert "shuffled" in shown
    assert "0.5, but for chance" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--control", "shuffled"), "give --cross-validate too"),
        (("--cross-validate", "--control", "random"), "'random'"),
        (("--cross-validate", "--model", "m.npz"), "leave --model out"),
        (("--cross-validate", "--baseline-outcomes", "o.jsonl"), "leave --baseline-outcomes out"),
    ],
)
def test_options_that_contradict_each_other(files, options, words):
    result = run("evaluate", "--outcomes", files / "other.jsonl", *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("│", " ").split())


def test_evaluate_shows_tables_and_curves_and_warns_of_what_was_trained_on(files):
    result = succeed(
        "evaluate", "--model", files / "model.npz", "--outcomes", files / "train.jsonl.gz", "--bootstrap", 0
    )
    for word in ("APGR", "CPT(50 %)", "oracle", "prompt length", "mmlu_clean", "gap recovered", "paper: BERT", "█"):
        assert word in result.stdout
    assert "trained on 420 of these 420 prompts" in result.stderr


def test_evaluate_where_there_is_nothing_to_route(files, tmp_path):
    rows = [{**row, "strong_correct": row["weak_correct"]} for row in outcomes(20)]
    result = succeed("evaluate", "--model", files / "model.npz", "--outcomes", write(tmp_path / "o.jsonl", rows))
    assert "nothing to route" in result.stdout


def test_calibrate_picks_a_threshold_that_the_model_keeps(files, tmp_path):
    arguments = ("calibrate", "--model", files / "model.npz", "--outcomes", files / "other.jsonl", "--bootstrap", 50)
    result = succeed(*arguments, "--target-quality", 0.9, "--out", tmp_path / "m.npz", "--json")
    found = json.loads(result.stdout)
    expected, cautious, costs = found["expected"], found["cautious"], found["cost_usd_per_1000"]
    assert expected["quality"] >= 0.9
    assert expected["quality_interval"]["low"] < expected["quality"] < expected["quality_interval"]["high"]
    assert cautious["score"] <= expected["score"]
    assert cautious["quality_interval"]["low"] >= 0.9 - 1e-9
    assert costs["all_weak"] < costs["expected"] <= costs["cautious"] <= costs["all_strong"]
    prompts = write(tmp_path / "p.jsonl", ({"id": row["id"], "prompt": row["prompt"]} for row in outcomes(200, seed=2)))
    succeed("score", "--model", tmp_path / "m.npz", "--prompts", prompts, "--out", tmp_path / "s.jsonl")
    scores = [json.loads(line)["score"] for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert np.mean(np.array(scores) >= expected["score"]) == pytest.approx(expected["strong_share"])
    shown = succeed(*arguments, "--cautious", "--out", tmp_path / "c.npz").stdout
    assert shown.count("all to ") == 2
    assert "cautious threshold for the steps from tier 1 to 3" in shown
    crossed = ("--cross-validate", "--folds", 2, "--benchmark", "gsm8k", "--json")
    result = run("calibrate", "--outcomes", files / "train.jsonl.gz", "--bootstrap", 20, *crossed)
    assert_refused(result, "too few to train on")


def test_calibrate_keeps_a_threshold_for_each_step_between_tiers(files, tmp_path):
    arguments = ("calibrate", "--outcomes", files / "other.jsonl", "--bootstrap", 20, "--out", tmp_path / "m.npz")
    succeed(*arguments, "--model", files / "model.npz", "--tiers", "2:3")
    found = json.loads(
        succeed(*arguments, "--model", tmp_path / "m.npz", "--tiers", "1:2", "--target-quality", 0.8, "--json").stdout
    )
    assert found["tiers"] == [1, 2]
    low, high = LearnedClassifier.load(tmp_path / "m.npz").thresholds
    assert low == found["expected"]["score"] > high


def test_calibrate_with_models_that_are_named(files):
    arguments = ("calibrate", "--model", files / "model.npz", "--outcomes", files / "other.jsonl", "--bootstrap", 20)
    named = ("--weak-model", "openai/gpt-4o-mini", "--strong-model", "openai/gpt-4o")
    found = json.loads(succeed(*arguments, *named, "--json").stdout)
    assert found["models"] == ["openai/gpt-4o-mini", "openai/gpt-4o"]
    assert 0 < found["cost_usd_per_1000"]["all_weak"] < found["cost_usd_per_1000"]["all_strong"]
    assert "nothing was written" in succeed(*arguments).stdout
    assert_refused(run(*arguments, "--weak-model", "openai/no-such-model"), "no-such-model", "price")
    for tiers in ("2:1", "1:9", "0:1", "1", "a:b"):
        assert run(*arguments, "--tiers", tiers).exit_code == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", ("line 2 column 2", "not JSON")),
        ('{"id": "x", "prompt": "a"} x', ("line 2 column 28", "not JSON")),
        ("[1]", ("line 2", "not a JSON object")),
        ("{}", ("line 2: id", "missing")),
        ('{"id": 5}', ("line 2: id", "text is wanted, not a number")),
        ('{"id": "x"}', ("line 2: prompt", "missing")),
        ('{"id": "x", "prompt": null}', ("line 2: prompt", "not null")),
        ('{"id": "x", "prompt": "a"}', ("line 2: weak_correct", "missing")),
        ('{"id": "x", "prompt": "a", "weak_correct": "1"}', ("line 2: weak_correct", "not text")),
        ('{"id": "x", "prompt": "a", "weak_correct": 2}', ("line 2: weak_correct", "2 is not from 0")),
        ('{"id": "x", "prompt": "a", "weak_correct": NaN}', ("line 2: weak_correct", "nan")),
        ('{"id": "x", "prompt": "a", "weak_correct": 1, "strong_correct": []}', ("line 2: strong_correct", "a list")),
        ('{"id": "good", "prompt": "a", "weak_correct": 1, "strong_correct": 1}', ("line 2: id", "line 1")),
        ("[" * 100_000, ("line 2",)),
        (b'{"id": "\xff"}', ("line 2 column 9", "not UTF-8")),
    ],
    ids=range(15),
)
@pytest.mark.parametrize("command", ["train", "evaluate", "calibrate"])
def test_bad_outcomes_are_named_by_line_and_field(command, line, words, tmp_path):
    good = b'{"id": "good", "prompt": "secret question", "weak_correct": 0, "strong_correct": true}\n'
    (tmp_path / "o.jsonl").write_bytes(good + (line if isinstance(line, bytes) else line.encode()))
    extra = ("--out", tmp_path / "m.npz") if command == "train" else ()
    result = run(command, "--outcomes", tmp_path / "o.jsonl", *extra)
    assert_refused(result, "o.jsonl", *words)
    assert "secret question" not in result.output
    assert not (tmp_path / "m.npz").exists()


def test_files_that_can_not_be_used(files, tmp_path):
    good, empty, broken = files / "other.jsonl", tmp_path / "empty.jsonl", tmp_path / "broken.jsonl.gz"
    empty.write_text("\n")
    broken.write_bytes((files / "train.jsonl.gz").read_bytes()[:-20])
    assert_refused(run("train", "--outcomes", empty, "--out", tmp_path / "m"), "no line")
    assert_refused(run("train", "--outcomes", broken, "--out", tmp_path / "m"), "broken gzip")
    assert_refused(run("train", "--outcomes", tmp_path / "nope", "--out", tmp_path / "m"), "nope", "No such file")
    few = write(tmp_path / "few.jsonl", outcomes(50))
    assert_refused(run("train", "--outcomes", few, "--out", tmp_path / "m"), "few.jsonl", "50 outcomes are too few")
    assert_refused(run("train", "--outcomes", good, "--out", tmp_path / "no" / "m"), "can't be written")
    assert_refused(run("evaluate", "--model", good, "--outcomes", good), "other.jsonl", "not a model file")
    assert_refused(run("evaluate", "--model", tmp_path / "nope", "--outcomes", good), "nope", "No such file")
    assert_refused(run("calibrate", "--outcomes", good, "--benchmark", "math"), "'math'")
    assert run("score", "--prompts", good, "--out", "-", "--json").exit_code == 2


def without_scikit_learn(*arguments):
    """Run a command in a process that can't import it."""
    start = "import sys; sys.modules['sklearn'] = None; from tierstream.__main__ import main; main()"
    command = [sys.executable, "-c", start, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--out", "m.npz"),
        ("evaluate", "--cross-validate"),
        ("evaluate", "--baseline-outcomes", "train.jsonl.gz"),
        ("calibrate", "--cross-validate", "--out", "m.npz"),
    ],
    ids=" ".join,
)
def test_without_scikit_learn_what_fits_says_how_to_get_it(files, monkeypatch, arguments):
    monkeypatch.chdir(files)
    result = without_scikit_learn(*arguments, "--outcomes", "other.jsonl")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: training needs scikit-learn: pip install 'tierstream[train]'\n"
    assert not (files / "m.npz").exists()


def test_without_scikit_learn_models_score_and_are_judged(files, tmp_path):
    model, judged = ("--model", files / "model.npz"), ("--outcomes", files / "other.jsonl", "--bootstrap", 20)
    for arguments in (
        ("score", *model, "--prompts", files / "other.jsonl", "--out", tmp_path / "s.jsonl"),
        ("evaluate", *model, *judged),
        ("calibrate", *model, *judged, "--out", tmp_path / "m.npz"),
    ):
        result = without_scikit_learn(*arguments)
        assert (result.returncode, result.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"s.jsonl", "m.npz"}


def test_a_failure_leaves_no_half_of_a_file(files, tmp_path):
    rows = [{"id": str(i), "prompt": "a"} for i in range(600)]
    prompts = write(tmp_path / "p.jsonl", [*rows, {"id": "x"}])
    (tmp_path / "s.jsonl").write_text("before")
    assert_refused(run("score", "--prompts", prompts, "--out", tmp_path / "s.jsonl"), "line 601: prompt")
    assert (tmp_path / "s.jsonl").read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"p.jsonl", "s.jsonl"}


def test_ctrl_c_ends_quietly_and_writes_nothing(tmp_path):
    prompts = tmp_path / "p.jsonl"
    os.mkfifo(prompts)
    process = subprocess.Popen(
        [sys.executable, "-m", "tierstream", "score", "--prompts", prompts, "--out", tmp_path / "s.jsonl"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # Opening blocks until the command reads: from then on it waits for prompts that never come.
        with prompts.open("w"):
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert errors.strip() == "interrupted: nothing was written"
    assert not (tmp_path / "s.jsonl").exists()

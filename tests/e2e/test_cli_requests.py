"""Evaluating and calibrating labelled requests on the command line, with small files made here."""

import json
import subprocess
import sys
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from typer.testing import CliRunner

from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.request_classifier.classifier import RequestClassifier
from tierstream.cli import app

EASY = "What are your opening hours on {}?"
MIDDLE = "Compare these two offers for {} and say in a short table which is cheaper over three years."
HARD = (
    "Prove that the scheduling of {} under these constraints is NP-hard, derive an approximation with a bound, design "
    "the distributed system that runs it, and say where its consistency guarantees break."
)
KINDS = ("faq", "analysis", "code")
THINGS = ["Monday", "printers", "the harbour", "vans", "concrete", "the archive", "solar panels"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def found_by(*arguments):
    return json.loads(succeed(*arguments, "--json").stdout)


def assert_refused(result, *words):
    assert result.exit_code == 2, result.output
    # A long message is broken into lines within a frame.
    text = " ".join(result.stderr.replace("│", " ").split())
    for word in words:
        assert word in text


def requests(count=60, **label):
    for number in range(count):
        tier = 1 + number % 3
        question = (EASY, MIDDLE, HARD)[tier - 1].format(f"{THINGS[number % 7]} {number}")
        yield {
            "request_id": f"r-{number}",
            "messages": [{"role": "user", "content": question}],
            "label": {
                "tier": tier,
                "query_type": KINDS[tier - 1],
                "language": "en",
                "slice": f"s{number % 2}",
                **label,
            },
        }


@pytest.fixture
def write(tmp_path):
    def written(rows, name="requests.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / name

    return written


def test_evaluate_reports_every_figure_in_all_and_by_what_sorts_requests(write):
    file = write(requests(second=[1, [1, 2], "faq"]))
    found = found_by("evaluate", "--requests", file, "--bootstrap", 30)
    assert found["model"] == RequestClassifier.shipped().version
    assert (found["requests"], found["trained_on"], found["thresholds"]) == (60, 0, [0.45, 0.45])
    groups = {(group["by"], group["name"]): group for group in found["groups"]}
    assert {by for by, _ in groups} == {"all", "language", "query_type", "slice", "turns"}
    assert groups["slice", "s0"]["requests"] == 30
    figures = groups["all", "all"]["figures"]
    assert sum(figures[name]["value"] for name in ("right", "too_low", "too_high")) == pytest.approx(1)
    assert figures["auc_tier_3"]["value"] > 0.9
    assert {name for name, figure in figures.items() if set(figure) != {"value", "interval"}} == set()
    assert figures["right"]["interval"]["low"] <= figures["right"]["value"] <= figures["right"]["interval"]["high"]
    assert found["second"]["requests"] == 60
    assert found["second"]["same_tier"]["value"] == pytest.approx(1 / 3)
    assert found["votes"] is None


def test_a_boundary_at_an_end_sends_all_to_one_tier(write):
    file = write(requests())
    arguments = ("evaluate", "--requests", file, "--bootstrap", 0, "--boundary")
    for boundary, tier in ((0, 3), (1, 1)):
        figures = found_by(*arguments, boundary)["groups"][0]["figures"]
        assert figures["right"] == {"value": pytest.approx(1 / 3), "interval": None}
        assert figures[f"on_tier_{tier}"]["value"] == 1


def test_evaluate_says_what_votes_would_bring(write):
    arguments = ("evaluate", "--requests", write(requests()), "--bootstrap", 0, "--votes")
    votes = found_by(*arguments)["votes"]
    # Requests that are as near as each other are asked about together or not at all.
    assert [vote["votes"] for vote in votes[:8]] == pytest.approx([0, 3, 6, 9, 12, 18, 30, 60], abs=2)
    assert all(vote["votes"] <= vote["share"] * 60 for vote in votes)
    assert {vote["voter"] for vote in votes} == {0.7, 0.85, 0.95}
    assert all(vote["usd_per_1000"] > 0 for vote in votes)
    longer = found_by(*arguments, "--answer-tokens", 3000)["votes"]
    assert longer[0]["usd_per_1000"] > votes[0]["usd_per_1000"]
    shown = succeed(*arguments).stdout
    assert "by language" in shown
    assert shown.count("asking a voter who is right in") == 3


def test_calibrate_picks_by_cost_and_keeps_thresholds_that_evaluate_goes_by(write, tmp_path):
    file, out = write(requests()), tmp_path / "m.npz"
    arguments = ("calibrate", "--requests", file, "--bootstrap", 20, "--out", out)
    found = found_by(*arguments, "--wrong-answer-usd", 0.02)
    rows = {row["name"]: row for row in (found["boundary"], found["thresholds"], *found["others"])}
    names = ["best boundary", "best thresholds", "settings' boundary", *(f"all to tier {tier}" for tier in (1, 2, 3))]
    assert [*rows] == [*names, "oracle"]
    assert found["wrong_answer_usd"] == 0.02
    assert len(found["models"]) == 3
    expected = {name: row["expected_usd_per_1000"]["value"] for name, row in rows.items()}
    assert expected["oracle"] <= expected["best thresholds"] <= expected["best boundary"]
    assert expected["best boundary"] <= expected["settings' boundary"]
    assert rows["best boundary"]["thresholds"][0] == rows["best boundary"]["thresholds"][1]
    for row in rows.values():
        wrong = row["too_low"]["value"] * 0.02 * 1000
        assert row["expected_usd_per_1000"]["value"] == pytest.approx(row["calls_usd_per_1000"]["value"] + wrong)
    kept = RequestClassifier.loads(out.read_bytes(), "m").model.thresholds.tolist()
    assert kept == found["thresholds"]["thresholds"]
    judged = found_by("evaluate", "--requests", file, "--model", out, "--bootstrap", 0)
    assert judged["thresholds"] == kept
    assert judged["groups"][0]["figures"]["right"]["value"] == found["thresholds"]["right"]["value"]
    assert found_by("evaluate", "--requests", file, "--model", out, "--boundary", 0.3)["thresholds"] == [0.3, 0.3]
    cheap = found_by(*arguments[:-2], "--wrong-answer-usd", 0)
    assert cheap["boundary"]["thresholds"][0] > found["boundary"]["thresholds"][0]
    shown = succeed(*arguments[:-2], "--wrong-answer-usd", 0.02).stdout
    assert "nothing was written: set the lower end of routing.boundary" in shown
    assert f"{out}: the model with the best thresholds" in succeed(*arguments, "--wrong-answer-usd", 0.02).stdout


def test_cross_validation_trains_on_the_requests_themselves(write):
    file = write(requests(240))
    found = found_by("evaluate", "--requests", file, "--cross-validate", "--folds", 2, "--bootstrap", 0)
    assert (found["model"], found["trained_on"]) == (None, 0)
    # Their wording gives the tier away.
    assert found["groups"][0]["figures"]["right"]["value"] == 1
    assert found["groups"][0]["figures"]["query_type"]["value"] == 1
    few = write(requests(60), "few.jsonl")
    for command in (("evaluate",), ("calibrate", "--wrong-answer-usd", 0.02)):
        refused = run(*command, "--requests", few, "--cross-validate")
        assert_refused(refused, "few.jsonl: with a fold left out", "requests are too few")


def test_requests_that_the_model_was_trained_on_are_warned_of(write, tmp_path):
    rows, model = [*requests(10)], tmp_path / "m.npz"
    seen = sorted(crc32(row["messages"][0]["content"].encode()) for row in rows[:4])
    trained = replace(RequestClassifier.shipped().model, trained_on=np.array(seen, dtype=np.uint32))
    RequestClassifier(trained).save(model)
    for command in (("evaluate",), ("calibrate", "--wrong-answer-usd", 0.02)):
        result = succeed(*command, "--requests", write(rows), "--model", model, "--bootstrap", 20)
        assert "trained on 4 of these 10 requests" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate",), "give --outcomes or --requests"),
        (("calibrate", "--outcomes", "o", "--requests", "r"), "give --outcomes or --requests"),
        (("evaluate", "--requests", "r", "--control", "shuffled"), "--control belongs to --outcomes"),
        (("evaluate", "--requests", "r", "--baseline-outcomes", "b"), "--baseline-outcomes belongs to --outcomes"),
        (("evaluate", "--requests", "r", "--repeats", 3), "--repeats belongs to --outcomes"),
        (("evaluate", "--requests", "r", "--cross-validate", "--model", "m"), "leave --model out"),
        (("evaluate", "--outcomes", "o", "--boundary", 0.4), "--boundary belongs to --requests"),
        (("evaluate", "--outcomes", "o", "--votes"), "--votes belongs to --requests"),
        (("calibrate", "--outcomes", "o", "--wrong-answer-usd", 1), "--wrong-answer-usd belongs to --requests"),
        (("calibrate", "--requests", "r", "--target-quality", 0.95), "--target-quality belongs to --outcomes"),
        (("calibrate", "--requests", "r", "--cautious"), "--cautious belongs to --outcomes"),
        (("calibrate", "--requests", "r", "--tiers", "1:2"), "--tiers belongs to --outcomes"),
        (("calibrate", "--requests", "r"), "needs --wrong-answer-usd"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_options_that_do_not_go_together(arguments, words):
    assert_refused(run(*arguments), words)


def test_files_that_can_not_be_used(write, tmp_path):
    file, model = write(requests(6)), tmp_path / "outcomes.npz"
    LearnedClassifier.shipped().save(model)
    for command in (("evaluate",), ("calibrate", "--wrong-answer-usd", 0.02)):
        refused = run(*command, "--requests", file, "--model", model)
        assert_refused(refused, "a model that was trained on outcomes, not on requests")
        assert refused.stderr.count("\n") == 1
        bad = write([{**next(requests(1)), "label": {"tier": 4, "query_type": "faq"}}], "bad.jsonl")
        assert_refused(run(*command, "--requests", bad), "line 1: label.tier")
        assert_refused(run(*command, "--requests", file, "--model", file), "not a model file")
    two = tmp_path / "two.toml"
    two.write_text('[routing]\npreset = "two-tier"\n')
    priced = ("calibrate", "--requests", file, "--wrong-answer-usd", 0.02)
    assert_refused(run("--config", two, *priced), "need settings with 3 tiers", "these have 2")
    assert_refused(run(*priced, "--out", tmp_path / "no" / "m.npz"), "can't be written")


def test_without_scikit_learn_requests_are_judged_and_only_training_is_refused(write, tmp_path):
    file = write(requests(12))
    start = "import sys; sys.modules['sklearn'] = None; from tierstream.__main__ import main; main()"
    priced = ("--wrong-answer-usd", "0.02", "--out", tmp_path / "m.npz")
    for arguments, code in (
        (("evaluate", "--votes"), 0),
        (("calibrate", *priced), 0),
        (("evaluate", "--cross-validate"), 2),
        (("calibrate", *priced, "--cross-validate"), 2),
    ):
        command = [sys.executable, "-c", start, *map(str, arguments), "--requests", file]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == code, result.stderr
        assert ("pip install 'tierstream[train]'" in result.stderr) == bool(code)

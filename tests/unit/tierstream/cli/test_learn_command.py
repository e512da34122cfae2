"""`tierstream learn replay` on small files: its table, its JSON, its picture, and what it says of wrong input."""

import gzip
import json

import pytest
from typer.testing import CliRunner

from tierstream.cli import app

RUN = CliRunner()
MODELS = ["small", "middle", "large"]


def line(number, **changes):
    hard = number % 2
    prompt = f"Prove in every detail that the sequence {number} converges." if hard else f"Hi {number}"
    entry = {
        "id": f"q{number}",
        "prompt": prompt,
        "models": MODELS,
        "reward": [0.4 if hard else 0.9, 0.9, 0.95],
        "cost_usd": [0.0001, 0.002, 0.05],
    }
    return {**entry, **changes}


def write(path, *lines):
    data = "".join(json.dumps(one) + "\n" for one in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.fixture
def files(tmp_path):
    outcomes = write(tmp_path / "outcomes.jsonl", *(line(i) for i in range(120)))
    prior = write(tmp_path / "prior.jsonl.gz", *(line(i) for i in range(200, 260)))
    return outcomes, prior


def replay(*options):
    return RUN.invoke(app, ["learn", "replay", *options])


def test_json_has_the_figures_of_all_seeds(files):
    outcomes, prior = files
    done = replay("--outcomes", outcomes, "--prior", prior, "--budget", "0.002", "--seeds", "2", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["models"] == MODELS
    assert found["requests"] == 120
    assert found["prior_requests"] == 60
    assert [seed["seed"] for seed in found["per_seed"]] == [0, 1]
    assert found["no_skill"] <= found["oracle"]
    for name in ("mean_reward", "mean_cost", "overshoot", "exploration_share", "regret"):
        assert found["intervals"][name]["low"] <= found[name] <= found["intervals"][name]["high"]
    assert found["after_1000"] is None
    assert found["change"] is None
    assert found["hostile"] is None


def test_people_have_a_table_and_a_picture(files, tmp_path):
    picture = tmp_path / "replay.svg"
    options = ("--seeds", "2", "--change", "new-model", "--hostile", "0.2", "--plot", str(picture))
    done = replay("--outcomes", files[0], "--budget", "0.002", *options)
    assert done.exit_code == 0, done.output
    for told in (
        "nothing known before",
        "no-skill mix",
        "overshoot",
        "new-model",
        "at request 60",
        "lies (down) on 20%",
    ):
        assert told in done.stdout
    assert "<svg" in picture.read_text()


def test_help_has_examples():
    done = replay("--help")
    assert done.exit_code == 0
    assert "--prior known.jsonl.gz" in done.stdout


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"models": ["a", "a", "b"]}, "line 2: models: a list of different names"),
        ({"models": ["a", "b", "c"]}, "line 2: models: not those of the lines before"),
        ({"models": "a"}, "line 2: models: a list with an entry for each model is wanted, not text"),
        ({"reward": [1, 1]}, "line 2: reward: has 2 entries for 3 models"),
        ({"reward": [1, 1, 1.5]}, "line 2: reward: 1.5 is not from 0 to 1"),
        ({"reward": [1, 1, None]}, "line 2: reward: numbers are wanted, not null"),
        ({"cost_usd": [1, -1, 1]}, "line 2: cost_usd: -1 is not an amount of dollars"),
        ({"id": "q0"}, "line 2: id: the same as on line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, changes, why):
    outcomes = write(tmp_path / "outcomes.jsonl", line(0), line(1, **changes))
    done = replay("--outcomes", outcomes, "--budget", "0.002")
    assert done.exit_code == 2
    assert why in done.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--budget", "0"), "no amount of dollars above 0"),
        (("--budget", "nan"), "no amount of dollars above 0"),
        (("--budget", "1", "--change-at", "5"), "--change-at goes with --change"),
        (("--budget", "1", "--change", "regression", "--change-at", "500"), "none is left after 500"),
        (("--budget", "1", "--plot", "x.txt"), "does not end in .png or .svg"),
    ],
)
def test_wrong_options_are_named(files, options, why):
    done = replay("--outcomes", files[0], *options)
    assert done.exit_code == 2
    assert why in done.stderr

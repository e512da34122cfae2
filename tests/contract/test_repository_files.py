"""Files that GitHub reads, held against its own descriptions of them."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from jsonschema.validators import validator_for

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
FILES = [
    *((file, "github-workflows") for file in sorted(GITHUB.glob("workflows/*.yml"))),
    *((file, "github-workflows-require-timeout") for file in sorted(GITHUB.glob("workflows/*.yml"))),
    *((GITHUB / "ISSUE_TEMPLATE" / name, "github-issue-forms") for name in ("bug.yml", "feature.yml")),
    (GITHUB / "ISSUE_TEMPLATE" / "config.yml", "github-issue-config"),
    (GITHUB / "dependabot.yml", "dependabot"),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def load(file: Path):
    """Read a file as YAML 1.2 has it, where `on` is a word."""
    content = yaml.safe_load(file.read_text())
    return {"on" if name is True else name: value for name, value in content.items()}


@pytest.mark.parametrize(("file", "schema"), FILES, ids=lambda part: getattr(part, "name", part))
def test_they_are_what_github_takes(file, schema):
    # The package's command line is not needed for its copies of the schemas.
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    [description] = Path(spec.submodule_search_locations[0]).rglob(f"{schema}.json")
    described = json.loads(description.read_text())
    problems = [error.message for error in validator_for(described)(described).iter_errors(load(file))]
    assert problems == []


@pytest.mark.parametrize("file", sorted(GITHUB.glob("workflows/*.yml")), ids=lambda file: file.name)
def test_what_a_workflow_makes_is_a_target(file):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", file.read_text())) <= targets


def test_every_version_that_is_promised_is_tested():
    promised = {
        name.rpartition(" ")[2]
        for name in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)
    }
    jobs = load(GITHUB / "workflows" / "ci.yml")["jobs"]
    assert set(jobs["unit"]["strategy"]["matrix"]["python"]) == promised
    assert f">={min(promised, key=lambda version: int(version.partition('.')[2]))}" == PROJECT["requires-python"]


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile", ".github/workflows/release.yml"])
def test_what_installs_a_lock_resolves_nothing(name):
    # What is resolved against an index is another set of packages on the day of a release.
    installs = [line for line in (ROOT / name).read_text().splitlines() if "--require-hashes" in line]
    assert installs
    assert [line for line in installs if "--no-deps" not in line] == []

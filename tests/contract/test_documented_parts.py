"""What there is, against the pages that list it: each of these lists is written by hand, and none may be forgotten."""

import re
from pathlib import Path

import pytest
from support.shipped_providers import KEYS

from agents import STAGES
from agents.parked import STAGE as PARKED
from agents.settle import STAGE as SETTLE
from streams.validation.checks import CHECKS
from topics.registry import all_topics

ROOT = Path(__file__).parents[2]
STAGE_NAMES = [*(stage.name for stage in STAGES), PARKED, SETTLE]
TIERS = "`llm.tier1` … `llm.tierN`"


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def table(name: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is called so, each as its cells."""
    [found] = re.findall(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page(name), re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found.splitlines()]


@pytest.mark.parametrize("name", CHECKS)
def test_free_checks(name):
    [listed] = re.findall(r"free checks: ([^.]+)\.", page("docs/architecture.md"))
    assert name in re.findall(r"\w+", listed), f"docs/architecture.md, 'free checks: ...': {name} is not among them"


@pytest.mark.parametrize("variable", KEYS)
@pytest.mark.parametrize("name", ["README.md", "docs/operations.md", "docker-compose.yml"])
def test_keys_of_shipped_providers(name, variable):
    assert variable in page(name), f"{name}: {variable}, the key of a provider in defaults.toml, is not named"


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_stages(stage):
    architecture = page("docs/architecture.md")
    assert f"**{stage}**" in architecture, f"docs/architecture.md, A request's way: {stage} is not described"
    for name in ("README.md", "docs/architecture.md"):
        [graph, *_] = re.findall(r"```mermaid\n(.*?)```", page(name), re.DOTALL)
        assert re.search(rf"\b{stage}\b", graph), f"{name}: {stage} is not in the picture"


@pytest.mark.parametrize("spec", list(all_topics(1)), ids=lambda spec: spec.name)
def test_topics(spec):
    rows = {row[0]: row for row in table("docs/contract.md", "topic")}
    name = TIERS if spec.name == "tier1" else f"`llm.{spec.name}`"
    assert name in rows, f"docs/contract.md, Topics: there is no row of {name}"
    *_, writers, readers, public = rows[name]
    assert public == ("yes" if spec.public else "no"), f"docs/contract.md, Topics: whether {name} is public"
    for stage in STAGE_NAMES:
        assert (stage in spec.writes) == (stage in writers), f"docs/contract.md, Topics: whether {stage} writes {name}"
        assert (stage in spec.reads) == (stage in readers), f"docs/contract.md, Topics: whether {stage} reads {name}"

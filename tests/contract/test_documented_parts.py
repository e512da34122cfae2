"""What there is, against the pages that list it: each of these lists is written by hand, and none may be forgotten."""

import re
from pathlib import Path

import pytest
from support.request_fields import request_fields, takes_null, takes_text_alone
from support.shipped_providers import KEYS

from agents import STAGES
from agents.batch import STAGE as BATCH
from agents.bulk import STAGE as BULK
from agents.learn import STAGE as LEARN
from agents.parked import STAGE as PARKED
from agents.settle import STAGE as SETTLE
from analytics.reports import REPORTS
from streams.config.settings_sections import RuleCondition
from streams.validation.checks import CHECKS
from topics.registry import all_topics
from topics.requests import Dimensions
from topics.results import Result

ROOT = Path(__file__).parents[2]
STAGE_NAMES = [*(stage.name for stage in STAGES), PARKED, SETTLE, LEARN, BATCH, BULK]
FIELDS = dict(request_fields())
VALUES = [field for field in FIELDS if not any(other.startswith(f"{field}.") for other in FIELDS)]
"""The fields that are no parts with fields of their own."""


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, title: str) -> str:
    """The text below a heading, up to the next one."""
    [text] = re.findall(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", page(name), re.MULTILINE | re.DOTALL)
    return text


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column is called so, each as its cells."""
    [found] = re.findall(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in found.splitlines()]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


@pytest.mark.parametrize("name", CHECKS)
def test_free_checks(name):
    [listed] = re.findall(r"\[free checks\]\(checks\.md\): ([^.]+)\.", page("docs/architecture.md"))
    assert name in re.findall(r"\w+", listed), f"docs/architecture.md, 'free checks: ...': {name} is not among them"
    assert f"| `{name}` |" in page("docs/checks.md"), f"docs/checks.md: {name} has no row"


@pytest.mark.parametrize("variable", KEYS)
@pytest.mark.parametrize("name", ["README.md", "docs/operations.md", "docker-compose.yml"])
def test_keys_of_shipped_providers(name, variable):
    assert variable in page(name), f"{name}: {variable}, the key of a provider in defaults.toml, is not named"


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_stages(stage):
    way = section("docs/architecture.md", "A request's way")
    assert f"**{stage}**" in way, f"docs/architecture.md, A request's way: {stage} is not described"
    for name in ("README.md", "docs/architecture.md"):
        [graph, *_] = re.findall(r"```mermaid\n(.*?)```", page(name), re.DOTALL)
        assert re.search(rf"\b{stage}\b", graph), f"{name}: {stage} is not in the picture"


@pytest.mark.parametrize("spec", list(all_topics(1)), ids=lambda spec: spec.name)
def test_topics(spec):
    found = {row[0]: row for row in rows(section("docs/contract.md", "Topics"), "topic")}
    name = "`llm.tier1` … `llm.tierN`" if spec.name == "tier1" else f"`llm.{spec.name}`"
    assert name in found, f"docs/contract.md, Topics: there is no row of {name}"
    *_, writers, readers, public = found[name]
    assert public == ("yes" if spec.public else "no"), f"docs/contract.md, Topics: whether {name} is public"
    for stage in STAGE_NAMES:
        assert (stage in spec.writes) == (stage in writers), f"docs/contract.md, Topics: whether {stage} writes {name}"
        assert (stage in spec.reads) == (stage in readers), f"docs/contract.md, Topics: whether {stage} reads {name}"


@pytest.mark.parametrize("field", FIELDS)
def test_fields_of_a_request_are_described(field):
    top, _, inner = field.replace(".0", "").partition(".")
    for names, meaning, _ in rows(section("docs/contract.md", "Request"), "field"):
        is_row_of_whole = top in quoted(names) and (not inner or inner in quoted(meaning))
        if is_row_of_whole or any(name == field or name.startswith(f"{field}.") for name in quoted(names)):
            return
    pytest.fail(f"docs/contract.md, Request, first table: {field} has no row")


@pytest.mark.parametrize("field", VALUES)
def test_what_fields_of_a_request_accept_is_described(field):
    text, name = section("docs/contract.md", "Request"), field.rpartition(".")[2]
    listed = " ".join(row[0] for row in rows(text, "fields"))
    is_listed = name in quoted(listed) or field in quoted(listed) or takes_text_alone(FIELDS[field])
    is_word = field.startswith("context.") and "the fields of `context` with listed words" in listed
    assert is_listed or is_word, f"docs/contract.md, Request, second table: which JSON type {field} has to be"
    [sentence] = re.findall(r"`null` stands for an absent value in (.*?); elsewhere", text, re.DOTALL)
    is_param = field.startswith("params.") and re.search(r"the fields\s+of `params`", sentence)
    is_named = not {name, field.replace(".0", "")}.isdisjoint(quoted(sentence)) or bool(is_param)
    assert is_named == takes_null(FIELDS[field]), f"docs/contract.md, 'null stands for': whether it does in {field}"


@pytest.mark.parametrize("field", Result.model_fields)
def test_fields_of_a_result_are_described(field):
    named = quoted(" ".join(row[0] for row in rows(section("docs/contract.md", "Result"), "field")))
    assert field in named, f"docs/contract.md, Result: {field} is not in the table"


@pytest.mark.parametrize("name", Dimensions.model_fields)
def test_dimensions_of_the_ledger(name):
    assert name in quoted(section("docs/sql.md", "Tables and views")), (
        f"docs/sql.md, Tables and views: {name} is not named"
    )


@pytest.mark.parametrize("name", RuleCondition.model_fields)
def test_conditions_of_rules(name):
    named = quoted(" ".join(row[0] for row in rows(section("docs/routing-policy.md", "Rules"), "condition")))
    assert name in named, f"docs/routing-policy.md, Rules: the condition {name} is not in the table"


@pytest.mark.parametrize("name", REPORTS)
def test_reports(name):
    assert f"tierstream report {name}" in page("docs/operations.md"), f"docs/operations.md: report {name} is not named"

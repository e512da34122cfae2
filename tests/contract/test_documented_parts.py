"""What there is, against the pages that list it: each of these lists is written by hand, and none may be forgotten."""

import re
from pathlib import Path

import pytest
from support.shipped_providers import KEYS

from streams.validation.checks import CHECKS

ROOT = Path(__file__).parents[2]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CHECKS)
def test_free_checks(name):
    [listed] = re.findall(r"free checks: ([^.]+)\.", page("docs/architecture.md"))
    assert name in re.findall(r"\w+", listed), f"docs/architecture.md, 'free checks: ...': {name} is not among them"


@pytest.mark.parametrize("variable", KEYS)
@pytest.mark.parametrize("name", ["README.md", "docs/operations.md", "docker-compose.yml"])
def test_keys_of_shipped_providers(name, variable):
    assert variable in page(name), f"{name}: {variable}, the key of a provider in defaults.toml, is not named"

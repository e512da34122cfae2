"""The messages that docs/troubleshooting.md quotes are those of the code."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import aiokafka
import faust
import mode
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
PACKAGES = [ROOT / name for name in ("topics", "streams", "agents", "analytics", "tierstream")]
LIBRARIES = [Path(library.__file__).parent for library in (aiokafka, faust, mode)]
MESSAGES = {"message", "typical message", "status and code", "reason", "check"}
"""Columns whose quotations come from the code."""

_ANYTHING = "…"
_QUOTED = re.compile(r"`([^`]+)`")
_NAME = re.compile(r"[a-z_]+")
_LOG_FIELD = re.compile(r"%(?:\(\w+\))?[-\d.]*[a-z]")


def tables() -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield the heading above each table, its columns, and its rows."""
    heading, rows = "", []
    for line in [*PAGE.read_text().splitlines(), ""]:
        if line.startswith(("| ", "|---")):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if rows:
            yield heading, rows[0], rows[2:]
            rows = []
        if line.startswith("#"):
            heading = line.strip("# ")


def quotations() -> Iterator[tuple[str, str]]:
    """Yield each quoted message with the heading above it."""
    for heading, columns, rows in tables():
        for row in rows:
            for column, cell in zip(columns, row, strict=True):
                if column in MESSAGES:
                    yield from ((heading, quoted) for quoted in _QUOTED.findall(cell))


@cache
def texts(*folders: Path) -> str:
    """Return every text in the code but docstrings, a line each; what is filled in, and backticks, are left out."""
    found = [text for folder in folders for path in sorted(folder.rglob("*.py")) for text in texts_of(path)]
    return "\n".join(" ".join(text.split()) for text in found).replace("`", "")


def texts_of(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else _ANYTHING for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield _LOG_FIELD.sub(_ANYTHING, node.value)


def is_written(quoted: str, *folders: Path) -> bool:
    """Whether the code has the message; a name such as `max_cost` has to be a text of its own."""
    pattern = ".*".join(re.escape(piece.strip()) for piece in quoted.strip(_ANYTHING).split(_ANYTHING))
    if _NAME.fullmatch(quoted):
        pattern = f"^{pattern}$"
    return re.search(pattern, texts(*folders), re.MULTILINE) is not None


def test_there_are_messages_to_look_for():
    assert len(list(quotations())) > 80
    assert {heading for heading, _ in quotations()} > {"Dead letters", "Lines of libraries"}


@pytest.mark.parametrize(("heading", "quoted"), list(quotations()))
def test_quoted_messages_are_in_the_code(heading, quoted):
    assert is_written(quoted, *(LIBRARIES if heading == "Lines of libraries" else PACKAGES))


@pytest.mark.parametrize("quoted", ["port … is taken", "max_costs", "the value is not YAML"])
def test_a_message_that_nobody_writes_is_seen(quoted):
    assert not is_written(quoted, *PACKAGES)

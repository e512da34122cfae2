"""Bring the tables and views of the ledger up to date: numbered files, each applied once."""

import logging
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

from analytics.clickhouse import AsyncClient, checked_database

logger = logging.getLogger(__name__)

_TABLES: Final = ("requests_log", "calls_log", "hops_log", "breakers_log")
_BODIES: Final = "bodies_log"
_FILE_NAME: Final = re.compile(r"\d{3}_\w+\.sql")
_PIECE: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'|`[^`]*`|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|(?P<end>;)", re.DOTALL)

_RECORD_TABLE: Final = """
CREATE TABLE IF NOT EXISTS {database}.schema_migrations
(
    name String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY name
"""


async def migrate(client: AsyncClient, database: str, *, retention_days: int, body_retention_days: int) -> list[str]:
    """Create what is missing and set the retention.

    Safe to repeat, and safe for two processes at once: every statement tolerates that its object exists.

    Args:
        client: A client of any database on the server.
        database: Created if it is missing.
        retention_days: After how many days rows are deleted.
        body_retention_days: The same for texts.

    Returns:
        Names of the files that were applied now, in order.

    Raises:
        ValueError: The database's name can't stand in a statement, or a retention is not positive.
    """
    checked_database(database)
    if retention_days < 1 or body_retention_days < 1:
        raise ValueError("the retention must be at least one day")
    values = {
        "{database}": database,
        "{retention_days}": str(retention_days),
        "{body_retention_days}": str(body_retention_days),
    }
    await client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    await client.command(_fill(_RECORD_TABLE, values))
    done = await client.query(f"SELECT DISTINCT name FROM {database}.schema_migrations")  # noqa: S608 - checked name
    known = {row[0] for row in done.result_rows}
    applied = []
    for name, text in _migrations():
        if name in known:
            continue
        for statement in split_statements(text):
            await client.command(_fill(statement, values))
        await client.insert("schema_migrations", [[name]], column_names=["name"], database=database)
        logger.info("Applied migration %s to %s", name, database)
        applied.append(name)
    for table in _TABLES:
        await _set_retention(client, database, table, retention_days)
    await _set_retention(client, database, _BODIES, body_retention_days)
    return applied


def split_statements(text: str) -> Iterator[str]:
    """Split a file at the semicolons that stand outside of strings, quoted names and comments."""
    start = 0
    for piece in _PIECE.finditer(text):
        if piece["end"]:
            yield text[start : piece.start()].strip()
            start = piece.end()
    if rest := re.sub(r"--[^\n]*", "", text[start:]).strip():
        raise ValueError(f"the last statement has no semicolon: {rest[:60]!r}")


def _migrations() -> list[tuple[str, str]]:
    folder = files("analytics") / "migrations"
    found = [file for file in folder.iterdir() if _FILE_NAME.fullmatch(file.name)]
    return [(file.name, file.read_text("utf-8")) for file in sorted(found, key=lambda file: file.name)]


def _fill(statement: str, values: dict[str, str]) -> str:
    for placeholder, value in values.items():
        statement = statement.replace(placeholder, value)
    return statement


async def _set_retention(client: AsyncClient, database: str, table: str, days: int) -> None:
    engine = await client.query(
        "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}",
        parameters={"database": database, "table": table},
    )
    if f"toIntervalDay({days})" not in engine.result_rows[0][0]:
        await client.command(f"ALTER TABLE {database}.{table} MODIFY TTL toDateTime(at) + toIntervalDay({days})")

"""Bring the tables and views of the ledger up to date: numbered files, each applied once."""

import logging
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Final

from analytics.clickhouse import AsyncClient, checked_database
from analytics.cluster_schema import ClusterSchema, check_cluster
from analytics.rollup_families import rollup_tables

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


_ON_CLUSTERS: Final = {
    # A server that is down does the rest when it is back. The client gives up later than that.
    "distributed_ddl_task_timeout": 30,
    "distributed_ddl_output_mode": "null_status_on_timeout",
}


async def migrate(
    client: AsyncClient, database: str, *, retention_days: int, body_retention_days: int, cluster: str | None = None
) -> list[str]:
    """Create what is missing and set the retention.

    Safe to repeat, and safe for two processes at once: every statement tolerates that its object exists.

    Args:
        client: A client of any database on the server.
        database: Created if it is missing.
        retention_days: After how many days rows are deleted.
        body_retention_days: The same for texts.
        cluster: All of whose servers are to have the tables, each with all rows; None: this server alone.

    Returns:
        Names of the files that were applied now, in order.

    Raises:
        ValueError: The database's name can't stand in a statement, or a retention is not positive.
        ClusterError: The cluster can't hold the ledger.
    """
    checked_database(database)
    if retention_days < 1 or body_retention_days < 1:
        raise ValueError("the retention must be at least one day")
    values = {
        "{database}": database,
        "{retention_days}": str(retention_days),
        "{body_retention_days}": str(body_retention_days),
    }
    schema = _Schema(client, values, cluster)
    # On a cluster each statement waits for servers that are down, also where it changes nothing.
    if cluster is None or not await check_cluster(client, cluster, database):
        await schema.run("CREATE DATABASE IF NOT EXISTS {database}")
        await schema.run(_RECORD_TABLE)
    done = await client.query(f"SELECT DISTINCT name FROM {database}.schema_migrations")  # noqa: S608 - checked name
    known = {row[0] for row in done.result_rows}
    applied = []
    for name, text in _migrations():
        statements = [schema.render(statement) for statement in split_statements(text)]
        if name in known:
            continue
        for statement in statements:
            await schema.command(statement)
        await client.insert("schema_migrations", [[name]], column_names=["name"], database=database)
        logger.info("Applied migration %s to %s", name, database)
        applied.append(name)
    days = dict.fromkeys((*_TABLES, *rollup_tables()), retention_days) | {_BODIES: body_retention_days}
    await _set_retention(schema, client, database, days)
    return applied


class _Schema:
    """Runs statements on the server, or on all servers of a cluster.

    Args:
        client: Of the server.
        values: What stands for placeholders.
        cluster: None: the server alone.
    """

    def __init__(self, client: AsyncClient, values: dict[str, str], cluster: str | None) -> None:
        self._client = client
        self._values = values
        self._cluster = ClusterSchema(cluster) if cluster is not None else None
        self._settings: dict[str, Any] = _ON_CLUSTERS if cluster is not None else {}

    def render(self, statement: str) -> str:
        """Return a statement as it is to be sent; those of all migrations have to come, in their order."""
        filled = _fill(statement, self._values)
        return filled if self._cluster is None else self._cluster.render(filled)

    async def command(self, rendered: str) -> None:
        """Send a statement that was rendered."""
        await self._client.command(rendered, settings=self._settings)

    async def run(self, statement: str) -> None:
        """Render a statement and send it."""
        await self.command(self.render(statement))


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


async def _set_retention(schema: _Schema, client: AsyncClient, database: str, days: Mapping[str, int]) -> None:
    """Have the rows of tables deleted after so many days."""
    found = await client.query(
        "SELECT name, engine_full FROM system.tables WHERE database = {database:String}",
        parameters={"database": database},
    )
    engines = {name: engine for name, engine in found.result_rows if name in days}
    for table, engine in engines.items():
        if f"toIntervalDay({days[table]})" not in engine:
            age = "bucket" if "TTL bucket" in engine else "toDateTime(at)"
            await schema.run(f"ALTER TABLE {database}.{table} MODIFY TTL {age} + toIntervalDay({days[table]})")

"""Run the queries of `queries/` by name; values are bound by the server, never written into the text."""

from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from analytics.clickhouse import AsyncClient, checked_database
from analytics.table_filters import UNFILTERED


async def named_query(
    client: AsyncClient,
    database: str,
    name: str,
    parameters: Mapping[str, Any],
    settings: Mapping[str, str] = UNFILTERED,
) -> Sequence[dict[str, Any]]:
    """Run `queries/<name>.sql` and return its rows by column name."""
    found = await client.query(_text(name), parameters=_bound(database, parameters), settings=dict(settings))
    return list(found.named_results())


async def named_query_blocks(
    client: AsyncClient, database: str, name: str, parameters: Mapping[str, Any]
) -> AsyncIterator[Sequence[Sequence[Any]]]:
    """Run `queries/<name>.sql` and yield its rows in blocks, column by column: for answers of any size."""
    async with await client.query_column_block_stream(_text(name), parameters=_bound(database, parameters)) as blocks:
        async for block in blocks:
            yield block


def _text(name: str) -> str:
    return (files("analytics") / "queries" / f"{name}.sql").read_text("utf-8")


def _bound(database: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"database": checked_database(database), **parameters}

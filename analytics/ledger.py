"""The sink's side of ClickHouse: which offsets it holds, and inserts that can be repeated."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple

from analytics.clickhouse import AsyncClient, ClickHouseRefused, checked_database, open_client
from analytics.native_block import FORMAT, UNFIT, BlockFormat
from analytics.rows import Position, Row, Table
from topics.base import from_millis

logger = logging.getLogger(__name__)

_SETTINGS: Final = {
    # The offsets that a finished insert promises must be in the table, not in a buffer of the server.
    "async_insert": 0,
    # One thread writes blocks in the order in which they came, so no hole can stay behind the highest offset.
    "max_insert_threads": 1,
}


class Entry(NamedTuple):
    """The rows of one record."""

    position: Position
    rows: Sequence[tuple[Table, Row]]


@dataclass(slots=True)
class SinkStats:
    """What a sink has done since it started."""

    records: int = 0
    rows: int = 0
    batches: int = 0
    failures: int = 0
    """Writes that failed; each is made again."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Records that could not be stored, by reason."""
    earliest_ms: int | None = None
    """Append time of the oldest record that was stored since it was last asked for, ms since the epoch."""

    def note_stored(self, appended_ms: int) -> None:
        """Note that a record was stored that came in then."""
        self.earliest_ms = appended_ms if self.earliest_ms is None else min(appended_ms, self.earliest_ms)

    def take_earliest(self) -> datetime | None:
        """Return when the oldest record came in that was stored since this was asked last; None: none was."""
        earliest, self.earliest_ms = self.earliest_ms, None
        return None if earliest is None else from_millis(earliest)

    def skip(self, reason: str) -> None:
        """Count a record that could not be stored."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


class Ledger:
    """The tables of one database. Connects when it is first used; every method may be retried."""

    def __init__(self, url: str, database: str, stats: SinkStats) -> None:
        self._url = url
        self._database = checked_database(database)
        self._stats = stats
        self._open = AsyncExitStack()
        self._client: AsyncClient | None = None
        self._formats: dict[Table, BlockFormat] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._open.aclose()

    async def last_offsets(self, table: Table, cluster: str, topic: str) -> Mapping[int, int]:
        """Return the highest offset that the table holds, by partition; partitions without rows are absent."""
        client = await self._connected()
        found = await client.query(
            "SELECT partition, max(offset) FROM {database:Identifier}.{table:Identifier} "
            "WHERE cluster = {cluster:String} AND topic = {topic:String} GROUP BY cluster, topic, partition",
            parameters={"database": self._database, "table": table.value, "cluster": cluster, "topic": topic},
        )
        return {int(row[0]): int(row[1]) for row in found.result_rows}

    async def insert(self, entries: Sequence[Entry]) -> None:
        """Write entries, which are in offset order within each partition.

        A month at a time, because ClickHouse writes a part for each month and only a part appears at once.
        After a failure the entries may be there in part; what is there is a prefix of each partition, so
        repeating the whole is safe and so is resuming behind the highest offset.
        """
        for _, run in groupby(entries, key=lambda entry: entry.position.month):
            await self._insert_month(list(run))

    def skip(self, position: Position, error: Exception) -> None:
        """Count a record with a value that fits no column, and name its place."""
        self._stats.skip("out_of_range")
        where = f"{position.topic}-{position.partition}@{position.offset}"
        # Only the kind of error: its message could repeat the value.
        logger.warning("Skipped %s: a value fits no column (%s)", where, type(error).__name__)

    async def _insert_month(self, entries: Sequence[Entry]) -> None:
        """Insert entries; those that no column can hold are found by halving, counted and left out."""
        try:
            await self._write(entries)
        except UNFIT as error:
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._insert_month(entries[:middle])
                await self._insert_month(entries[middle:])
                return
            self.skip(entries[0].position, error)

    async def _write(self, entries: Sequence[Entry]) -> None:
        by_table: dict[Table, list[Row]] = {}
        for entry in entries:
            for table, row in entry.rows:
                by_table.setdefault(table, []).append(row)
        # All are made before the first is sent: a value that does not fit is found before anything is there.
        blocks = {table: await self._block(table, rows) for table, rows in by_table.items()}
        client = await self._connected()
        # Bodies first: only the other tables are asked where to resume, and they must not run ahead.
        for table in sorted(blocks, key=lambda table: table is not Table.BODIES):
            columns, block = blocks[table]
            await client.raw_insert(f"{self._database}.{table}", columns, block, settings=_SETTINGS, fmt=FORMAT)
        self._stats.rows += sum(map(len, by_table.values()))
        self._stats.records += len(entries)
        self._stats.note_stored(min(entry.position.timestamp_ms for entry in entries))

    async def _block(self, table: Table, rows: Sequence[Row]) -> tuple[Sequence[str], bytes]:
        block_format = self._formats.get(table) or await self._read_format(table, rows[0])
        return block_format.columns, block_format.write(rows)

    async def _read_format(self, table: Table, row: Row) -> BlockFormat:
        client = await self._connected()
        found = await client.query(
            "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}",
            parameters={"database": self._database, "table": table.value},
        )
        if not found.result_rows:
            raise ClickHouseRefused(f"ClickHouse has no table {self._database}.{table}")
        types = {name: kind for name, kind in found.result_rows}  # noqa: C416 - dict() does not know rows of two
        self._formats[table] = BlockFormat({column: types[column] for column in row})
        return self._formats[table]

    async def _connected(self) -> AsyncClient:
        if self._client is None:
            self._client = await self._open.enter_async_context(open_client(self._url))
        return self._client

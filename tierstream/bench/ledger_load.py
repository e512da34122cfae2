"""Write made traffic into a ledger, by the code and in the batches of the sink."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.migrate import migrate
from analytics.rows import rows_of
from tierstream.bench.ledger_traffic import Traffic

_BATCH_ROWS: Final = 10_000
_RETENTION_DAYS: Final = 4_000
"""So many that nothing of the traffic is too old, whenever it is said to have been."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was written.

    Attributes:
        records: Of all topics.
        rows: In all tables of the ledger.
        seconds: From the first record to the end of the last insert.
    """

    records: int
    rows: int
    seconds: float


async def prepare(client: AsyncClient, database: str) -> None:
    """Make the tables, or bring them up to date."""
    await migrate(client, database, retention_days=_RETENTION_DAYS, body_retention_days=_RETENTION_DAYS)


async def load(
    traffic: Traffic, url: str, database: str, tell: Callable[[float, int], None] = lambda _share, _rows: None
) -> Loaded:
    """Make the tables if they are missing, and write the records of the traffic in batches of 10,000 rows and more.

    Args:
        traffic: What is written.
        url: Of ClickHouse.
        database: Made if it is missing.
        tell: Is told after each batch which share of the days has passed, and how many rows there are.

    Raises:
        ClickHouseUnavailable: ClickHouse can't be reached, or refuses.
    """
    async with open_client(url) as client:
        await prepare(client, database)
    stats, began = SinkStats(), time.monotonic()
    ledger = Ledger(url, database, stats)
    batches = _batches(traffic)
    try:
        # The next batch is made while the last one is written: the server is another process.
        batch = await asyncio.to_thread(next, batches, None)
        while batch is not None:
            inserting, share = (
                asyncio.create_task(ledger.insert(batch)),
                traffic.share_at(batch[-1].position.timestamp_ms),
            )
            batch = await asyncio.to_thread(next, batches, None)
            await inserting
            tell(share, stats.rows)
    finally:
        await ledger.close()
    return Loaded(stats.records, stats.rows, round(time.monotonic() - began, 2))


def _batches(traffic: Traffic) -> Iterator[Sequence[Entry]]:
    batch: list[Entry] = []
    rows = 0
    for records in traffic:
        for position, record in records:
            entry = Entry(position, rows_of(record, position, "none"))
            batch.append(entry)
            rows += len(entry.rows)
            if rows >= _BATCH_ROWS:
                yield batch
                batch, rows = [], 0
    if batch:
        yield batch

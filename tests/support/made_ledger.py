"""A ledger of made traffic with its roll-ups, for tests of reports that need a deployment's figures."""

from datetime import UTC, datetime

from analytics.clickhouse import open_client
from analytics.rollups import RollupBuilder
from tierstream.bench.ledger_load import load
from tierstream.bench.ledger_plants import Plants
from tierstream.bench.ledger_traffic import Traffic

START = datetime(2026, 10, 5, tzinfo=UTC)


async def make_ledger(url: str, database: str, *, requests: int, days: int, plants: Plants) -> None:
    """Write the traffic of some days from START on, and build what reports read."""
    traffic = Traffic(1, requests, days, START, users=200, plants=plants)
    await load(traffic, url, database)
    async with open_client(url) as client:
        await RollupBuilder(client, database, lifetime_s=3600).build()

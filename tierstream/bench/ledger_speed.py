"""A ledger of a month: how fast it is filled and rolled up, what a row takes on disk, and how long reports take."""

import asyncio
import contextlib
import os
import re
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import BaseModel, ConfigDict

from analytics.clickhouse import AsyncClient, open_client
from analytics.ledger_window import LedgerWindow, PriceList
from analytics.reports import REPORTS
from analytics.rollups import RollupBuilder
from streams.config.settings import Settings
from tierstream.bench.ledger_load import load, prepare
from tierstream.bench.ledger_traffic import Traffic
from tierstream.bench.pipeline_report import Machine
from tierstream.bench.pipeline_run import this_machine
from tierstream.operations.cost_reports import CostReports
from tierstream.operations.price_list import configured_prices
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.ports import HOST, free_port
from tierstream.stack.process import Child

DATABASE: Final = "tierstream"
_START_S: Final = 60.0
_STOP_S: Final = 60.0
_STATEMENT_S: Final = 1800.0
_RUNS: Final = 3
_LONG_MS: Final = 60_000.0
"""A report that has taken so long in all is not run again."""
_WINDOWS_DAYS: Final = (1, 8, 30)
_LIFETIME: Final = timedelta(hours=1)
_TOLD_EACH: Final = 0.05
_ERROR_NAME: Final = re.compile(r"\(([A-Z][A-Z_]+)\)")
_SMALLEST: Final = 0.05
"""Bytes of a row below which a column is not listed."""
_CACHES: Final = ("MARK CACHE", "UNCOMPRESSED CACHE", "QUERY CACHE")
_TABLES: Final = """
SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes
FROM system.parts
WHERE active AND database = {database:String}
GROUP BY table
ORDER BY table
"""
_COLUMNS: Final = """
SELECT table, column, sum(column_data_compressed_bytes) / sum(rows) AS bytes_a_row
FROM system.parts_columns
WHERE active AND database = {database:String} AND endsWith(table, '_log')
GROUP BY table, column
HAVING bytes_a_row >= {smallest:Float64}
ORDER BY table, bytes_a_row DESC
"""


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class TableSize(_Figures):
    """A table on disk, with its marks and indexes, as merges have left it."""

    table: str
    rows: int
    bytes: int
    bytes_a_row: float


class ColumnSize(_Figures):
    """What a column takes, compressed."""

    table: str
    column: str
    bytes_a_row: float


class Build(_Figures):
    """Building roll-ups."""

    what: str
    hours: int
    seconds: float


class ReportTime(_Figures):
    """How long a report takes, the median of three runs: with nothing of the tables in memory, and at once again."""

    report: str
    days: int
    cold_ms: float | None = None
    warm_ms: float | None = None
    failed: str | None = None
    """What ClickHouse said where it could not do it, such as that the memory that it may take is not enough."""


class LedgerSpeed(_Figures):
    """What a ledger of made traffic costs."""

    machine: Machine
    requests: int
    days: int
    users: int
    rows: int
    """In all tables of the ledger."""
    hops: int
    load_s: float | None
    """None: it had been written before."""
    rows_a_s: float | None
    bytes: int
    bytes_a_request: float
    bytes_a_hop: float
    """Of the table of hops."""
    tables: tuple[TableSize, ...]
    columns: tuple[ColumnSize, ...]
    builds: tuple[Build, ...]
    reports: tuple[ReportTime, ...]


async def measure_ledger(
    traffic: Traffic,
    users: int,
    folder: Path,
    settings: Settings,
    tell: Callable[[str], None],
    *,
    is_written: bool = False,
) -> LedgerSpeed:
    """Fill a ledger of its own with made traffic, and measure what it takes and what reports take.

    Args:
        traffic: What is written.
        users: Who ask, for the figures.
        folder: Exists; gets the data, which stay there, and the server's log.
        settings: With the models and their prices.
        tell: Is told what goes on.
        is_written: The folder has the traffic from an earlier run.

    Raises:
        StackError: ClickHouse does not start.
    """
    async with _server(folder) as url:
        loaded = None
        if not is_written:
            tell(f"writing {traffic.requests:,} requests of {traffic.days} days to {folder}")
            loaded = await load(traffic, url, DATABASE, _teller(tell))
        async with open_client(url, timeout_s=_STATEMENT_S) as client:
            if loaded is None:
                # The traffic may be from before a change of the tables.
                await prepare(client, DATABASE)
            tell("merging")
            await _settle(client)
            builds = await _builds(client, tell)
            tables, columns = await _sizes(client)
            compared = CostReports(settings, lambda: traffic.until).by_name()
            prices = configured_prices(settings)
            reports = await _times_of({**REPORTS, **compared}, client, folder, traffic.until, prices, tell)
    of_table = {size.table: size for size in tables}
    size = sum(table.bytes for table in tables)
    return LedgerSpeed(
        machine=this_machine(),
        requests=traffic.requests,
        days=traffic.days,
        users=users,
        rows=sum(table.rows for table in tables if table.table.endswith("_log")),
        hops=of_table["hops_log"].rows,
        load_s=loaded.seconds if loaded else None,
        rows_a_s=round(loaded.rows / loaded.seconds, 1) if loaded else None,
        bytes=size,
        bytes_a_request=round(size / traffic.requests, 1),
        bytes_a_hop=of_table["hops_log"].bytes_a_row,
        tables=tables,
        columns=columns,
        builds=builds,
        reports=reports,
    )


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[str]:
    """Run the embedded ClickHouse, on a free port, for as long as the context lasts."""
    port, log_file = free_port(), folder / "clickhouse.log"
    command = [sys.executable, "-m", "tierstream.stack.clickhouse_server", "--port", str(port)]
    child = Child.start([*command, "--data", str(_data(folder))], env=os.environ, log_file=log_file)
    try:
        url = f"http://{HOST}:{port}"
        check = HealthCheck(kind="http", target=f"{url}/ping")
        await wait_healthy(child, check, name="ClickHouse", log_file=log_file, timeout_s=_START_S)
        yield url
    finally:
        await child.stop(_STOP_S)


def _data(folder: Path) -> Path:
    return folder / "clickhouse"


def _teller(tell: Callable[[str], None]) -> Callable[[float, int], None]:
    began, told = time.monotonic(), 0.0

    def loaded(share: float, rows: int) -> None:
        nonlocal told
        if share >= told + _TOLD_EACH:
            told = share
            tell(f"{share:4.0%}  {rows:,} rows, {rows / (time.monotonic() - began):,.0f} a second")

    return loaded


async def _settle(client: AsyncClient) -> None:
    """Merge what waits for it, so that sizes are those of a ledger that has been there for a while."""
    for table in ("requests_log", "calls_log", "hops_log"):
        await client.command(f"OPTIMIZE TABLE {DATABASE}.{table} FINAL")


async def _builds(client: AsyncClient, tell: Callable[[str], None]) -> tuple[Build, ...]:
    """Build the roll-ups of everything, then again with nothing new, then those of one hour."""
    found = []
    await client.command(f"TRUNCATE TABLE {DATABASE}.rollup_hours")
    builder = RollupBuilder(client, DATABASE, lifetime_s=int(_LIFETIME.total_seconds()))
    for what in ("all hours", "nothing new", "one hour anew"):
        tell(f"building roll-ups: {what}")
        if what == "one hour anew":
            await client.command(
                f"INSERT INTO {DATABASE}.rollup_hours SELECT hour, 0, now64(3) + 1 FROM {DATABASE}.rollup_hours "  # noqa: S608 - a constant name
                "ORDER BY hour DESC LIMIT 1 OFFSET 10"
            )
        began = time.monotonic()
        hours = await builder.build()
        found.append(Build(what=what, hours=hours, seconds=round(time.monotonic() - began, 2)))
    return tuple(found)


async def _sizes(client: AsyncClient) -> tuple[tuple[TableSize, ...], tuple[ColumnSize, ...]]:
    parameters = {"database": DATABASE, "smallest": _SMALLEST}
    tables = await client.query(_TABLES, parameters=parameters)
    columns = await client.query(_COLUMNS, parameters=parameters)
    return (
        tuple(
            TableSize(table=table, rows=rows, bytes=size, bytes_a_row=round(size / rows, 1))
            for table, rows, size in tables.result_rows
            if rows
        ),
        tuple(
            ColumnSize(table=table, column=column, bytes_a_row=round(size, 2))
            for table, column, size in columns.result_rows
        ),
    )


async def _times_of(
    reports: Mapping[str, Callable[[LedgerWindow], Awaitable[object]]],
    client: AsyncClient,
    folder: Path,
    until: datetime,
    prices: PriceList,
    tell: Callable[[str], None],
) -> tuple[ReportTime, ...]:
    found = []
    for name, report in reports.items():
        for days in _WINDOWS_DAYS:
            tell(f"report {name} of {days} days")
            # A change is that of a half against the other one.
            since = until - timedelta(days=days) / (2 if name == "change" else 1)
            window = LedgerWindow(client, DATABASE, since, until, prices=lambda: prices, lifetime=_LIFETIME)
            try:
                cold_ms, warm_ms = await _times(partial(report, window), partial(_forget, client, _data(folder)))
            except DatabaseError as error:
                said = _ERROR_NAME.search(str(error))
                found.append(ReportTime(report=name, days=days, failed=said[1] if said else f"code {error.code}"))
            else:
                found.append(ReportTime(report=name, days=days, cold_ms=cold_ms, warm_ms=warm_ms))
    return tuple(found)


async def _times(work: Callable[[], Awaitable[object]], forget: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Return how long work takes after all was forgotten, and at once again, in ms."""
    times: list[tuple[float, float]] = []
    while len(times) < _RUNS and sum(map(sum, times)) < _LONG_MS:
        await forget()
        times.append((await _ms(work()), await _ms(work())))
    cold, warm = zip(*times, strict=True)
    return _median(cold), _median(warm)


async def _ms(work: Awaitable[object]) -> float:
    began = time.monotonic()
    await work
    return (time.monotonic() - began) * 1000


def _median(times: Sequence[float]) -> float:
    return round(statistics.median(times), 1)


async def _forget(client: AsyncClient, data: Path) -> None:
    """Drop ClickHouse's caches, and where the system lets us, what it has in memory of the files."""
    for cache in _CACHES:
        await client.command(f"SYSTEM DROP {cache}")
    await asyncio.to_thread(_drop_pages, data)


def _drop_pages(data: Path) -> None:
    if sys.platform != "linux":
        return
    os.sync()
    # Merges go on: parts vanish between being listed and being opened.
    for folder, _, names in os.walk(data):
        for name in names:
            with contextlib.suppress(FileNotFoundError), (Path(folder) / name).open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

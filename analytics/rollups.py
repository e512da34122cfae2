"""Build the roll-ups: sums by minute, hour and day that reports read instead of the ledger itself.

What is built is told by the ledger alone, so building may be repeated, cut short or done by two processes at once:

1. `due_hours.sql` compares the offsets that the ledger holds of each hour with those that it was built from.
2. The due hours of a day are computed from the ledger, once each row, beside the table: `facts_of_*.sql` are the rows
   without repeats, and each family's own file adds them up. Other hours of the day are copied as they are.
3. The partition of the day is replaced in one step, table by table; then the hours are noted as built.

A repeated insert changes no offset and no sum. Two builders that overlap may leave an hour as the slower one saw it,
until it is built again, at the latest when nothing can come late any more.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any, Final
from uuid import uuid4

from analytics.bound_times import second_of
from analytics.clickhouse import AsyncClient, checked_database
from analytics.ledger_window import BEGINNING
from analytics.rollup_families import FAMILIES, Family
from analytics.table_filters import UNFILTERED, only_between

logger = logging.getLogger(__name__)

HOUR: Final = timedelta(hours=1)
_SECONDS: Final = {"minute": 60, "hour": 3600}
_MINUTES_KEPT: Final = timedelta(days=7)
"""As long as the tables by minute keep rows: see the migration."""
_STALE_S: Final = 3600
"""After how many seconds a table that a builder left behind when it died is dropped."""
_BUILDING: Final = "building_"
_REPLACED_AT_MOST: Final = 10


_FACTS: Final = ("calls", "results", "steps")


@dataclass(frozen=True, slots=True)
class _Span:
    """Hours of one day that are built together: [since, until)."""

    since: datetime
    until: datetime

    @property
    def day(self) -> date:
        return self.since.date()


class RollupBuilder:
    """Builds the roll-ups of one ledger.

    Args:
        client: Of the server.
        database: Of the ledger.
        lifetime_s: Seconds between the first call of a request and its result, at most.
    """

    def __init__(self, client: AsyncClient, database: str, *, lifetime_s: int) -> None:
        self._client = client
        self._database = checked_database(database)
        self._lifetime_s = lifetime_s
        self._own = f"{_BUILDING}{uuid4().hex[:12]}_"
        self._known: dict[str, Mapping[str, tuple[str, bool]]] = {}

    async def build(self, since: datetime = BEGINNING) -> int:
        """Build what is due, oldest day first.

        Args:
            since: Hours before it are not looked at.

        Returns:
            How many hours were built.
        """
        since = since.replace(minute=0, second=0, microsecond=0)
        found = await self._client.query(_text("due_hours"), parameters=self._bound(since=second_of(since)))
        due = {hour.replace(tzinfo=UTC): covered for hour, covered in found.result_rows}
        try:
            for _, hours in groupby(due, key=lambda hour: hour.date()):
                ordered = list(hours)
                await self._build_day(_Span(ordered[0], ordered[-1] + HOUR))
                await self._note({hour: due[hour] for hour in ordered})
        finally:
            if due:
                await asyncio.shield(self._drop(self._own))
        return len(due)

    async def drop_stale(self) -> None:
        """Drop what builders that died left behind."""
        await self._drop(_BUILDING, age_s=_STALE_S)

    async def _build_day(self, span: _Span) -> None:
        began = time.monotonic()
        parameters = self._bound(since=second_of(span.since), until=second_of(span.until))
        for facts in _FACTS:
            table, query = f"{self._own}{facts}", _text(f"facts_of_{facts}")
            await self._client.command(f"DROP TABLE IF EXISTS {self._database}.{table}")
            create = f"CREATE TABLE {self._database}.{table} ENGINE = MergeTree ORDER BY tuple() AS {query}"
            await self._client.command(create, parameters=parameters)
            parameters[facts] = table
        for family in FAMILIES:
            for grain in family.grains:
                if grain != "minute" or datetime.now(UTC) - span.until < _MINUTES_KEPT:
                    await self._build_table(family, grain, span, parameters)
            if family.by_day:
                await self._build_days(family, span)
        logger.debug("Built roll-ups of %s in %.2f s", span.day, time.monotonic() - began)

    async def _build_table(self, family: Family, grain: str, span: _Span, parameters: Mapping[str, Any]) -> None:
        table = f"{family.name}_by_{grain}"
        built = await self._beside(table)
        keep = (
            "bucket >= {day:DateTime('UTC')} AND bucket < {day:DateTime('UTC')} + 86400 "
            "AND NOT (bucket >= {since:DateTime('UTC')} AND bucket < {until:DateTime('UTC')})"
        )
        parameters = {**parameters, "seconds": _SECONDS[grain], "day": second_of(_midnight(span.day))}
        copy = f"INSERT INTO {self._database}.{built} SELECT * FROM {self._database}.{table} WHERE {keep}"  # noqa: S608
        await self._client.command(copy, parameters=parameters)
        columns = ", ".join(await self._columns(table))
        insert = f"INSERT INTO {self._database}.{built} ({columns}) {_text(family.name)}"
        await self._client.command(insert, parameters=parameters, settings=dict(self._read_by(family, span)))
        await self._replace(table, built, span.day)

    def _read_by(self, family: Family, span: _Span) -> Mapping[str, str]:
        if family.looks_back is None:
            return UNFILTERED
        until = span.until + timedelta(seconds=self._lifetime_s)
        return only_between(self._database, ["requests_log"], span.since - family.looks_back, until)

    async def _build_days(self, family: Family, span: _Span) -> None:
        """Add up the hours of the day."""
        hours, days = f"{family.name}_by_hour", f"{family.name}_by_day"
        built = await self._beside(days)
        columns = {name: column for name, column in (await self._columns(hours)).items() if name != "bucket"}
        keys = [name for name, (_, is_key) in columns.items() if is_key]
        sums = {name: _total(name, kind) for name, (kind, is_key) in columns.items() if not is_key}
        # A sum has the name of its column, which must not be looked for in itself.
        selected = ["toStartOfDay(hour.bucket) AS bucket", *(f"hour.{key} AS {key}" for key in keys), *sums.values()]
        await self._client.command(
            f"INSERT INTO {self._database}.{built} ({', '.join(['bucket', *keys, *sums])}) "  # noqa: S608
            f"SELECT {', '.join(selected)} FROM {self._database}.{hours} AS hour "
            "WHERE hour.bucket >= {day:DateTime('UTC')} AND hour.bucket < {day:DateTime('UTC')} + 86400 "
            f"GROUP BY {', '.join(['bucket', *keys])}",
            parameters={"day": second_of(_midnight(span.day))},
        )
        await self._replace(days, built, span.day)

    async def _beside(self, table: str) -> str:
        """Make an empty table like another one, of this server alone, and return its name."""
        built = f"{self._own}{table}"
        await self._client.command(f"DROP TABLE IF EXISTS {self._database}.{built}")
        found = await self._client.query(
            "SELECT partition_key, sorting_key, primary_key FROM system.tables "
            "WHERE database = {database:String} AND name = {table:String}",
            parameters={"database": self._database, "table": table},
        )
        partition_key, sorting_key, primary_key = found.result_rows[0]
        await self._client.command(
            f"CREATE TABLE {self._database}.{built} AS {self._database}.{table} "
            f"ENGINE = MergeTree PARTITION BY {partition_key} PRIMARY KEY ({primary_key}) ORDER BY ({sorting_key})"
        )
        return built

    async def _replace(self, table: str, built: str, day: date) -> None:
        """Put a day in place of what the table has of it.

        Where two builders replace it in the same instant the rows of both may stay: who sees that replaces them again.
        """
        bounds = {"day": second_of(_midnight(day))}
        rows = await self._count(built, bounds)
        alter = f"ALTER TABLE {self._database}.{table}"
        # A server may refuse an empty source, which would drop the partition unseen.
        source = (
            f"REPLACE PARTITION {day:%Y%m%d} FROM {self._database}.{built}" if rows else f"DROP PARTITION {day:%Y%m%d}"
        )
        for _ in range(_REPLACED_AT_MOST):
            await self._client.command(f"{alter} {source}")
            if await self._count(table, bounds) == rows:
                return
        logger.warning("Others replace the roll-up %s of %s at the same time", table, day)

    async def _count(self, table: str, bounds: dict[str, str]) -> int:
        found = await self._client.query(
            f"SELECT count() FROM {self._database}.{table} "  # noqa: S608 - checked names
            "WHERE bucket >= {day:DateTime('UTC')} AND bucket < {day:DateTime('UTC')} + 86400",
            parameters=bounds,
        )
        return int(found.result_rows[0][0])

    async def _columns(self, table: str) -> Mapping[str, tuple[str, bool]]:
        """Return the type of each column and whether it is of the sorting key, in the order of the table."""
        if table in self._known:
            return self._known[table]
        found = await self._client.query(
            "SELECT name, type, is_in_sorting_key FROM system.columns "
            "WHERE database = {database:String} AND table = {table:String} ORDER BY position",
            parameters={"database": self._database, "table": table},
        )
        self._known[table] = {name: (kind, bool(is_key)) for name, kind, is_key in found.result_rows}
        return self._known[table]

    async def _note(self, built: Mapping[datetime, int]) -> None:
        now = datetime.now(UTC)
        await self._client.insert(
            "rollup_hours",
            [[hour, covered, now] for hour, covered in built.items()],
            column_names=["hour", "covered", "built_at"],
            database=self._database,
        )

    async def _drop(self, prefix: str, *, age_s: int = 0) -> None:
        found = await self._client.query(
            "SELECT name FROM system.tables WHERE database = {database:String} AND startsWith(name, {prefix:String}) "
            "AND metadata_modification_time <= now() - {age_s:UInt32}",
            parameters={"database": self._database, "prefix": prefix, "age_s": age_s},
        )
        for (name,) in found.result_rows:
            await self._client.command(f"DROP TABLE IF EXISTS {self._database}.{name}")

    def _bound(self, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any bound value
        return {"database": self._database, "lifetime_s": self._lifetime_s, **more}


def _total(name: str, kind: str) -> str:
    if not kind.startswith("AggregateFunction("):
        return f"sum(hour.{name}) AS {name}"
    function = kind.removeprefix("AggregateFunction(").rsplit(", ", 1)[0]
    called, _, arguments = function.partition("(")
    return f"{called}MergeState({arguments}(hour.{name}) AS {name}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@cache
def _text(name: str) -> str:
    return (files("analytics") / "rollup_queries" / f"{name}.sql").read_text("utf-8")

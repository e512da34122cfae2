"""Bounds on the time of rows that hold in views too, which group or join all rows before any bound of a query."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from analytics.bound_times import microsecond_of
from analytics.clickhouse import checked_database

UNFILTERED: Final[Mapping[str, str]] = {}


def only_between(
    database: str, tables: Iterable[str], since: datetime | None, until: datetime | None
) -> Mapping[str, str]:
    """Return the setting that has the server read only rows of [since, until) of tables, whatever a query asks.

    https://clickhouse.com/docs/operations/settings/settings#additional_table_filters

    Args:
        database: That has them.
        tables: With a column `at`.
        since: None: from the beginning.
        until: None: to the end.

    Raises:
        ValueError: A time has no zone, or the name can't be that of a database.
    """
    bounds = [*_bound(">=", since), *_bound("<", until)]
    if not bounds:
        return UNFILTERED
    # Quotes stand in a text that is quoted itself.
    condition = " AND ".join(bounds).replace("'", "\\'")
    filters = ", ".join(f"'{checked_database(database)}.{table}': '{condition}'" for table in tables)
    return {"additional_table_filters": f"{{{filters}}}"}


def _bound(compared: str, at: datetime | None) -> list[str]:
    return [] if at is None else [f"at {compared} toDateTime64('{microsecond_of(at)}', 6, 'UTC')"]

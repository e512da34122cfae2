"""Which roll-ups there are, for who builds them and who reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class Family:
    """Roll-ups of one kind.

    Attributes:
        name: Of its query in `rollup_queries/`, and of its tables: `<name>_by_<grain>`.
        grains: Of its tables, besides the day, which is added up from the hours.
        by_day: Whether there is a table by day.
        looks_back: How old results may be that its rows are about; None: its query bounds that itself.
    """

    name: str
    grains: Sequence[str] = ("hour",)
    by_day: bool = True
    looks_back: timedelta | None = None


FAMILIES: Final = (
    Family("spend"),
    Family("users"),
    Family("tags"),
    Family("results", grains=["minute", "hour"]),
    Family("times", grains=["minute", "hour"]),
    Family("steps"),
    # The view of evidence puts it together with results; feedback may come days later.
    Family("quality", looks_back=timedelta(days=7)),
    Family("questions"),
    Family("askers"),
    Family("repeats", by_day=False),
    Family("prefixes", by_day=False),
    Family("feedback"),
    Family("standings"),
    Family("doubtful", by_day=False),
)


def rollup_tables() -> list[str]:
    """Name the roll-ups that are kept as long as the ledger: all but those by minute."""
    hours = [f"{family.name}_by_hour" for family in FAMILIES]
    return hours + [f"{family.name}_by_day" for family in FAMILIES if family.by_day]

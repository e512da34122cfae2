"""What reports have in common: typed answers to the named queries in `queries/`. Money stays Decimal."""

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from analytics.ledger_window import LedgerWindow
from analytics.period import Grain

ALL: Final = 2**32 - 1
"""A limit on rows that is none."""
QUICKLY_READ: Final = 50_000
"""Up to how many results are read from the ledger itself, which takes about half a second."""


class Report(BaseModel):
    """A record of a report, or a row in one."""

    model_config = ConfigDict(frozen=True)


class RollupReport(Report):
    """A report on whole hours or days: [since, until)."""

    since: datetime
    until: datetime
    grain: Grain
    built_at: datetime | None
    """When the roll-ups were last brought up to date; None: never. What came since then is not in the figures."""


async def rolled_up(window: LedgerWindow) -> dict[str, Any]:
    """Return the fields of RollupReport for a window."""
    [row] = await window.rollup_rows("report_built")
    period = window.period
    return {"since": period.since, "until": period.until, "grain": period.grain, **row}


async def is_quickly_read(window: LedgerWindow) -> bool:
    """Whether the ledger itself is small enough to be read, which knows moments where roll-ups know hours."""
    [size] = await window.rows("summary_size", limit=QUICKLY_READ + 1)
    return bool(size["results"] <= QUICKLY_READ)

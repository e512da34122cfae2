"""The reports: a file each, with a record and the function that fills it from the named queries in `queries/`."""

from collections.abc import Awaitable, Callable
from typing import Final

from pydantic import BaseModel

from analytics.reports.breakers import breakers
from analytics.reports.cache import cache
from analytics.reports.costs import costs
from analytics.reports.errors import errors
from analytics.reports.findings import findings
from analytics.reports.latency import latency
from analytics.reports.ledger import ledger
from analytics.reports.rates import rates
from analytics.reports.savings import savings
from analytics.reports.sharing import sharing
from analytics.reports.summary import summary
from analytics.reports.trend import trend

__all__ = ["BY_TAG", "REPORTS"]

REPORTS: Final[dict[str, Callable[..., Awaitable[BaseModel]]]] = {
    "summary": summary,
    "costs": costs,
    "savings": savings,
    "trend": trend,
    "latency": latency,
    "rates": rates,
    "errors": errors,
    "breakers": breakers,
    "sharing": sharing,
    "cache": cache,
    "findings": findings,
    "ledger": ledger,
}
"""The reports of `tierstream report`, in the order of its help; what a function says of itself first is said there.

Each takes a LedgerWindow; its further parameters, all by keyword and with a default, are options of its command."""

BY_TAG: Final = frozenset({"summary", "ledger"})
"""Those that can be asked for the requests with a tag; the others read roll-ups, which have tags in `costs` alone."""

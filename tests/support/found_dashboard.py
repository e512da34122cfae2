"""A dashboard over two days of made traffic in which there is something to find, to explain and to split."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

from support.dashboard_server import SHOWN, dashboard_of, serving

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from analytics.leverage.split_report import Assumed, SplitReport
from analytics.period import Period
from analytics.reports.findings import FindingsReport, findings
from analytics.rollups import RollupBuilder
from streams.config.settings import load as load_settings
from tierstream.bench.ledger_load import load
from tierstream.bench.ledger_plants import MisTiered, Plants, PowerUser, PriceChange
from tierstream.bench.ledger_traffic import Traffic
from tierstream.dashboard.findings import LatestFindings
from tierstream.operations.cost_reports import CLOSES, MARGIN, CostReports

DATABASE = "found"
START, DAYS = datetime(2026, 10, 1, tzinfo=UTC), 2
END = START + timedelta(days=DAYS)
WHOLE = f"since={START:%Y-%m-%d}&until={END - timedelta(days=1):%Y-%m-%d}"
LAST_DAY = f"since={END - timedelta(days=1):%Y-%m-%d}&until={END - timedelta(days=1):%Y-%m-%d}"
# Shares are large, for as few requests as possible to be enough.
PLANTS = Plants(
    power_user=PowerUser(others_share=0.12),
    price_change=PriceChange(day=1),
    mis_tiered=MisTiered(share=0.2, judged=0.9),
)
IN_BETWEEN, TOO_DEAR = "openai/gpt-6-luna", "anthropic/claude-opus-5-5"


async def fill_found(url: str) -> None:
    """Write the traffic through the sink's own path, and build its roll-ups."""
    await load(Traffic(1, 4_000, DAYS, START, users=200, plants=PLANTS), url, DATABASE)
    async with open_client(url) as client:
        await RollupBuilder(client, DATABASE, lifetime_s=3600).build()


@contextmanager
def found_dashboard(url: str) -> Iterator[str]:
    """Serve it at the end of those days, once it has looked for findings; yields its address."""
    settings = load_settings()
    costs = CostReports(settings, clock=lambda: END)

    async def split(window: LedgerWindow) -> SplitReport:
        """Propose which requests a tier between two tiers should get."""
        period = Period(window.since, END, "hour")
        assumed = Assumed(2, MARGIN, CLOSES)
        return await costs.splits(window.client, DATABASE, period, named=[IN_BETWEEN, TOO_DEAR], assumed=assumed)

    async def look() -> FindingsReport:
        async with open_client(url) as client:
            return await findings(LedgerWindow(client, DATABASE, START, END))

    reports = {**SHOWN, **costs.by_name(), "split": split}
    dashboard = dashboard_of(url, database=DATABASE, reports=reports, clock=lambda: END)
    with serving(replace(dashboard, findings=LatestFindings(look))) as address:
        while b"Looking for findings" in urlopen(address).read():
            pass
        yield address

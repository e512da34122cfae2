"""The dashboard in a thread of the test, with reports of every shape, and browsers to look at it."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import uvicorn
from support.dashboard_traffic import DATABASE

from analytics.ledger_window import PriceList
from analytics.reports import REPORTS
from streams.config.settings import Settings
from tierstream.dashboard.access import Access
from tierstream.dashboard.app import new_app
from tierstream.dashboard.ledger import Ledger
from tierstream.dashboard.pages import Dashboard, new_dashboard
from tierstream.operations.cost_reports import CostReports
from tierstream.stack.ports import free_port

FRONTIER = "anthropic/claude-opus-5"
PRICES = PriceList(FRONTIER, {FRONTIER: (Decimal(5), Decimal(25), Decimal("0.5"))})
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


SHOWN = {**REPORTS, **CostReports(Settings()).by_name()}


def dashboard_of(
    clickhouse_url, *, database=DATABASE, token=None, reports=SHOWN, clock=lambda: datetime.now(UTC)
) -> Dashboard:
    """Make a dashboard over the tables that `dashboard_traffic` makes."""
    return new_dashboard(
        Ledger(clickhouse_url, database),
        Access(token),
        tiers=3,
        frontier=FRONTIER,
        prices=lambda: PRICES,
        clock=clock,
        reports=reports,
    )


@contextmanager
def running_dashboard(clickhouse_url, **options) -> Iterator[str]:
    """Serve one of `dashboard_of` for as long as the context lasts; yields its address."""
    with serving(dashboard_of(clickhouse_url, **options)) as address:
        yield address


@contextmanager
def serving(dashboard: Dashboard) -> Iterator[str]:
    """Serve a dashboard for as long as the context lasts; yields its address."""
    port = free_port()
    started = threading.Event()
    config = uvicorn.Config(new_app(dashboard), host="127.0.0.1", port=port, log_level="warning", ws="none")
    server = uvicorn.Server(config)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve())
        while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        started.set()
        await serving

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def browser_path() -> str:
    """Find a browser; without one the test is skipped, unless REQUIRE_BROWSER is set."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        reason = f"no browser: install one of {', '.join(BROWSERS)}"
        assert not os.environ.get("REQUIRE_BROWSER"), reason
        pytest.skip(reason)
    return found

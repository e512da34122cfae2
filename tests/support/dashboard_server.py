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
from pydantic import BaseModel
from support.dashboard_traffic import DATABASE, ESCALATED

from analytics.ledger_window import PriceList
from analytics.reports import REPORTS
from tierstream.dashboard.access import Access
from tierstream.dashboard.app import new_app
from tierstream.dashboard.ledger import Ledger
from tierstream.dashboard.pages import Dashboard, new_dashboard
from tierstream.stack.ports import free_port

FRONTIER = "anthropic/claude-opus-5"
PRICES = PriceList(FRONTIER, {FRONTIER: (Decimal(5), Decimal(25), Decimal("0.5"))})
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Effect(BaseModel):
    name: str
    usd: Decimal


class ChangeReport(BaseModel):
    before_usd: Decimal
    after_usd: Decimal
    effects: tuple[Effect, ...]


class Volume(BaseModel):
    model: str
    tokens: int
    cost_usd: Decimal
    movable_share: float


class LeverageReport(BaseModel):
    total_usd: Decimal
    models: tuple[Volume, ...]


class Finding(BaseModel):
    title: str
    text: str
    usd_per_month: Decimal
    confidence: float
    evidence: tuple[str, ...]


class FindingsReport(BaseModel):
    findings: tuple[Finding, ...]


async def change(window) -> ChangeReport:
    """Say why the cost is another one than before: volume, mix of tiers, prices."""
    if not await _any(window):
        return ChangeReport(before_usd=Decimal(0), after_usd=Decimal(0), effects=())
    effects = {"More requests": "212.40", "Larger prompts": "96.10", "Mix of tiers": "-141.75", "Prices": "-38.20"}
    return ChangeReport(
        before_usd=Decimal("1210.30"),
        after_usd=Decimal("1338.85"),
        effects=tuple(Effect(name=name, usd=Decimal(usd)) for name, usd in effects.items()),
    )


async def leverage(window) -> LeverageReport:
    """Show how much volume could move between providers, which is what a discount is negotiated with."""
    if not await _any(window):
        return LeverageReport(total_usd=Decimal(0), models=())
    volumes = [
        ("anthropic/claude-opus-5", 41_210_000, "1091.60", 0.31),
        ("groq/openai/gpt-oss-20b", 380_400_000, "77.20", 0.92),
    ]
    models = tuple(Volume(model=m, tokens=t, cost_usd=Decimal(c), movable_share=s) for m, t, c, s in volumes)
    return LeverageReport(total_usd=Decimal("1168.80"), models=models)


async def findings(window) -> FindingsReport:
    """Find what costs more than it has to, with evidence and dollars a month."""
    if not await _any(window):
        return FindingsReport(findings=())
    one = Finding(
        title="One user makes 38 % of the cost of tier 3 with questions that tier 1 answers",
        text="ann asks nearly the same 212 times a day; in the shadow, tier 1 answered 97 % of these as well.",
        usd_per_month=Decimal("412.50"),
        confidence=0.93,
        evidence=(ESCALATED, "req-0017", "req-0027", "req-0037"),
    )
    two = Finding(
        title="Instructions of 1,900 tokens are sent uncached by feature support",
        text="The prefix is the same in 99 % of its requests. Put it first, and providers cache it.",
        usd_per_month=Decimal("88.20"),
        confidence=0.99,
        evidence=("req-0000",),
    )
    return FindingsReport(findings=(two, one))


async def _any(window) -> bool:
    return (await window.rows("summary_totals"))[0]["requests"] > 0


SHOWN = {**REPORTS, "change": change, "leverage": leverage, "findings": findings}


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
    """Serve it for as long as the context lasts; yields its address."""
    port = free_port()
    started = threading.Event()
    config = uvicorn.Config(
        new_app(dashboard_of(clickhouse_url, **options)), host="127.0.0.1", port=port, log_level="warning", ws="none"
    )
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

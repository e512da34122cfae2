"""`tierstream report`: its commands are made of the functions in REPORTS."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel
from support.ledger_records import ClickHouseProcess
from typer.testing import CliRunner

from analytics.ledger_window import LedgerWindow
from analytics.reports import REPORTS
from analytics.reports.summary import Percentiles
from tierstream.cli import app


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ClickHouseProcess]:
    made = ClickHouseProcess(tmp_path)
    await made.start()
    yield made
    await made.stop()


class PerModel(BaseModel):
    """A row."""

    model: str
    calls: int
    cost_usd: Decimal
    share: float


class ByModel(BaseModel):
    """A report without a layout of its own."""

    requests: int
    total_cost_usd: Decimal
    statuses: dict[str, int]
    latency: Percentiles
    slowest: str | None
    models: tuple[PerModel, ...]


async def by_model(window: LedgerWindow) -> ByModel:
    """Show a report that nobody laid out.

    Args:
        window: Of no matter.
    """
    rows = (PerModel(model="groq/\x1bsmall", calls=3, cost_usd=Decimal("0.5"), share=0.25),)
    latency, statuses = Percentiles(p50=1.25, p95=20), {"ok": 2, "failed": 1}
    return ByModel(requests=3, total_cost_usd=Decimal(2), statuses=statuses, latency=latency, slowest=None, models=rows)


async def test_a_report_is_a_function_and_its_command_comes_by_itself(monkeypatch, server, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLICKHOUSE_URL", server.url)
    monkeypatch.setitem(REPORTS, "by-model", by_model)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["report", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "Show a report that nobody laid out." in run("--help")
    assert "tierstream report by-model --since 24h" in run("by-model", "--help")
    shown = await asyncio.to_thread(run, "by-model")
    assert shown.splitlines()[:5] == [
        "requests        3",
        "total cost      $2.000000",
        "statuses        ok 2, failed 1",
        "latency         1.2 / 20.0",
        "slowest         -",
    ]
    assert [line.split() for line in shown.splitlines() if "groq" in line] == [
        ["│", "groq/small", "│", "3", "│", "$0.500000", "│", "25.0%", "│"]
    ]
    assert json.loads(await asyncio.to_thread(run, "by-model", "--json"))["models"][0]["cost_usd"] == "0.5"

"""`tierstream report`: its commands are made of the functions in REPORTS."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel
from support.ledger_records import ClickHouseProcess
from typer.testing import CliRunner

from analytics.ledger_window import LedgerWindow
from analytics.reports import REPORTS
from analytics.reports.summary import Percentiles
from tierstream.cli import app
from tierstream.cli.help_text import argument_help
from tierstream.cli.render.report import show_csv


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


class ByShare(BaseModel):
    """A report without rows."""

    at: datetime | None
    models: tuple[PerModel, ...]


async def by_share(window: LedgerWindow, *, share: Literal["large", "small"] = "large", top: int = 3) -> ByShare:
    """Show nothing.

    Args:
        window: Of no matter.
        share: Of no matter.
        top: How many.
    """
    rows = [PerModel(model=share, calls=n, cost_usd=Decimal(n), share=0) for n in range(top)]
    return ByShare(at=None, models=tuple(rows))


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


async def test_parameters_of_a_report_are_options_and_its_first_table_is_csv(monkeypatch, server, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLICKHOUSE_URL", server.url)
    monkeypatch.setitem(REPORTS, "by-share", by_share)
    monkeypatch.setitem(REPORTS, "by-model", by_model)

    async def run(*arguments: str, code: int = 0) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["report", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    csv = await run("by-share", "--share", "small", "--top", "2", "--csv")
    assert csv == "model,calls,cost_usd,share\nsmall,0,0,0.0\nsmall,1,1,0.0\n"
    assert await run("by-share", "--top", "0", "--csv") == "model,calls,cost_usd,share\n"
    assert await run("by-model", "--csv") == "model,calls,cost_usd,share\ngroq/small,3,0.5,0.25\n"
    assert "huge" in await run("by-share", "--share", "huge", code=2)
    assert "give one" in " ".join((await run("by-share", "--csv", "--json", code=2)).split())


def test_csv_has_no_formulas_and_numbers_as_they_are(capsys):
    row = PerModel(model="=1+1", calls=2, cost_usd=Decimal("-1.5"), share=-0.5)
    show_csv(ByShare(at=None, models=(row,)))
    assert capsys.readouterr().out == "model,calls,cost_usd,share\n'=1+1,2,-1.5,-0.5\n"


def test_only_reports_that_know_tags_have_the_option(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in REPORTS:
        shown = CliRunner().invoke(app, ["report", name, "--help"]).output
        assert ("--tag " in shown) == (name in {"summary", "ledger"}), name


def test_without_a_name_the_reports_are_listed():
    shown = CliRunner().invoke(app, ["report"]).output
    assert all(name in shown for name in REPORTS)


@pytest.mark.parametrize("name", REPORTS)
def test_every_option_of_a_report_is_described(name):
    parameters = inspect.signature(REPORTS[name]).parameters.values()
    for own in (one for one in parameters if one.kind is one.KEYWORD_ONLY):
        assert len(argument_help(REPORTS[name], own.name)) > 10, own.name


def test_a_description_goes_on_over_lines_and_ends_with_its_argument():
    def report(window, *, one, other):
        """Show.

        Args:
            window: Of all.
            one: The first
                of two.
            other: The last.

        Raises:
            ValueError: Never.
        """

    found = [argument_help(report, name) for name in ("one", "other", "none")]
    assert found == ["The first of two.", "The last.", ""]

"""What is shown of a long report, and whose fault it is that one can't be: of the address, the settings, or ours."""

import dataclasses
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient
from support.dashboard_server import dashboard_of

from analytics.reports.report import Report
from streams.config.settings import Settings
from tierstream.dashboard.app import new_app
from tierstream.dashboard.ledger import Ledger
from tierstream.operations.cost_reports import CostReports

NOW = datetime(2026, 3, 31, 10, 30, tzinfo=UTC)
THIS_HOUR = "since=2026-03-31T10:00&until=2026-03-31T11:00"


class UnaskedLedger(Ledger):
    """A ledger whose client is for reports that fail before they ask it anything."""

    @asynccontextmanager
    async def client(self):
        yield None


async def broken(window):
    """Have a bug."""
    return float(f"not a number, {window.database}")


class Row(Report):
    name: str


class Long(Report):
    rows: tuple[Row, ...]


async def long(window):
    """Have many rows."""
    return Long(rows=tuple(Row(name=f"row {n}.") for n in range(1, 1_235)))


@pytest.fixture
def browser():
    settings = Settings()
    one_tier = settings.model_copy(update={"tiers": settings.tiers[:1]})
    reports = {
        **CostReports(settings, lambda: NOW).by_name(),
        "split": CostReports(one_tier, lambda: NOW).split,
        "broken": broken,
        "long": long,
    }
    made = dashboard_of("http://127.0.0.1:1", reports=reports, clock=lambda: NOW)
    app = new_app(dataclasses.replace(made, ledger=UnaskedLedger("http://127.0.0.1:1", "ledger")))
    return TestClient(app, base_url="http://127.0.0.1:8090", raise_server_exceptions=False)


@pytest.mark.parametrize("path", ["/report/{}", "/api/report/{}", "/report/{}/rows.csv"])
@pytest.mark.parametrize("name", ["change", "leverage"])
def test_a_period_of_which_no_hour_is_over_is_told_as_what_the_address_asks(browser, path, name, caplog):
    answer = browser.get(f"{path.format(name)}?{THIS_HOUR}")
    assert (answer.status_code, "there is no whole hour" in answer.text) == (400, True)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_report_that_the_settings_have_no_tiers_for_is_not_there(browser):
    answer = browser.get("/api/report/split")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "There is nothing here: tier 1 has none above it: there are 1."},
    )


@pytest.mark.parametrize("path", ["/report/broken", "/api/report/broken", "/report/broken/rows.csv"])
def test_a_bug_in_a_report_is_no_fault_of_the_address_and_is_logged(browser, path, caplog):
    answer = browser.get(path)
    assert answer.status_code == 500
    assert "could not be made" in answer.text
    assert "number" not in answer.text
    [logged] = [record for record in caplog.records if record.name == "tierstream.dashboard.app"]
    assert logged.getMessage() == f"{path} could not be shown"
    assert isinstance(logged.exc_info[1], ValueError)


def test_a_long_table_is_shown_in_part_and_whole_in_its_csv(browser):
    page = browser.get("/report/long").text
    assert "row 200." in page
    assert "row 201." not in page
    assert "200 of 1,234 rows" in page
    assert len(browser.get("/report/long/rows.csv").text.splitlines()) == 1_235

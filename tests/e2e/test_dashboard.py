"""The dashboard in a browser: what it transfers, who can use it, and the way from the flow to a request's trace."""

import re
from datetime import UTC, datetime

import pytest
from support.browser_looks import LOOKS, apart, look, running_browser, until_drawn
from support.dashboard_server import running_dashboard
from support.dashboard_traffic import ESCALATED, empty_ledger, fill_dashboard

import tierstream.dashboard.ledger
from tierstream.stack.ports import free_port

TOKEN = "a token of more than sixteen characters"
PAGES = {
    "overview": "/",
    "day": "/?period=24h",
    "requests": "/requests",
    "trace": f"/trace/{ESCALATED}",
    "unknown": "/nothing",
}
REPORT_PAGES = {
    "reports": "/reports",
    "summary": "/report/summary",
    "change": "/report/change",
    "leverage": "/report/leverage",
    "findings": "/report/findings",
    "split": "/report/split",
    "by user": "/report/change?period=7d&by=user",
    "to print": "/report/leverage/page",
}


@pytest.fixture(scope="module")
def browser():
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def full(module_clickhouse_url):
    apart(fill_dashboard(module_clickhouse_url, datetime.now(UTC)))
    with running_dashboard(module_clickhouse_url) as address:
        yield address


@pytest.fixture(scope="module")
def empty(module_clickhouse_url):
    apart(empty_ledger(module_clickhouse_url, "nothing_yet"))
    with running_dashboard(module_clickhouse_url, database="nothing_yet") as address:
        yield address


@pytest.fixture
def page(browser):
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield context.new_page()


@pytest.mark.parametrize("pages", [PAGES, REPORT_PAGES], ids=["pages", "reports"])
@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_pages_with_data_serve_everybody(browser, full, pages, scheme, width):
    assert look(browser, full, pages, scheme, width, "full") == []


@pytest.mark.parametrize("pages", [PAGES, REPORT_PAGES], ids=["pages", "reports"])
@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_empty_pages_serve_everybody(browser, empty, pages, scheme, width):
    assert look(browser, empty, pages, scheme, width, "empty") == []


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_pages_that_ask_or_complain_serve_everybody(browser, scheme, width):
    away = f"http://127.0.0.1:{free_port()}"
    with running_dashboard(away) as address, running_dashboard(away, token=TOKEN) as locked:
        problems = look(browser, address, {"away": "/"}, scheme, width, "full")
        problems += look(browser, locked, {"login": "/"}, scheme, width, "full")
    assert problems == []


def test_the_first_page_is_small_and_asks_little(page, full, monkeypatch):
    asked = []
    named_query = tierstream.dashboard.ledger.named_query

    async def counted(client, database, name, parameters):
        asked.append(name)
        return await named_query(client, database, name, parameters)

    monkeypatch.setattr(tierstream.dashboard.ledger, "named_query", counted)
    transferred = []
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: transferred.append(event["encodedDataLength"]))
    page.goto(full)
    until_drawn(page)
    assert 1 < len(transferred) <= 5
    assert sum(transferred) <= 800_000
    assert len(asked) == len(set(asked)) == 5
    # A second visit has the scripts already.
    transferred.clear()
    page.goto(full)
    until_drawn(page)
    assert sum(transferred) < 40_000


def test_one_request_from_the_flow_to_its_trace_by_keyboard_alone(page, full):
    page.goto(full)
    place = page.get_by_role("link", name=re.compile(r"^Tier 2 .* answered there"))
    place.first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/requests?*tier=2*")
    assert page.get_by_label("Answered by").input_value() == "2"
    page.get_by_role("link", name=ESCALATED).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/trace/{ESCALATED}")
    rows = page.get_by_role("row").all_inner_texts()
    steps = [re.split(r"\s+", row.strip())[0] for row in rows[1:]]
    assert steps[0] == "classify"
    assert [step for step in steps if step.startswith("infer:")] == ["infer:1", "infer:2"]
    assert "judge_fail" in page.get_by_role("table").inner_text()
    assert page.locator("svg.bars rect.call").count() == 3


def test_figures_of_a_chart_are_in_a_table_and_links_lead_on(page, full):
    page.goto(full)
    page.get_by_text("Figures of Spend per day, by model").click()
    table = page.get_by_role("region", name="Figures of Spend per day, by model")
    assert table.get_by_role("columnheader").count() == 7
    assert table.get_by_role("row").count() == 31
    page.goto(f"{full}/report/summary?period=7d")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of Tiers").click()
    assert download.value.suggested_filename == "summary-tiers.csv"
    page.goto(f"{full}/report/change?period=7d")
    page.get_by_role("link", name="feature", exact=True).click()
    assert page.get_by_role("columnheader", name="Feature").is_visible()
    page.goto(f"{full}/report/leverage")
    page.get_by_role("link", name="for anthropic").click()
    page.get_by_role("heading", level=1, name="What anthropic answers").wait_for()


def test_the_first_page_stays_up_to_date_until_it_is_paused(page, module_clickhouse_url):
    apart(empty_ledger(module_clickhouse_url, "live"))
    with running_dashboard(module_clickhouse_url, database="live") as address:
        page.clock.install()
        page.goto(address)
        page.get_by_text("No request was settled in the last hour.").wait_for()
        apart(fill_dashboard(module_clickhouse_url, datetime.now(UTC), "live"))
        page.clock.run_for(10_000)
        page.get_by_role("heading", name="Spend per day, by model").wait_for()
        page.get_by_role("link", name=re.compile(r"^Tier 1 .* first sent there")).first.wait_for()
        page.get_by_role("button", name="Pause").click()
        asked = []
        page.on("request", lambda one: asked.append(one.url))
        page.clock.run_for(30_000)
        assert page.get_by_text("Paused").is_visible()
        assert asked == []


def test_on_a_phone_the_navigation_is_one_row_with_the_page_in_sight(browser, full):
    with browser.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        for path in ("/", "/reports"):
            page.goto(full + path)
            row, here = (page.locator(f".top nav {part}").bounding_box() for part in ("ul", "[aria-current]"))
            assert row["height"] < 2 * here["height"]
            assert 0 <= here["x"] <= 390 - here["width"]


def test_without_scripts_everything_is_there(browser, full):
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(full)
        page.get_by_text("Figures of Latency of requests").click()
        assert page.get_by_role("region", name="Figures of Latency of requests").is_visible()
        assert page.get_by_role("link", name=re.compile(r"^Requests .* in all")).first.is_visible()


def test_the_token_opens_the_pages(page, module_clickhouse_url):
    with running_dashboard(module_clickhouse_url, database="nothing_yet", token=TOKEN) as address:
        page.goto(f"{address}/requests")
        page.get_by_label("Token").fill("not the token, though long")
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("alert").get_by_text("This is not the token.").wait_for()
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("heading", name="Overview").wait_for()
        [cookie] = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in cookie["value"]

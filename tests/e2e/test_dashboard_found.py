"""What the dashboard says where there is something to say: findings, why the cost changed, a tier in between."""

import re
from decimal import Decimal

import pytest
from support.browser_looks import LOOKS, apart, look, running_browser, until_drawn
from support.found_dashboard import IN_BETWEEN, LAST_DAY, TOO_DEAR, WHOLE, fill_found, found_dashboard

PAGES = {
    "found overview": f"/?{WHOLE}",
    "found": f"/report/findings?{WHOLE}",
    "changed": f"/report/change?{LAST_DAY}",
    "changed by feature": f"/report/change?{LAST_DAY}&by=feature",
    "splits": f"/report/split?{WHOLE}",
    "moves": f"/report/leverage?{WHOLE}",
    "moves to print": f"/report/leverage/page?{WHOLE}",
}
_ROUNDED = Decimal("0.01")
"""What is written is rounded to cents, and below a dollar to less."""


@pytest.fixture(scope="module")
def browser():
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def found(module_clickhouse_url):
    apart(fill_found(module_clickhouse_url))
    with found_dashboard(module_clickhouse_url) as address:
        yield address


@pytest.fixture
def page(browser):
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield context.new_page()


def usd(text: str) -> Decimal:
    """Read an amount as a page writes it."""
    return Decimal(text.replace("−", "-").replace("$", "").replace(",", ""))


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_what_was_found_is_shown_to_everybody(browser, found, scheme, width):
    assert look(browser, found, PAGES, scheme, width, "found") == []


@pytest.mark.slow
def test_a_finding_has_its_kind_what_it_is_worth_how_sure_it_is_and_requests_to_look_at(page, found):
    page.goto(f"{found}/report/findings?{WHOLE}")
    cards = page.get_by_role("article")
    kinds = cards.locator(".kind").all_inner_texts()
    assert {kind.lower() for kind in kinds} == {"power user", "sudden change"}
    amounts = [usd(one) for one in cards.locator(".worth strong").all_inner_texts()]
    assert amounts == sorted(amounts, reverse=True)
    for card, amount in zip(cards.all(), amounts, strict=True):
        low, high, sure = re.search(r"\((.+) to (.+)\), (.+) sure", card.inner_text()).groups()
        assert usd(low) <= amount <= usd(high)
        assert re.fullmatch(r"9[5-9]\.\d %|more than 99.9 %", sure)
    evidence = cards.locator(".evidence a").first
    request_id = evidence.inner_text()
    evidence.click()
    page.get_by_role("heading", level=1, name=request_id).wait_for()
    assert page.locator("svg.bars rect.call").count() >= 1


@pytest.mark.slow
def test_the_first_page_shows_the_dearest_findings(page, found):
    page.goto(f"{found}/?{WHOLE}")
    card = page.get_by_role("article").first
    assert card.locator(".kind").inner_text().lower() == "power user"
    page.get_by_role("link", name="All findings").click()
    page.get_by_role("heading", level=1, name="Findings").wait_for()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["model", "feature"])
def test_the_steps_from_the_cost_before_to_that_after_add_up_as_drawn_and_as_written(page, found, by):
    page.goto(f"{found}/report/change?{LAST_DAY}&by={by}")
    until_drawn(page)
    before, *effects, after = drawn_steps(page)
    assert len(effects) == 6
    # Money has 12 digits; a step of the drawing is a float.
    assert before["size"] + sum(step["size"] for step in effects) == pytest.approx(after["size"], abs=1e-9)
    level = before["size"]
    for step in effects:
        low, high = sorted((level, level + step["size"]))
        assert (step["from"], step["to"]) == pytest.approx((low, high), abs=1e-9)
        level += step["size"]
    page.get_by_text("Figures of From the cost before to the cost after").click()
    rows = page.get_by_role("region", name="Figures of From the cost before to the cost after").locator("tbody tr")
    written = [[usd(cell) for cell in row.locator("td").all_inner_texts()] for row in rows.all()]
    assert abs(written[0][0] + sum(size for size, _ in written[1:-1]) - written[-1][0]) <= len(written) * _ROUNDED
    table = page.get_by_role("region", name="Effects, table").locator("tbody tr")
    effects_usd = [usd(row.locator("td").first.inner_text()) for row in table.all()]
    assert effects_usd == [size for size, _ in written[1:-1]]


def drawn_steps(page):
    """What the chart drew: for each step its amount, and where its bar begins and ends on the axis."""
    return page.evaluate(
        """() => {
            const chart = echarts.getInstanceByDom(document.querySelector('[data-chart]'));
            const [under, steps] = chart.getOption().series.map((one) => one.data);
            return steps.map((one, n) => ({size: one.size, from: under[n], to: under[n] + one.value}));
        }"""
    )


@pytest.mark.slow
def test_a_tier_in_between_has_its_proposals_and_what_would_move(page, found):
    page.goto(f"{found}/report/split?{WHOLE}")
    headline = page.locator(".headline").inner_text()
    proposals = page.get_by_role("region", name="Proposals, table")
    rows = {row.locator("th").inner_text(): row.inner_text() for row in proposals.locator("tbody tr").all()}
    assert rows.keys() == {IN_BETWEEN, TOO_DEAR}
    assert re.search(r"\byes\b", rows[IN_BETWEEN])
    assert re.search(r"\bno\b", rows[TOO_DEAR])
    saved = re.search(r"about (\S+) a month", headline)[1]
    assert saved in rows[IN_BETWEEN]
    assert f"Yes: {IN_BETWEEN} between tiers 2 and 3" in headline
    parts = page.get_by_role("region", name="Kinds of requests, table")
    assert {row.locator("th").inner_text() for row in parts.locator("tbody tr").all()} == {IN_BETWEEN}
    page.get_by_role("term").filter(has_text="Cost of tier 3").wait_for()

"""The page that is handed over: whole, escaped, without anything from elsewhere and what is not for its reader."""

from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from analytics.leverage.page import UnpaidProviderError, leverage_page
from analytics.leverage.report import LeverageReport, ModelVolume, MoveRow, ProviderLeverage

VOID = {"meta", "br", "link", "img"}
NASTY = '<script>alert("x")</script> & "quoted"'


class Page(HTMLParser):
    """Which elements there are, whether each is closed, and the texts of cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data
        if "style" not in self.open:
            self.text += data


def move(number: int, **other) -> MoveRow:
    fields = {
        "source": "a/large",
        "target": "b/large",
        "tier": 2,
        "target_tier": 2,
        "query_type": f"type-{number}",
        "standing": "same tier",
        "needs_trial": False,
        "quality_difference": 0.01,
        "low": -0.02,
        "high": 0.04,
        "looks": 1234.5,
        "answers": 100,
        "cost_usd": Decimal(10),
        "list_saving_usd": Decimal(4),
        "discount_saving_usd": Decimal("5.2"),
    }
    return MoveRow(**fields | other)


def provider(name: str, moves: tuple[MoveRow, ...]) -> ProviderLeverage:
    model = ModelVolume(
        model=f"{name}/large",
        tiers=(2,),
        calls=10_000,
        input_tokens=5_000_000,
        output_tokens=1_000_000,
        cost_usd=Decimal("1234.5"),
        share=0.5,
    )
    return ProviderLeverage(
        provider=name,
        cost_usd=Decimal("1234.5"),
        share=0.5,
        models=(model,),
        movable_usd=Decimal(600),
        movable_share=0.486,
        more_with_discount_usd=Decimal(100),
        more_after_trial_usd=Decimal(200),
        list_saving_usd=Decimal(300),
        discount_saving_usd=Decimal(400),
        stay_saving_usd=Decimal("246.9"),
        equal_discount=0.243,
        moves=moves,
    )


def report(*providers: ProviderLeverage) -> LeverageReport:
    return LeverageReport(
        since=datetime(2026, 10, 1, tzinfo=UTC),
        until=datetime(2026, 10, 16, tzinfo=UTC),
        grain="day",
        days=15,
        cost_usd=Decimal(2469),
        monthly_usd=Decimal(4938),
        margin=0.05,
        discount=0.2,
        confidence=0.95,
        providers=providers,
        not_compared=(),
    )


BOTH = report(provider("a", (move(1), move(2))), provider("b", ()))


def test_it_is_one_whole_document_that_needs_nothing_else():
    html = leverage_page(BOTH)
    page = Page(html)
    assert page.open == []
    assert html.startswith("<!doctype html>")
    assert not {"script", "link", "img", "iframe", "object"} & set(page.elements)
    assert not any(name in {"src", "href"} or name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in html
    assert "http" not in html
    assert "@media print" in html


def test_its_figures_are_those_of_the_report():
    page = Page(leverage_page(BOTH))
    assert ["a", "$1,234.50", "50%", "49%", "$600.00", "$300.00", "$400.00", "$246.90"] in page.rows
    assert ["a/large", "2", "10,000", "5,000,000", "1,000,000", "$1,234.50", "100%"] in page.rows
    assert [
        "a/large",
        "b/large",
        "type-1",
        "+1.0 points (-2.0 to +4.0)",
        "1,234 answers, same tier",
        "$10.00",
        "$4.00",
        "$5.20",
    ] in page.rows
    # Fifteen days are half a month.
    assert "$1,200.00a month that a would lose" in page.text
    assert "A discount of 24% on all that a gets would save as much" in page.text
    assert "no model of another provider was measured to be as good" in page.text


def test_what_comes_from_outside_is_text():
    nasty = move(1, source=NASTY, target=NASTY, query_type=NASTY)
    html = leverage_page(report(provider(NASTY, (nasty,))))
    page = Page(html)
    assert "script" not in page.elements
    assert page.rows[-1][:3] == [NASTY] * 3
    assert NASTY in page.text
    assert "script" not in Page(leverage_page(report(provider(NASTY, ())), NASTY)).elements


def test_a_page_for_one_provider_tells_nothing_of_what_others_get():
    secret = provider("b", (move(9, source="b/secret", query_type="secret-type"),))
    text = Page(leverage_page(report(provider("a", (move(1),)), secret), "a")).text
    assert "secret" not in text
    assert "4,938" not in text
    assert "50%" not in text
    with pytest.raises(UnpaidProviderError, match="nothing was paid to c"):
        leverage_page(BOTH, "c")


def test_many_moves_are_cut_and_said_to_be():
    page = Page(leverage_page(report(provider("a", tuple(move(n) for n in range(30))))))
    assert sum(row[2:3] != [] and row[2].startswith("type-") for row in page.rows) == 25
    assert "5 smaller ones, $50.00, are left out" in page.text


def test_a_move_that_needs_a_trial_says_so():
    page = Page(
        leverage_page(report(provider("a", (move(1, standing="lower tier", needs_trial=True, query_type=""),))))
    )
    assert page.rows[-1][2] == "not said"
    assert page.rows[-1][4].endswith("lower tier; needs a trial")

"""The page of a model that was trained on own traffic, on a terminal and as HTML."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from support.record_strategies import promotions

from tierstream.cli.promotions import promotion_steps, step
from tierstream.cli.render.promotions import promotion_html, promotion_json, show_learning, show_promotion
from topics.learned import MOST_STEPS, LabelCount, Promotion, PromotionFigure, PromotionStep

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
PAGE = Promotion(
    version="97ff8a35544d",
    classifier="requests/1:745284b7",
    before="configured",
    before_classifier="requests/1:0c131859",
    period_since=AT - timedelta(days=7),
    period_until=AT,
    labels=(LabelCount(source="judge", labels=1200, left_out=3),),
    trained_on=900,
    held_back=250,
    missing=5,
    moved=40,
    untested=11,
    figures=(
        PromotionFigure(name="expected_usd_per_1000", candidate=1.5, active=2.0, low=-0.75, high=-0.25),
        PromotionFigure(name="too_low_share", candidate=0.031, active=0.052),
    ),
    steps=(PromotionStep(state="proposed", by="learn", reason="it costs <less> & is sound", at=AT),),
)


def test_the_page_says_what_it_was_trained_on_how_it_did_and_why(capsys):
    show_promotion(PAGE)
    text = " ".join(capsys.readouterr().out.split())
    for words in ("proposed", "by learn: it costs <less>", "900 requests trained on, 250 held back", "1200 3"):
        assert words in text
    assert "1.5000 2.0000 -0.7500 to -0.2500" in text
    assert "3.1% 5.2%" in text


def test_html_needs_no_other_file_and_takes_no_markup_from_a_record():
    html = promotion_html(PAGE)
    assert "it costs &lt;less&gt; &amp; is sound" in html
    assert "<less>" not in html
    assert not any(word in html for word in ("<script", "src=", "href=", "@import", "url("))
    assert "@page" in html
    assert html.count("<table>") == html.count("</table>") == 3


@given(promotions)
def test_any_page_can_be_shown(page):
    assert promotion_html(page).startswith("<!doctype html>")
    assert promotion_json(page)["state"] == page.steps[-1].state


def test_a_history_keeps_its_latest_steps_and_is_told_in_the_order_of_time(capsys):
    page = PAGE
    for number in range(MOST_STEPS + 4):
        page = page.after(step("promoted", f"for the time {number}"))
    assert len(page.steps) == MOST_STEPS
    assert page.state == "promoted"
    assert Promotion.model_validate_json(page.model_dump_json()) == page
    other = PAGE.model_copy(update={"version": "000000000000"}).after(step("rejected", "x" * 999))
    times = [one.at for _, one in promotion_steps([page, other])]
    assert times == sorted(times)
    show_learning(promotion_steps([other]))
    assert "rejected" in capsys.readouterr().out
    show_learning([])
    assert "nothing was proposed" in capsys.readouterr().out

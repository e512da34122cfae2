"""The reports that have more than tables: from their records to what the page shows."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from analytics.change.decomposition import Effect
from analytics.change.report import ChangedRow, ComparedPeriod, CostChange, EffectSum
from analytics.leverage.split_report import Interval, Proposal, SplitReport
from tierstream.dashboard.period import PeriodError
from tierstream.dashboard.special_reports import change_chart, headline, options_of, tabular


def compared(day, usd):
    return ComparedPeriod(
        since=datetime(2026, 3, day, tzinfo=UTC),
        until=datetime(2026, 3, day + 1, tzinfo=UTC),
        grain="hour",
        cost_usd=Decimal(usd),
        requests=10,
        calls_per_request=1.0,
        tokens_per_request=100.0,
        escalated_calls_share=0.1,
        cached_share=0.2,
    )


def changed(before, after, **effects):
    sizes = {effect: Decimal(effects.get(effect.value, 0)) for effect in Effect}
    row = ChangedRow(
        key="",
        before_usd=Decimal(before),
        after_usd=Decimal(after),
        difference_usd=Decimal(after) - Decimal(before),
        effects=sizes,
    )
    return CostChange(
        by="feature",
        before=compared(1, before),
        after=compared(2, after),
        difference_usd=row.difference_usd,
        effects=tuple(EffectSum(effect=effect, usd=usd, mostly=()) for effect, usd in sizes.items()),
        rows=(row,),
        others=None,
    )


def test_a_change_of_cost_is_drawn_as_steps_from_one_to_the_other():
    chart = change_chart(changed(10, 13, volume=4, mix=-1))
    assert list(chart.labels[:4]) == ["before", "volume", "tokens a request", "mix of models"]
    steps, levels = (list(one.values) for one in chart.series)
    assert steps == [10, 4, 0, -1, 0, 0, 0, 13]
    assert levels == [10, 14, 14, 13, 13, 13, 13, 13]
    assert chart.summary == "From $10.00 to $13.00. The largest effect is volume, $4.00."
    assert change_chart(changed(0, 0)) is None
    assert tabular(changed(0, 0)) == {}


def test_the_rows_of_a_change_have_a_column_for_each_effect():
    [row] = tabular(changed(10, 13, volume=4, mix=-1))["by_feature"]
    assert list(row)[:4] == ["feature", "before_usd", "after_usd", "difference_usd"]
    assert (row["feature"], row["volume_usd"], row["mix_of_models_usd"]) == ("not said", "4", "-1")


def test_what_changes_are_named_by_is_one_of_the_choices():
    assert options_of("change", {"by": "user"}) == {"by": "user"}
    assert options_of("summary", {"by": "user"}) == {}
    with pytest.raises(PeriodError, match="choose one of model"):
        options_of("change", {"by": "weather"})


def proposed(model, usd, *, pays):
    monthly = Interval(value=usd, low=usd - 1, high=usd + 1)
    return Proposal(
        model=model,
        pays=pays,
        reason="it saves too little",
        requests=7,
        as_good_share=Interval(value=0.9, low=0.8, high=1),
        saving_usd=monthly,
        saving_share=0.25,
        monthly_saving_usd=monthly,
        parts=(),
    )


def split(*proposals, upper_requests=10):
    return SplitReport(
        since=datetime(2026, 3, 1, tzinfo=UTC),
        until=datetime(2026, 3, 2, tzinfo=UTC),
        lower=1,
        upper=2,
        upper_requests=upper_requests,
        upper_usd=12.5,
        read_share=1,
        margin=0.05,
        closes_from=0.5,
        closes_to=1,
        proposals=proposals,
    )


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (split(upper_requests=0), "Tier 2 answered nothing in this period"),
        (split(), "No model to propose"),
        (split(proposed("a/b", 3, pays=False)), "No tier between tiers 1 and 2 pays: it saves too little."),
        (
            split(proposed("a/b", 3, pays=False), proposed("c/d", 2, pays=True)),
            "Yes: c/d between tiers 1 and 2 would save about $2.00 a month ($1.00 to $3.00), 25.0 % of",
        ),
        (changed(10, 13), ""),
    ],
)
def test_what_a_report_comes_to_is_said_in_a_sentence(report, says):
    assert headline(report).startswith(says)
    assert bool(headline(report)) == bool(says)


def test_figures_of_a_split_say_what_they_are():
    shown = tabular(split(proposed("a/b", 3, pays=True)))
    assert list(shown)[:2] == ["requests that tier 2 answered", "cost_of_tier 2_usd"]
    assert shown["good answers may be fewer by"] == "5 points"
    [row] = shown["proposals"]
    assert (row["saving_a_month_usd"], row["at_least_usd"], row["at_most_usd"]) == (3, 2, 4)

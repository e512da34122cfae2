"""The sections of budgets and alerts: what they accept, and what windows come to."""

import pytest

from streams.config.settings import SettingsError, load
from streams.config.settings_budgets import BudgetSettings
from streams.kafka.admin import topic_config
from topics.registry import BUDGETS, CALLS

DAY_MS = 86_400_000


def budget(**fields):
    return {"name": "b", "by": "user", "usd": "0.01", "window": "1h"} | fields


@pytest.mark.parametrize(
    ("window", "step_ms", "steps"),
    [("10s", 1000, 10), ("90s", 1000, 90), ("1h", 2500, 1440), ("1d", 60_000, 1440), ("30d", 1_800_000, 1440)],
)
def test_a_window_moves_in_steps(window, step_ms, steps):
    made = BudgetSettings(**budget(window=window))
    assert (made.step_ms, made.steps) == (step_ms, steps)
    assert made.step_ms * made.steps >= made.window_ms


@pytest.mark.parametrize(
    ("budgets", "problem"),
    [
        ([budget(window="soon")], "must be a span from 10s to 366d"),
        ([budget(window="5s")], "must be a span from 10s to 366d"),
        ([budget(window="367d")], "must be a span from 10s to 366d"),
        ([budget(usd=0)], "must be above 0"),
        ([budget(by="all", value="x")], 'value needs by = "user", "feature" or "tag"'),
        ([budget(), budget()], "2 of them are called 'b'"),
        ([budget(hard="lower", lower_to=9)], "tier 9 does not exist"),
        ([budget(hard="later")], "must be 'none', 'reject' or 'lower'"),
    ],
)
def test_what_can_not_be_is_said(budgets, problem):
    with pytest.raises(SettingsError, match=problem):
        load(overrides={"budgets": budgets})


def test_the_log_is_kept_as_long_as_the_longest_window():
    def kept(spec, *windows):
        settings = load(overrides={"budgets": [budget(name=f"b{w}", window=w) for w in windows]})
        return int(topic_config(spec, settings)["retention.ms"])

    assert kept(BUDGETS) == kept(CALLS) == kept(BUDGETS, "1h")
    assert kept(BUDGETS, "1h", "30d") == 31 * DAY_MS
    assert kept(CALLS, "30d") == kept(CALLS)

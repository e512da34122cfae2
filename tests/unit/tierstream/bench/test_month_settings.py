"""The settings of the runs of a month."""

import os

from streams.config.settings import load
from tierstream.bench.month_settings import loop_table, run_environment, variables_of


def test_a_table_becomes_variables():
    table = {"routing": {"budget": 0.1, "llm": {"ask": [0.1, 0.2]}}, "name": "x"}
    assert dict(variables_of(table)) == {
        "TIERSTREAM_ROUTING__BUDGET": "0.1",
        "TIERSTREAM_ROUTING__LLM__ASK": "[0.1, 0.2]",
        "TIERSTREAM_NAME": "x",
    }


def test_each_run_has_its_settings_and_nothing_of_them_stays():
    before = dict(os.environ)
    with run_environment(learns=False):
        off = load()
    with run_environment(learns=True):
        on = load()
    with run_environment(learns=True, budget_usd=0.0002):
        budget = load()
    assert dict(os.environ) == before
    assert (off.validation.sample_rate, off.routing.budget_usd_per_request) == (0, None)
    assert on.validation.sample_rate == loop_table()["validation"]["sample_rate"] > 0
    assert (on.learning.promote, on.routing.budget_usd_per_request) == ("auto", None)
    assert (budget.validation, budget.routing.budget_usd_per_request) == (on.validation, 0.0002)
    assert off.tiers == on.tiers == budget.tiers

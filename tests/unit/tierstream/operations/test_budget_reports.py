"""What operators see of budgets: accounts in order, their states, and where the ledger says something else."""

from decimal import Decimal

import pytest
from support.budget_world import apply, plan, reservation, spending, state_of
from support.in_memory import BASE_MS

from streams.budgets.money import in_words
from tierstream.cli.render.budgets import show_alerts, show_budgets, show_differences, show_written
from tierstream.operations.budget_repair import counted
from tierstream.operations.budgets import BudgetView, Difference, _differing

PLANS = (plan("users", by="user"), plan("everybody", usd="10", hard="none"))


def view(*records, late=None):
    state = state_of(*PLANS)
    apply(state, *records)
    return BudgetView(state, BASE_MS + 10_000, late or {})


def test_accounts_come_by_budget_and_who_has_spent_most_first():
    found = view(spending(1, "0.1"), spending(2, "0.85", user="bob"), spending(3, "1.2", user="eve"))
    shown = [(one.plan.name, one.key, one.state) for one in found.reports]
    assert shown == [
        ("users", "eve", "exhausted"),
        ("users", "bob", "soft"),
        ("users", "ann", "ok"),
        ("everybody", "", "ok"),
    ]
    assert found.reports[0].as_json() == {
        "budget": "users",
        "key": "user:eve",
        "window": "1h",
        "spent_usd": "1.20",
        "held_usd": "0.00",
        "limit_usd": "1.00",
        "share": 1.2,
        "state": "exhausted",
        "hard": "reject",
        "since": "2026-03-01T11:00:12.500000+00:00",
    }


def test_what_is_held_is_shown_before_anything_was_spent(capsys):
    [held] = view(reservation(1, "0.4", budgets=("users",))).reports
    assert (held.spent_usd, held.held_usd) == (0, Decimal("0.4"))
    show_budgets([held], has_budgets=True)
    assert "user:ann  1h      $0.00  $0.40  $1.00   0.0%  ok" in capsys.readouterr().out


@pytest.mark.parametrize(("has_budgets", "line"), [(True, "nothing was spent"), (False, "no budgets: add")])
def test_where_there_is_nothing_it_says_why(capsys, has_budgets, line):
    show_budgets([], has_budgets=has_budgets)
    show_alerts([])
    assert line in capsys.readouterr().out


def test_what_ended_just_now_is_not_compared():
    found = view(spending(1, "0.3"), spending(2, "0.2"), late={("users", "ann"): 200_000_000_000})
    assert found.spent(PLANS[0]) == {"ann": Decimal("0.3")}


@pytest.mark.parametrize(
    ("ours", "theirs", "unknown", "differs"),
    [
        ({"ann": "0.3"}, {"ann": "0.3"}, "0", False),
        ({"ann": "0.3"}, {"ann": "0.2"}, "0", True),
        ({"ann": "0.2"}, {"ann": "0.3"}, "1", True),
        ({"ann": "0.3"}, {"ann": "0.2"}, "0.1", False),
        ({"ann": "0.3"}, {}, "0", True),
        ({}, {"ann": "0.000000000001"}, "0", True),
    ],
)
def test_any_difference_counts_but_calls_of_requests_without_a_result(capsys, ours, theirs, unknown, differs):
    sums = [{key: Decimal(usd) for key, usd in one.items()} for one in (ours, theirs)]
    found = list(_differing(PLANS[0], *sums, Decimal(unknown)))
    assert bool(found) == differs
    show_differences(found, 1)
    assert ("agree with the ledger" in capsys.readouterr().out) != differs


def test_a_difference_names_both_sums(capsys):
    show_differences([Difference(PLANS[0], "ann", Decimal("0.3"), Decimal("0.25"))], 1)
    assert capsys.readouterr().out == "users of user:ann: $0.30 spent, $0.25 in the ledger\n"


def test_what_is_written_later_is_charged_to_budgets_alone_that_counted_by_then(capsys):
    state = state_of(*PLANS, plan("nightly", by="tag", value="nightly"))
    state.since_ms = {"users": BASE_MS, "everybody": BASE_MS, "nightly": BASE_MS + 60_000}
    early, late, tagged = spending(1, ended_s=-1), spending(2), spending(3, ended_s=1, tags=("nightly",))
    assert counted([early, late, tagged], state) == [late]
    assert counted([tagged], state_of(plan("bobs", by="user", value="bob"))) == []
    show_written([late])
    show_written([])
    assert capsys.readouterr().out == f"counted $0.10 of call {late.call_id}, request r2\nno spending was missing\n"


@pytest.mark.parametrize(
    ("usd", "text"), [("0", "$0.00"), ("12.5", "$12.50"), ("0.000031", "$0.000031"), ("1E+3", "$1000.00")]
)
def test_amounts_have_the_decimals_that_they_need(usd, text):
    assert in_words(Decimal(usd)) == text

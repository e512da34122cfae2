"""Any report's JSON as figures and tables."""

from tierstream.dashboard.report_tables import as_csv, cell, tables_of

REPORT = {
    "requests": 1200,
    "total_cost_usd": "12.340000000000",
    "saved_share": 0.82,
    "statuses": {"ok": 1190, "failed": 10},
    "sharing": {"saved_calls": 3, "saved_cost_usd": "0.5", "note": None},
    "tiers": [
        {"tier": 1, "latency": {"p50": 310.0, "p95": 900.0}, "cost_usd": "1.5", "share": 0.9},
        {
            "tier": 2,
            "latency": {"p50": 810.0, "p95": 2400.0},
            "cost_usd": "10.84",
            "share": 0.1,
            "examples": ["a", "b"],
        },
    ],
    "nothing": [],
    "until": "2026-03-31T14:00:00Z",
}


def test_values_are_written_by_their_names():
    found = tables_of(REPORT)
    assert {name: cell.text for name, cell in found.figures} == {
        "Requests": "1,200",
        "Total cost": "$12.34",
        "Saved share": "82.0 %",
        "Sharing saved calls": "3",
        "Sharing saved cost": "$0.5000",
        "Sharing note": "–",
        "Until": "31 Mar 2026 14:00:00 UTC",
    }
    assert [(table.name, table.title) for table in found.tables] == [("statuses", "Statuses"), ("tiers", "Tiers")]
    statuses, tiers = found.tables
    assert [[one.text for one in row] for row in statuses.rows] == [["ok", "1,190"], ["failed", "10"]]
    assert tiers.columns == ["Tier", "Latency median", "Latency p95", "Cost", "Share", "Examples"]
    assert [one.text for one in tiers.rows[1]] == ["2", "810 ms", "2.40 s", "$10.84", "10.0 %", ""]
    assert tiers.rows[1][-1].requests == ["a", "b"]
    assert tiers.rows[0][4].part == 0.9


def test_whatever_a_report_has_it_is_shown():
    odd = {
        "deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}},
        "mixed": [1, {"x": True, "y": [{"z": 1}, 2]}, None],
        "empty": {},
        "share": "not a number",
        "big_ms": 1e12,
    }
    found = tables_of(odd)
    assert {table.name for table in found.tables} >= {"mixed"}
    assert dict(found.figures)["Share"].text == "not a number"
    assert cell("share", 12.0).text == "12"
    assert cell("tier", 3) == cell("first_tier", 3)


def test_rows_by_something_are_called_by_it():
    found = tables_of({"by": "query_type", "rows": [{"key": "faq", "n": 3}]})
    assert found.figures == []
    [table] = found.tables
    assert (table.name, table.title, table.columns) == ("rows", "By query type", ["Query type", "Number"])


def test_amounts_under_names_of_their_own_are_figures():
    found = tables_of({"money": {"calls_cost_usd": "9.809428875000", "unexplained_usd": "0E-12"}})
    assert {name: cell.text for name, cell in found.figures} == {
        "Calls cost": "$9.81",
        "Unexplained": "$0.00",
    }


def test_a_column_in_which_nothing_is_known_is_aligned_as_its_figures_would_be():
    [table] = tables_of({"tiers": [{"tier": 1, "note": None, "first_token_ms": None, "own": {"p50": None}}]}).tables
    assert table.numeric == [False, False, True, True]


def test_csv_has_the_values_and_no_formulas():
    assert as_csv(REPORT, "statuses") == "status,value\r\nok,1190\r\nfailed,10\r\n"
    assert as_csv(REPORT, "no_such") is None
    text = as_csv({"users": [{"user": "=cmd()", "usd": "-1.5"}, {"user": "@x", "usd": "2"}]}, "users")
    assert text == "user,usd\r\n'=cmd(),-1.5\r\n'@x,2\r\n"
    assert as_csv({"rows": [{"tags": ["=1+1", "b"], "n": -2}]}, "rows") == "tags,n\r\n'=1+1 b,-2\r\n"

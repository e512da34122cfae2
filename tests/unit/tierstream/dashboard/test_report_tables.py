"""Any report's JSON as figures and tables."""

from tierstream.dashboard.findings import findings_in
from tierstream.dashboard.report_tables import as_csv, cell, tables_of
from tierstream.dashboard.special_reports import change_chart

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


def test_csv_has_the_values_and_no_formulas():
    assert as_csv(REPORT, "statuses") == "status,value\r\nok,1190\r\nfailed,10\r\n"
    assert as_csv(REPORT, "no_such") is None
    text = as_csv({"users": [{"user": "=cmd()", "usd": "-1.5"}, {"user": "@x", "usd": "2"}]}, "users")
    assert text == "user,usd\r\n'=cmd(),-1.5\r\n'@x,2\r\n"


def test_a_change_of_cost_is_drawn_as_steps_from_one_to_the_other():
    report = {
        "before_usd": "10",
        "after_usd": "13",
        "effects": [{"name": "more_requests", "usd": "4"}, {"name": "mix", "usd": "-1"}],
    }
    chart = change_chart(report)
    assert chart.labels == ["Before", "more requests", "mix", "After"]
    assert [list(one.values) for one in chart.series] == [[10, 4, -1, 13], [10, 14, 13, 13]]
    assert chart.summary == "From $10.00 to $13.00. The largest effect is more requests, $4.00."
    assert change_chart({"before_usd": "0", "effects": []}) is None
    assert change_chart({}) is None


def test_findings_come_with_the_dearest_first():
    rows = [
        {"title": "small", "usd_per_month": "1.5", "confidence": 0.9, "evidence": ["a", "b", "c", "d"]},
        {
            "kind": "large",
            "detail": "why",
            "usd_per_month": "20",
            "confidence": "high",
            "evidence": [{"request_id": "x"}],
        },
        {"title": "unknown"},
    ]
    large, small, unknown = findings_in({"findings": rows})
    assert (large.title, large.text, large.confidence, large.evidence, large.more) == ("large", "why", "high", ["x"], 0)
    assert (small.confidence, small.evidence, small.more) == ("90 %", ["a", "b", "c"], 1)
    assert unknown.usd_a_month is None
    assert findings_in({"since": "x"}) == []

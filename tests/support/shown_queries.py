"""The named queries of reports where they are shown: in docs/sql.md, and in the dashboard for Grafana.

`make grafana` writes both anew.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from streams.config.settings import Settings
from tierstream.operations.price_list import configured_prices

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "sql.md"
DASHBOARD: Final = ROOT / "docker" / "grafana" / "dashboards" / "tierstream.json"
HEADING: Final = "## The queries of the reports\n"

_PARAMETER: Final = re.compile(r"\{(\w+):[^{}]+\}")
_FAMILIES: Final = ("spend", "users", "tags", "results", "times", "steps", "quality")
_ABOUT: Final = """\
The files are `analytics/queries/report_*.sql`, here with values in the place of parameters: the last week, by hour.
[Reports](reports.md#from-any-client) says how a client binds them.
"""
SHOWN: Final = {
    "report_costs": "What was paid, by feature; `by` may also be what the Enum8 lists:",
    "report_costs_by_user": "By user:",
    "report_costs_by_tag": "By tag:",
    "report_savings": "What it would have been on one model alone, here of two:",
    "report_trend": "By hour and tier:",
    "report_latency": "How long things took, by hop:",
    "report_rates": "Escalation, validation and fallback, by the tier asked first:",
    "report_errors": "What went wrong:",
    "report_breakers": "Circuit breakers that were not closed:",
    "report_sharing": "Shared calls and batches:",
    "report_cache": "Cached input:",
}
"""The queries of the reports that docs/sql.md shows, each with the sentence above it."""
_SOURCE: Final = {"type": "grafana-clickhouse-datasource", "uid": "tierstream"}


def filled(name: str, *, since: str, until: str, grain: str, **values: str) -> str:
    """Return a query with SQL in the place of its parameters."""
    places = {"database": "tierstream", "since": since, "until": until, "top": "20", **values}
    places |= {family: f"{family}_by_{grain}" for family in _FAMILIES}
    text = (ROOT / "analytics" / "queries" / f"{name}.sql").read_text("utf-8")
    return _PARAMETER.sub(lambda match: places[match[1]], text)


def documented() -> str:
    """Return the section of docs/sql.md that shows the queries of the reports."""
    rates = {"groq/small": (Decimal("0.05"), Decimal("0.4"), Decimal("0.025"))}
    rates["openai/best"] = (Decimal("1.25"), Decimal(10), Decimal("0.125"))
    by = {"report_costs": "'feature'", "report_latency": "'hop'", "report_rates": "'tier'"}
    parts = [HEADING, _ABOUT]
    for name, about in SHOWN.items():
        since = "toStartOfHour(now() - INTERVAL 7 DAY)"
        text = filled(name, since=since, until="now()", grain="hour", by=by.get(name, ""), **_arrays(rates))
        query = re.sub(r"^(--.*\n)+", "", text).rstrip()
        parts.append(f"{about}\n\n```sql\n{query};\n```\n")
    return "\n".join(parts)


def _arrays(rates: Mapping[str, tuple[Decimal, Decimal, Decimal]]) -> dict[str, str]:
    """Return the parameters of the query of savings, as SQL."""

    def decimals(place: int) -> str:
        return f"CAST([{', '.join(str(rate[place]) for rate in rates.values())}], 'Array(Decimal(18, 6))')"

    models = f"[{', '.join(repr(model) for model in rates)}]"
    return {"models": models, "input_rates": decimals(0), "output_rates": decimals(1), "cached_rates": decimals(2)}


def dashboard() -> dict[str, Any]:
    """Return the dashboard for Grafana; it compares with the models of the settings that are shipped."""
    prices = configured_prices(Settings())
    arrays = _arrays(prices.rates)

    def query(name: str, **values: str) -> str:
        since = "dateTrunc('${grain}', $__fromTime, 'UTC')"
        return filled(name, since=since, until="$__toTime", grain="${grain}", **arrays, **values)

    def over_time(columns: str, condition: str = "1") -> str:
        return (
            f"SELECT toDateTime(bucket) AS time, concat('tier ', toString(tier)) AS tier_name, {columns}\n"
            f"FROM\n(\n{query('report_trend')})\nWHERE {condition}\nORDER BY time"
        )

    frontier = f"SELECT saved_share\nFROM\n(\n{query('report_savings')})\nWHERE model = '{prices.frontier}'"
    panels = (
        ("Cost by tier", "timeseries", "currencyUSD", over_time("toFloat64(cost_usd) AS cost")),
        ("Requests by tier (0: no answer)", "timeseries", "short", over_time("requests")),
        ("Latency by tier", "timeseries", "ms", over_time("p50_ms, p95_ms", "p50_ms IS NOT NULL")),
        ("Failed calls by tier", "timeseries", "short", over_time("failed_calls")),
        (f"Saved against {prices.frontier}", "stat", "percentunit", frontier),
        ("All answers on one model", "table", "short", query("report_savings")),
        ("Cost by ${costs_by}", "table", "short", query("report_costs", by="'${costs_by}'")),
        ("Cost by user", "table", "short", query("report_costs_by_user")),
        ("Cost by tag", "table", "short", query("report_costs_by_tag")),
        ("Latency by ${latency_by}", "table", "short", query("report_latency", by="'${latency_by}'")),
        ("Rates by ${rates_by}", "table", "short", query("report_rates", by="'${rates_by}'")),
        ("Errors", "table", "short", query("report_errors")),
        ("Breakers", "table", "short", query("report_breakers")),
        ("Sharing and batches", "table", "short", query("report_sharing")),
        ("Cached tokens", "table", "short", query("report_cache")),
    )
    choices = {
        "grain": ("hour", "day"),
        "costs_by": ("feature", "query_type", "service_class", "purpose", "tier", "provider", "model"),
        "latency_by": ("tier", "provider", "model", "hop"),
        "rates_by": ("tier", "model", "query_type", "feature"),
    }
    return {
        "uid": "tierstream",
        "title": "tierstream",
        "schemaVersion": 41,
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [_choice(name, values) for name, values in choices.items()]},
        "panels": [_panel(number, *panel) for number, panel in enumerate(panels, start=1)],
    }


def _choice(name: str, values: tuple[str, ...]) -> dict[str, Any]:
    options = [{"text": value, "value": value, "selected": value == values[0]} for value in values]
    current = {"text": values[0], "value": values[0]}
    fixed = {"type": "custom", "multi": False, "includeAll": False}
    return {"name": name, **fixed, "query": ",".join(values), "current": current, "options": options}


def _panel(number: int, title: str, kind: str, unit: str, query: str) -> dict[str, Any]:
    is_series = kind == "timeseries"
    target = {
        "refId": "A",
        "datasource": _SOURCE,
        "editorType": "sql",
        "format": 0 if is_series else 1,
        "queryType": "timeseries" if is_series else "table",
        "rawSql": query,
    }
    return {
        "id": number,
        "title": title,
        "type": kind,
        "datasource": _SOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * ((number - 1) % 2), "y": 8 * ((number - 1) // 2)},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [target],
    }


def written_dashboard() -> str:
    """Return the text of the file of the dashboard."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def page_without_queries(text: str) -> str:
    """Return what docs/sql.md has above the section that is written here, which is its last."""
    return text.partition(HEADING)[0]


if __name__ == "__main__":
    DASHBOARD.write_text(written_dashboard(), "utf-8")
    PAGE.write_text(page_without_queries(PAGE.read_text("utf-8")) + documented(), "utf-8")

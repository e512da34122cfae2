"""The named queries of reports as docs/sql.md and the dashboard for Grafana show them, and as any client binds them."""

import json
from urllib.parse import urlencode

import aiohttp
import pytest
from support.shown_queries import (
    DASHBOARD,
    PAGE,
    ROOT,
    SHOWN,
    documented,
    page_without_queries,
    written_dashboard,
)

from analytics.clickhouse import open_client
from analytics.migrate import migrate

STALE = "make grafana"


def test_the_page_and_the_dashboard_are_of_these_queries():
    text = PAGE.read_text("utf-8")
    assert text == page_without_queries(text) + documented(), STALE
    assert DASHBOARD.read_text("utf-8") == written_dashboard(), STALE


async def test_the_panels_of_the_dashboard_are_queries_that_run(clickhouse_url):
    panels = json.loads(DASHBOARD.read_text())
    choices = {choice["name"]: [one["value"] for one in choice["options"]] for choice in panels["templating"]["list"]}
    queries = [target["rawSql"] for panel in panels["panels"] for target in panel["targets"]]
    async with open_client(clickhouse_url) as client:
        await migrate(client, "tierstream", retention_days=30, body_retention_days=30)
        for query in queries:
            used = [name for name in choices if f"${{{name}}}" in query]
            for turn in range(max(len(choices[name]) for name in used) if used else 1):
                # What the plugin's macros stand for.
                plain = query.replace("$__fromTime", "toDateTime(1790000000)").replace(
                    "$__toTime", "toDateTime(1790090000)"
                )
                for name in used:
                    plain = plain.replace(f"${{{name}}}", choices[name][turn % len(choices[name])])
                assert "$" not in plain
                await client.query(plain)


@pytest.mark.parametrize("name", SHOWN)
async def test_any_client_of_http_binds_the_parameters(clickhouse_url, name):
    given = {
        "database": "tierstream",
        "since": "2026-03-01 00:00:00",
        "until": "2026-04-01 00:00:00",
        "by": "tier",
        "top": "20",
        "models": "['groq/small']",
        **dict.fromkeys(("input_rates", "output_rates", "cached_rates"), "[0.05]"),
        **{family: f"{family}_by_day" for family in ("spend", "users", "tags", "results", "times")},
    }
    async with open_client(clickhouse_url) as client:
        await migrate(client, "tierstream", retention_days=30, body_retention_days=30)
    text = (ROOT / "analytics" / "queries" / f"{name}.sql").read_text()
    parameters = urlencode({f"param_{key}": value for key, value in given.items()} | {"default_format": "JSON"})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{clickhouse_url}/?{parameters}", data=text) as response,
    ):
        assert response.status == 200, await response.text()
        assert "data" in await response.json(content_type=None)

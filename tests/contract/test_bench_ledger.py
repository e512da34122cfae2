"""`tierstream bench ledger` on a small ledger: what it measures is what is there."""

import asyncio
import json

import pytest
from support.ledger_records import ClickHouseProcess
from typer.testing import CliRunner

from analytics.clickhouse import open_client
from tierstream.cli import app


@pytest.mark.slow
async def test_the_figures_are_of_the_ledger_that_is_kept(tmp_path):
    folder = tmp_path / "kept"
    arguments = ["bench", "ledger", "--requests", "300", "--days", "1", "--users", "20", "--keep", str(folder)]
    ran = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--json"])
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.stdout)
    assert "writing 300 requests" in ran.stderr
    assert figures["requests"] == 300
    tables = {table["table"]: table["rows"] for table in figures["tables"]}
    assert figures["rows"] == sum(tables[f"{name}_log"] for name in ("requests", "calls", "hops"))
    everything, nothing, one = figures["builds"]
    assert everything["hours"] >= 24
    assert (nothing["hours"], one["hours"]) == (0, 1)
    assert {(report["report"], report["days"]) for report in figures["reports"]} >= {("summary", 1), ("summary", 30)}
    assert {"change", "leverage", "split", "ledger"} <= {report["report"] for report in figures["reports"]}
    assert all(report["warm_ms"] > 0 and report["failed"] is None for report in figures["reports"])

    server = ClickHouseProcess(folder / "clickhouse")
    await server.start()
    try:
        async with open_client(server.url) as client:
            spent = await client.query(
                "SELECT (SELECT sum(cost_usd) FROM tierstream.spend_by_hour), "
                "(SELECT sum(cost_usd) FROM tierstream.call_ledger), "
                "(SELECT sum(requests) FROM tierstream.results_by_day)"
            )
            [(rolled_up, paid, results)] = spent.result_rows
            assert rolled_up == paid > 0
            assert results == tables["requests_log"]
    finally:
        await server.stop()

    refused = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert refused.exit_code == 2
    assert "--again" in refused.stderr
    again = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--again", "--json"])
    assert again.exit_code == 0, again.output
    figures_again = json.loads(again.stdout)
    assert (figures_again["rows"], figures_again["rows_a_s"]) == (figures["rows"], None)
    assert figures_again["builds"][0]["hours"] == everything["hours"]


def test_what_was_not_kept_can_not_be_measured_again(tmp_path):
    ran = CliRunner().invoke(app, ["bench", "ledger", "--keep", str(tmp_path), "--again"])
    assert ran.exit_code == 2
    assert "an earlier run kept" in ran.stderr

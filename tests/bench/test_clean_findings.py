"""How often something is found in traffic in which nothing is planted: twenty runs, which take a quarter of an hour."""

import pytest
from support.planted_findings import NOTHING, found, made

RUNS = range(100, 120)


@pytest.mark.timeout(3_600)
async def test_twenty_clean_runs_have_no_finding(clickhouse_url):
    candidates = 0
    for seed in RUNS:
        report = await found(clickhouse_url, f"ledger{seed}", made(seed, 20_000, 12, NOTHING))
        candidates += report.candidates
        print(f"seed {seed}: {report.candidates} candidates, {len(report.findings)} findings")
        assert report.findings == ()
    assert candidates > 0

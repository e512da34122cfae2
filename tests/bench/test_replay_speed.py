"""A replay of many requests: how fast it is, whether it decides as was decided, and what its prices are worth.

`TIERSTREAM_BENCH_REQUESTS` says how many, such as 100000.
"""

import json
import os
from collections import Counter
from datetime import timedelta

import pytest
from support.replayed_traffic import BOUNDARY, POLICY, PRICES, run_for_real, traffic

from streams.config.settings import load_over
from streams.kafka.clock import utc_now
from tierstream.replay.replay_run import replay

COUNT = int(os.environ.get("TIERSTREAM_BENCH_REQUESTS", "2000"))
WINDOW = timedelta(hours=6)
TEST_S = 300 + COUNT / 5


@pytest.mark.timeout(TEST_S)
async def test_a_replay_reproduces_decisions_and_foretells_the_cost_of_others(
    kafka, simulator, clickhouse_url, tmp_path
):
    requests, script = traffic(COUNT)
    simulator.script.add_lines(script, "bench")
    (tmp_path / "policy.toml").write_text(POLICY)
    folders = [tmp_path / "now", tmp_path / "then"]
    for folder in folders:
        folder.mkdir()
    servers = kafka.bootstrap_servers
    async with run_for_real(servers, simulator, folders[0], clickhouse_url, requests) as deployment:
        base = deployment.settings
        window = (utc_now() - WINDOW, utc_now() + WINDOW)
        same = (await replay(base, None, *window)).report
        policy = load_over(deployment.config, tmp_path / "policy.toml")
        other = (await replay(base, policy, *window)).report
    async with run_for_real(
        servers, simulator, folders[1], clickhouse_url, requests, routing=BOUNDARY, rest=PRICES
    ) as deployment:
        rerun = await replay(deployment.settings, None, *window)
    real = float(rerun.report.recorded_usd)
    answered = Counter(call.ref for one in rerun.requests for call in one.record.calls if call.purpose == "infer")
    cost = other.policy.cost_usd
    figures = {
        "requests": same.coverage.replayed,
        "reproduced": same.reproduced,
        "seconds": same.seconds,
        "seconds_with_a_policy": other.seconds,
        "changed": other.policy.changed,
        "extrapolated": other.policy.extrapolated,
        "recorded_usd": cost.recorded,
        "expected_usd": cost.expected,
        "interval_usd": [cost.low, cost.high],
        "real_usd": real,
        "answered_by": dict(answered),
        "off_by": round(cost.expected / real - 1, 5),
    }
    print(json.dumps(figures, indent=2))
    assert same.reproduced == same.coverage.replayed == COUNT
    assert other.policy.changed > COUNT / 100
    if COUNT >= 100_000:
        assert abs(cost.expected / real - 1) < 0.02

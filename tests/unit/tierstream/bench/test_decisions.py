"""Decisions in this process."""

from streams.config.settings import load
from tierstream.bench.decisions import measure_decisions
from tierstream.bench.workload import Kind


def test_each_decision_has_its_cpu_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = measure_decisions(load(), Kind.TIER1, 0.001)
    assert found.decisions % 500 == 0
    assert found.decisions > 0
    assert 0 < found.cpu_us.p50 <= found.cpu_us.max
    assert found.per_s > 0

"""Two systems under the same loads."""

from support.bench_figures import load_figures

from tierstream.bench.comparison import compared
from tierstream.bench.distribution import Distribution


def load(system, name, per_s, cpu_ms):
    return load_figures(system, name, per_s, cpu_ms=cpu_ms, added_ms=Distribution.of([per_s]))


def test_ratios_are_of_the_means_over_the_rounds():
    loads = [
        load("tierstream", "saturation", 90, {"worker": 4, "broker": 3, "client": 50, "mock": 50}),
        load("peer", "saturation", 20, {"peer": 30, "client": 50, "mock": 50}),
        load("tierstream", "saturation", 110, {"worker": 6, "broker": 2, "client": 50, "mock": 50}),
        load("peer", "saturation", 30, {"peer": 20, "client": 50, "mock": 50}),
    ]
    [found] = compared(loads, "peer")
    assert (found.load, found.rounds, found.per_s, found.peer_per_s) == ("saturation", 2, 100, 25)
    assert found.throughput_ratio == 4
    assert (found.worker_cpu_ms, found.own_cpu_ms, found.peer_cpu_ms) == (5, 7.5, 25)
    assert (found.worker_cpu_ratio, found.own_cpu_ratio) == (5, 3.33)
    assert (found.added_p50_ms, found.peer_added_p50_ms) == (100, 25)


def test_loads_are_compared_by_their_names_in_order():
    loads = [load(system, name, 10, {}) for name in ("20/s", "5/s") for system in ("tierstream", "peer")]
    assert [one.load for one in compared(loads, "peer")] == ["20/s", "5/s"]
    assert compared(loads, "peer")[0].worker_cpu_ratio is None

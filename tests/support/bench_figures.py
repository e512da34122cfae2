"""Figures of a benchmark that was not run."""

from decimal import Decimal

from tierstream.bench.broker_log import Written
from tierstream.bench.comparison import compared
from tierstream.bench.distribution import Distribution
from tierstream.bench.durability import Durability
from tierstream.bench.limit import Limit
from tierstream.bench.load_figures import LoadFigures
from tierstream.bench.pipeline_report import Machine, PipelineReport, Ratio
from tierstream.bench.soak import SoakReport, SoakSample
from tierstream.bench.stage_times import StageTimes

LATENCY = Distribution(p50=10, p95=20, p99=30, max=40)
LIMIT = Limit(records=10, record_bytes=100, records_per_s=5000, cpu_ms=0.1, broker_cpu_ms=0.05)


def load_figures(system="tierstream", load="20/s", per_s=20.0, **more):
    own = {"worker": 5.0, "broker": 3.0} if system == "tierstream" else {system: 20.0}
    fields = {
        "planned_per_s": None,
        "sent": 40,
        "results": 40,
        "missing": 0,
        "duplicates": 0,
        "counted": 40,
        "by_status": {"ok": 40},
        "by_tier": {"1": 40},
        "calls": 1.0,
        "cost_usd": Decimal("0.01"),
        "latency_ms": LATENCY,
        "added_ms": LATENCY,
        "cpu_ms": {**own, "client": 1.0, "mock": 0.1},
        "other_cpus": 0.1,
        "rss_mib": dict.fromkeys(own, 100.0),
        "stages": {"classify": StageTimes(steps=40, queue_ms=LATENCY, own_ms=LATENCY)}
        if system == "tierstream"
        else {},
        "topics": {"llm.requests": Written(records=40, batches=20, bytes=4000)},
    }
    return LoadFigures(system=system, load=load, achieved_per_s=per_s, **{**fields, **more})


def soak_report(samples=3):
    return SoakReport(
        per_s=30,
        share=0.7,
        sent=900,
        missing=0,
        duplicates=0,
        samples=tuple(
            SoakSample(
                at_s=10.0 * number,
                results=300,
                latency_ms=LATENCY,
                cpu_ms={"worker": 100.0},
                rss_mib={"worker": 170.0, "broker": 200.0},
                lag={"llm.classify": number},
            )
            for number in range(1, samples + 1)
        ),
    )


def durability(system="tierstream", **more):
    counts = {
        "sent": 40,
        "answered": 40,
        "lost": 0,
        "doubled": 0,
        "calls": 41,
        "repeated": 1,
        "billed": 40,
        "refused": {},
    }
    return Durability(**{"system": system, "rate": 20, **counts, "unbilled": 1, "unknown": 1, **more})


def pipeline_report(*loads, peer=None, **more):
    loads = loads or (load_figures(),)
    return PipelineReport(
        machine=Machine(cpus=2, system="Linux", python="3.11", tierstream="0"),
        provider="mock",
        provider_latency_ms=0,
        workload="tier1",
        limit=LIMIT,
        loads=loads,
        ratio=Ratio(worker_records=50, throughput=100),
        comparisons=() if peer is None else compared(loads, peer),
        **more,
    )

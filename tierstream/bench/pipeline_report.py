"""What a run of the pipeline came to, as it is printed and as JSON."""

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tierstream.bench.broker_log import Written
from tierstream.bench.distribution import Distribution
from tierstream.bench.limit import Limit
from tierstream.bench.stage_times import StageTimes

SATURATION: Literal["saturation"] = "saturation"


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Machine(_Figures):
    """Where it was measured."""

    cpus: int
    system: str
    python: str
    tierstream: str


class LoadFigures(_Figures):
    """One load. Times are in milliseconds."""

    load: str
    """Planned requests a second, or `saturation`."""
    planned_per_s: float | None
    """None: as many as were answered."""
    sent: int
    results: int
    missing: int
    duplicates: int
    counted: int
    """Requests that the figures below are of: at saturation those of the steady middle."""
    achieved_per_s: float
    by_status: dict[str, int]
    by_tier: dict[str, int]
    calls: float
    """Paid calls of tiers for each request."""
    cost_usd: Decimal
    latency_ms: Distribution | None
    """From the planned moment of sending to the arrival of the result at the consumer."""
    added_ms: Distribution | None
    """The same without the provider's time: of the mock what it was told to take for each call, of the simulator what
    the result says."""
    stages: dict[str, StageTimes]
    cpu_ms: dict[str, float]
    """CPU of each process for a request."""
    other_cpus: float
    """CPUs of the machine that were busy with anything else meanwhile: figures are good where it is near 0."""
    rss_mib: dict[str, float]
    """At the end of the load."""
    topics: dict[str, Written]
    """What was written for all `sent` requests; that of aiokafka's groups and transactions too."""

    @property
    def complete(self) -> bool:
        """Whether each request has one result."""
        return not self.missing and not self.duplicates

    @property
    def own_cpu_ms(self) -> float:
        """CPU for a request of all that a deployment runs: worker, broker, ClickHouse and sink."""
        return sum(spent for name, spent in self.cpu_ms.items() if name not in {"client", "mock"})


class Ratio(_Figures):
    """A request through the pipeline in units of the plain program's record."""

    worker_records: float
    """CPU of the worker for a request, divided by that of the plain program for a record."""
    throughput: float
    """Records a second of the plain program, divided by requests a second of the pipeline."""


class PipelineReport(_Figures):
    """All loads of a run."""

    machine: Machine
    provider: str
    provider_latency_ms: float | None
    """Of the mock; None: the simulator's own."""
    workload: str
    limit: Limit | None
    loads: tuple[LoadFigures, ...]
    ratio: Ratio | None
    """Of the last load to the limit."""

    @property
    def complete(self) -> bool:
        """Whether each request has one result."""
        return all(load.complete for load in self.loads)


def ratio_of(load: LoadFigures, limit: Limit) -> Ratio:
    """Compare a load with the plain program."""
    return Ratio(
        worker_records=round(load.cpu_ms.get("worker", 0.0) / limit.cpu_ms, 1) if limit.cpu_ms else 0.0,
        throughput=round(limit.records_per_s / load.achieved_per_s, 1) if load.achieved_per_s else 0.0,
    )

"""What a run of the pipeline came to, as it is printed and as JSON."""

from pydantic import BaseModel, ConfigDict

from tierstream.bench.comparison import Comparison
from tierstream.bench.durability import Durability
from tierstream.bench.limit import Limit
from tierstream.bench.load_figures import TIERSTREAM, LoadFigures
from tierstream.bench.soak import SoakReport


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Machine(_Figures):
    """Where it was measured."""

    cpus: int
    system: str
    python: str
    tierstream: str


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
    comparisons: tuple[Comparison, ...] = ()
    """With a peer, one for each load."""
    durability: tuple[Durability, ...] = ()
    """What a SIGKILL left behind, of each system."""
    soak: SoakReport | None = None

    @property
    def complete(self) -> bool:
        """Whether each request to tierstream has one result."""
        loads = all(load.complete for load in self.loads if load.system == TIERSTREAM)
        killed = all(not one.lost and not one.doubled for one in self.durability if one.system == TIERSTREAM)
        return loads and killed and (self.soak is None or not (self.soak.missing or self.soak.duplicates))


def ratio_of(load: LoadFigures, limit: Limit) -> Ratio:
    """Compare a load with the plain program."""
    return Ratio(
        worker_records=round(load.cpu_ms.get("worker", 0.0) / limit.cpu_ms, 1) if limit.cpu_ms else 0.0,
        throughput=round(limit.records_per_s / load.achieved_per_s, 1) if load.achieved_per_s else 0.0,
    )

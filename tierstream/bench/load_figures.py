"""What one load came to, whichever system had it."""

from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from tierstream.bench.broker_log import Written
from tierstream.bench.distribution import Distribution
from tierstream.bench.measured import Measured
from tierstream.bench.stage_times import StageTimes

SATURATION: Final = "saturation"
TIERSTREAM: Final = "tierstream"
LITELLM: Final = "litellm"
"""The systems, as figures name them; a peer's process has the name of the peer."""


class LoadFigures(BaseModel):
    """One load. Times are in milliseconds."""

    model_config = ConfigDict(frozen=True)

    system: str
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
    cpu_ms: dict[str, float]
    """CPU of each process for a request."""
    other_cpus: float
    """CPUs of the machine that were busy with anything else meanwhile: figures are good where it is near 0."""
    rss_mib: dict[str, float]
    """At the end of the load."""
    refused: dict[str, int] = {}
    """Requests that ended without an answer, by what came instead."""
    stages: dict[str, StageTimes] = {}
    topics: dict[str, Written] = {}
    """What was written for all `sent` requests; that of aiokafka's groups and transactions too."""

    @property
    def complete(self) -> bool:
        """Whether each request has one result."""
        return not self.missing and not self.duplicates

    @property
    def own_cpu_ms(self) -> float:
        """CPU for a request of all that a deployment runs: worker, broker, ClickHouse and sink."""
        return sum(spent for name, spent in self.cpu_ms.items() if name not in {"client", "mock"})


def load_name(rate: float | None) -> str:
    """Name a load by its requests a second; None: saturation."""
    return SATURATION if rate is None else f"{rate:g}/s"


def shared_figures(rate: float | None, found: Measured) -> dict[str, Any]:
    """Return the fields of `LoadFigures` that follow from times and CPU alone, whatever the system answers."""
    trial = found.trial
    return {
        "load": load_name(rate),
        "planned_per_s": rate,
        "sent": trial.sent,
        "results": len(trial.answered),
        "missing": trial.missing,
        "duplicates": trial.duplicates,
        "counted": len(found.answered),
        "achieved_per_s": round(found.per_s, 2),
        "latency_ms": Distribution.of(one.latency_ms for one in found.answered),
        "cpu_ms": found.cpu_ms,
        "other_cpus": round(found.others, 2),
        "refused": dict(trial.refused),
    }

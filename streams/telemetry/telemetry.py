"""What stages and paid calls report to, each part of it None where nobody asked for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streams.telemetry.tracing import Tracing
    from streams.telemetry.worker_metrics import WorkerMetrics


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Metrics and tracing of a process."""

    metrics: "WorkerMetrics | None" = None
    tracing: "Tracing | None" = None


OFF: Final = Telemetry()

"""What a sink shows of itself."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from streams.config.settings import Settings
from streams.telemetry import metric_specs as specs
from streams.telemetry.progress import PartitionName, Place

if TYPE_CHECKING:
    from analytics.sink import Sink
    from tierstream.monitoring.monitor import Monitor

SINK: Final = "sink"


class SinkMonitoring:
    """Tells a sink's metrics and health where the settings ask for them; else does nothing.

    A sink that lost Kafka is replaced by a new one, and what is counted begins anew.

    Args:
        monitor: What is served; None: nothing is.
        limit_s: For how long a partition may stand still.
    """

    def __init__(self, monitor: "Monitor | None", limit_s: float) -> None:
        self._monitor = monitor
        self._sink: Sink | None = None
        if monitor is None:
            return
        monitor.watch(SINK, self, limit_s=limit_s)
        monitor.read(
            {
                specs.SINK_RECORDS: self._reading(lambda sink: sink.stats.records),
                specs.SINK_ROWS: self._reading(lambda sink: sink.stats.rows),
                specs.SINK_BATCHES: self._reading(lambda sink: sink.stats.batches),
                specs.SINK_FAILURES: self._reading(lambda sink: sink.stats.failures),
                specs.SINK_LATENESS: self._reading(lambda sink: sink.progress.lateness_s),
                specs.SINK_SKIPPED: self._skipped,
            }
        )

    def watch(self, sink: "Sink") -> None:
        """Show this sink from now on."""
        self._sink = sink

    def note_ready(self) -> None:
        """Take the sink as ready from now on."""
        if self._monitor is not None:
            self._monitor.note_started()

    def places(self) -> Mapping[PartitionName, Place]:
        """Say up to where the partitions are in ClickHouse."""
        found = {} if self._sink is None else self._sink.progress.places()
        return {(tp.topic, tp.partition): Place(stored, end) for tp, (stored, end) in found.items()}

    @property
    def is_resting(self) -> bool:
        """Whether ClickHouse did not take the last batch, which is written again until it does."""
        return self._sink is not None and self._sink.progress.is_failing

    def _reading(self, read: "Callable[[Sink], float]") -> Callable[[], list[tuple[tuple[str, ...], float]]]:
        return lambda: [] if self._sink is None else [((), float(read(self._sink)))]

    def _skipped(self) -> list[tuple[tuple[str, ...], float]]:
        skipped = {} if self._sink is None else self._sink.stats.skipped
        return [((reason,), float(count)) for reason, count in skipped.items()]


@asynccontextmanager
async def sink_monitoring(settings: Settings, is_away: Callable[[], bool]) -> AsyncIterator[SinkMonitoring]:
    """Serve what the settings ask for, for as long as the block lasts.

    Args:
        settings: Of the deployment.
        is_away: Whether Kafka is known not to answer.

    Raises:
        MonitoringError: The port is taken.
    """
    operations = settings.operations
    limit_s = operations.commit_age_limit_s
    if operations.sink_metrics_port is None:
        yield SinkMonitoring(None, limit_s)
        return
    from tierstream.monitoring.http_server import serving  # noqa: PLC0415 - costs nothing unless asked for
    from tierstream.monitoring.monitor import Monitor  # noqa: PLC0415

    monitor = Monitor(is_away=lambda: is_away() or monitoring.is_resting)
    monitoring = SinkMonitoring(monitor, limit_s)
    port = operations.sink_metrics_port
    async with serving(monitor, operations.metrics_host, port, setting="operations.sink_metrics_port"):
        yield monitoring

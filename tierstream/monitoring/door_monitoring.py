"""What a process of the door shows of itself."""

from collections.abc import Callable

from prometheus_client import Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from streams.telemetry import metric_specs as specs
from tierstream.monitoring.monitor import Monitor


class DoorMonitoring:
    """The metrics and the health of a process of the door.

    Args:
        monitor: Watches over the process.
        waiting: How many requests wait for their answers.
    """

    CONTENT_TYPE = CONTENT_TYPE_LATEST
    """Of what `exposition` returns."""

    def __init__(self, monitor: Monitor, waiting: Callable[[], int]) -> None:
        self.monitor = monitor
        count, seconds = specs.DOOR_REQUESTS, specs.DOOR_SECONDS
        self._requests = Counter(count.name, count.help, count.labels, registry=monitor.registry)
        self._seconds = Histogram(
            seconds.name, seconds.help, seconds.labels, registry=monitor.registry, buckets=seconds.buckets
        )
        monitor.read({specs.DOOR_WAITING: lambda: [((), float(waiting()))]})

    def answered(self, surface: str, status: int, seconds: float) -> None:
        """Count a request that had its answer, or that nobody was there for any more."""
        self._requests.labels(surface, str(status)).inc()
        self._seconds.labels(surface).observe(seconds)

    def exposition(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.monitor.registry)

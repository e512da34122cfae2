"""What a worker shows of itself: stages, breakers, calls. What this takes is imported only where it is asked for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from agents.bulk import Bulk
from agents.parked import Parking
from agents.settle import Settle
from streams.admission import BreakerChange, Gate
from streams.config.settings import Settings
from streams.telemetry import OFF, Telemetry
from streams.telemetry import metric_specs as specs
from tierstream.monitoring.errors import MonitoringError
from tierstream.monitoring.longest_work import longest_work_s
from topics.control import BreakerState

if TYPE_CHECKING:
    from streams.runtime.stage_runner import StageRunner
    from streams.telemetry.readings import Samples
    from streams.telemetry.tracing import Tracing
    from tierstream.monitoring.monitor import Monitor


class WorkerMonitoring:
    """Tells a worker's metrics, traces and health where the settings ask for them; else does nothing.

    Args:
        settings: Of the deployment.
        telemetry: What the stages report to.
        monitor: What is served; None: nothing is.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry = OFF, monitor: "Monitor | None" = None) -> None:
        self.telemetry = telemetry
        self._settings = settings
        self._monitor = monitor
        self._runners: dict[str, StageRunner[Any]] = {}
        self._parking: list[Parking] = []
        self._bulk: list[Bulk] = []

    def watch_gate(self, gate: Gate) -> None:
        """Show breakers, and the calls at each provider."""
        if self._monitor is None:
            return
        self._monitor.read(
            {
                specs.BREAKER_STATE: lambda: _breaker_states(gate),
                specs.PROVIDER_CALLS: lambda: _provider_calls(gate),
                specs.WINDOW_RECORDS: lambda: [((n,), float(r.window.running)) for n, r in self._runners.items()],
                specs.WINDOW_BYTES: lambda: [((n,), float(r.window.held_bytes)) for n, r in self._runners.items()],
                specs.WINDOW_CAPACITY: lambda: [((n,), float(r.stage.in_flight)) for n, r in self._runners.items()],
                specs.PARKED: lambda: [((), float(parking.held)) for parking in self._parking],
                specs.BULK_WAITING: lambda: [((), float(bulk.waiting)) for bulk in self._bulk],
                specs.SUBMISSIONS: lambda: [((), float(bulk.submissions)) for bulk in self._bulk],
            }
        )

    def watch_runner(self, name: str, runner: "StageRunner[Any]") -> None:
        """Show how far a stage on Faust is, and what it has in work."""
        self._runners[name] = runner
        self._watch(name, runner)

    def watch_parking(self, name: str, parking: Parking) -> None:
        """Show how far parked is, and what it holds."""
        self._parking.append(parking)
        self._watch(name, parking)

    def watch_bulk(self, name: str, bulk: Bulk) -> None:
        """Show how far bulk is, what waits there, and what is under way."""
        self._bulk.append(bulk)
        self._watch(name, bulk)

    def watch_settle(self, name: str, settle: Settle) -> None:
        """Show how far settle is."""
        self._watch(name, settle)

    def note_breaker(self, change: BreakerChange) -> None:
        """Count a change of a breaker."""
        if self.telemetry.metrics is not None:
            self.telemetry.metrics.breaker_changed(change.target, change.state.value)

    def note_ready(self) -> None:
        """Take the worker as ready from now on."""
        if self._monitor is not None:
            self._monitor.note_started()

    def _watch(self, name: str, progress: "StageRunner[Any] | Parking | Settle | Bulk") -> None:
        if self._monitor is not None:
            limit_s = self._settings.operations.commit_age_limit_s + longest_work_s(self._settings, name)
            self._monitor.watch(name, progress, limit_s=limit_s)


@asynccontextmanager
async def worker_monitoring(
    settings: Settings, worker: str, is_away: Callable[[], bool]
) -> AsyncIterator[WorkerMonitoring]:
    """Serve and send what the settings ask for, for as long as the block lasts.

    Args:
        settings: Of the deployment.
        worker: The name of this process.
        is_away: Whether Kafka is known not to answer.

    Raises:
        MonitoringError: The port is taken, or what traces need is not installed.
    """
    operations = settings.operations
    async with AsyncExitStack() as running:
        tracing = None
        if operations.tracing == "otlp":
            tracing = new_tracing("tierstream-worker", worker)
            running.push_async_callback(asyncio.to_thread, tracing.close)
        if operations.metrics_port is None:
            yield WorkerMonitoring(settings, Telemetry(None, tracing))
            return
        from streams.telemetry.worker_metrics import WorkerMetrics  # noqa: PLC0415 - costs nothing unless asked for
        from tierstream.monitoring.http_server import serving  # noqa: PLC0415
        from tierstream.monitoring.monitor import Monitor  # noqa: PLC0415

        monitor = Monitor(is_away=is_away)
        metrics = WorkerMetrics(monitor.registry)
        server = serving(monitor, operations.metrics_host, operations.metrics_port, setting="operations.metrics_port")
        await running.enter_async_context(server)
        yield WorkerMonitoring(settings, Telemetry(metrics, tracing), monitor)


def new_tracing(service: str, instance: str) -> "Tracing":
    """Make what sends the spans of a process to the collector that the environment names.

    Args:
        service: Its name, unless the environment has another one.
        instance: Tells the processes of the service apart.

    Raises:
        MonitoringError: What it needs is not installed.
    """
    try:
        from streams.telemetry.tracing import otlp_tracing  # noqa: PLC0415 - an optional dependency

        return otlp_tracing(service, instance, version("tierstream"))
    except ImportError as error:
        raise MonitoringError(
            f"operations.tracing: otlp needs the extra `otel`, such as pip install 'tierstream[otel]' ({error.name})"
        ) from error


def _breaker_states(gate: Gate) -> "Samples":
    for breaker in gate.snapshot():
        for state in BreakerState:
            yield (breaker.target, state.value), float(breaker.state is state)


def _provider_calls(gate: Gate) -> "Samples":
    for provider, under_way, waiting in gate.load():
        yield (provider, "under_way"), float(under_way)
        yield (provider, "waiting"), float(waiting)

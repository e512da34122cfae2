"""The stages of a worker: which there are by the settings, and what runs each."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

from agents import STAGES
from agents.alerts import STAGE as ALERTS
from agents.alerts import AlertPoster
from agents.alerts import is_wanted as alerts_are_wanted
from agents.batch import STAGE as BATCH
from agents.batch import BatchStage
from agents.bulk import STAGE as BULK
from agents.bulk import Bulk
from agents.learn import STAGE as LEARN
from agents.learn import Learn, learns, lessons_of
from agents.parked import STAGE as PARKED
from agents.parked import Parking
from agents.settle import STAGE as SETTLE
from agents.settle import Settle
from streams.calls.journal import Journal
from streams.calls.pricing import PriceBook
from streams.config.settings import Settings
from streams.runtime.engine import Engine
from streams.runtime.stage import StageInstance
from tierstream.monitoring.worker_monitoring import WorkerMonitoring

Run = Callable[[asyncio.Event, Callable[[], None]], Coroutine[Any, Any, None]]


def stage_names(settings: Settings) -> list[str]:
    """List every stage that a worker can run, in the order in which a request meets them."""
    consumers = [
        PARKED,
        SETTLE,
        BATCH,
        BULK,
        *([LEARN] if learns(settings) else []),
        *([ALERTS] if alerts_are_wanted(settings) else []),
    ]
    return [*(instance.name for instance in on_faust(settings)), *consumers]


def on_faust(settings: Settings) -> list[StageInstance[Any]]:
    """List the stages that run on Faust."""
    return [instance for stage in STAGES for instance in stage.instances(settings)]


def run_of(name: str, engine: Engine, monitoring: WorkerMonitoring) -> Run:
    """Make what runs a stage until it is told to stop.

    Args:
        name: Of the stage.
        engine: Of the process.
        monitoring: Is shown how far it is.

    Raises:
        MissingSecretError: The settings name a secret that is not there.
    """
    make = _PLAIN.get(name)
    return _faust_run(name, engine, monitoring) if make is None else make(engine, monitoring)


def _parked(engine: Engine, monitoring: WorkerMonitoring) -> Run:
    parking = Parking(
        engine.settings, engine.publisher, engine.gate, engine.settled, engine.clock, telemetry=engine.telemetry
    )
    monitoring.watch_parking(PARKED, parking)
    return parking.run


def _settle(engine: Engine, monitoring: WorkerMonitoring) -> Run:
    settle = Settle(engine.settings, engine.settled, engine.clock, engine.telemetry)
    monitoring.watch_settle(SETTLE, settle)
    return settle.run


def _batch(engine: Engine, monitoring: WorkerMonitoring) -> Run:  # noqa: ARG001 - all are made alike
    return BatchStage(engine.settings, engine.publisher, engine.clock).run


def _bulk(engine: Engine, monitoring: WorkerMonitoring) -> Run:
    bulk = Bulk(engine)
    monitoring.watch_bulk(BULK, bulk)
    return bulk.run


def _learn(engine: Engine, monitoring: WorkerMonitoring) -> Run:  # noqa: ARG001
    prices = PriceBook(engine.settings.prices, engine.settings.providers)
    lessons = partial(lessons_of, engine.settings, engine.learned, engine.policies, prices)
    return Learn(engine.settings, lessons, engine.clock).run


def _alerts(engine: Engine, monitoring: WorkerMonitoring) -> Run:  # noqa: ARG001
    return AlertPoster(engine.settings, engine.clock).run


_PLAIN: Final[Mapping[str, Callable[[Engine, WorkerMonitoring], Run]]] = {
    PARKED: _parked,
    SETTLE: _settle,
    BATCH: _batch,
    BULK: _bulk,
    LEARN: _learn,
    ALERTS: _alerts,
}
"""The stages that are plain consumers."""


def _faust_run(name: str, engine: Engine, monitoring: WorkerMonitoring) -> Run:
    from streams.runtime.stage_runner import StageRunner  # noqa: PLC0415 - Faust is for these stages alone

    instance = next(instance for instance in on_faust(engine.settings) if instance.name == name)
    journal = Journal(engine.publisher, engine.attempts, engine.settings.kafka.partitions)
    runner = StageRunner(instance, engine, journal)
    monitoring.watch_runner(name, runner)
    return runner.run

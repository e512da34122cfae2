"""The door beside a producer and consumer on Kafka itself: the same load in turns, and what HTTP adds to it."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from streams.config.settings import Settings
from tierstream.bench.distribution import Distribution
from tierstream.bench.http_load import HttpLoad
from tierstream.bench.kafka_load import KafkaLoad
from tierstream.bench.load import Load
from tierstream.bench.load_figures import load_name
from tierstream.bench.measured import Measured, measured
from tierstream.bench.pipeline_plan import GIVE_UP_S, WARM_UP_RATE
from tierstream.bench.processes import ProcessMeter
from tierstream.bench.provider_process import StackUnderTest
from tierstream.bench.workload import Kind, Workload
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.ports import HOST, free_port
from tierstream.stack.process import Child
from tierstream.stack.service_process import READY_FILE_VARIABLE

_START_S: Final = 60.0
_STOP_S: Final = 30.0
_WARM_UP_S: Final = 5.0


class Way(BaseModel):
    """A load on one way in. Times are in milliseconds."""

    model_config = ConfigDict(frozen=True)

    requests: int
    missing: int
    per_s: float
    latency_ms: Distribution | None
    cpu_ms: dict[str, float]
    """CPU of each process for a request."""


class DoorLoad(BaseModel):
    """The same load over Kafka and over HTTP."""

    model_config = ConfigDict(frozen=True)

    load: str
    kafka: Way
    door: Way
    added_p50_ms: float | None
    added_p99_ms: float | None
    other_cpus: float
    """CPUs of the machine that were busy with anything else meanwhile."""


class DoorFigures(BaseModel):
    """What the door costs."""

    model_config = ConfigDict(frozen=True)

    loads: tuple[DoorLoad, ...]
    rss_mib: dict[str, float]

    @property
    def complete(self) -> bool:
        """Whether each request had its answer."""
        return not any(way.missing for load in self.loads for way in (load.kafka, load.door))


async def measure_door(
    stack: StackUnderTest, rates: Sequence[float | None], seconds: float, in_flight: int, tell: Callable[[str], None]
) -> DoorFigures:
    """Put loads on a stack, each over Kafka first and then over HTTP.

    Args:
        stack: Which runs.
        rates: Requests a second; None: as many as are answered.
        seconds: Of each load.
        in_flight: Requests without an answer, where there is no rate.
        tell: Is told what goes on.

    Raises:
        StackError: The door does not start.
        DeliveryError: Kafka failed under the load.
    """
    kafka = stack.settings.kafka
    async with (
        _door(stack.settings, stack.folder) as (url, pid),
        KafkaLoad.opened(kafka, Workload(Kind.TIER1, kafka.partitions), give_up_s=GIVE_UP_S) as direct,
        HttpLoad.opened(url, Workload(Kind.TIER1), headers={}, give_up_s=GIVE_UP_S) as http,
    ):
        meter = ProcessMeter.of_stack(stack.folder, door=pid, client=os.getpid())
        tell("warm-up")
        for load in (direct, http):
            await load.open_loop(WARM_UP_RATE, _WARM_UP_S)

        async def put(load: Load, rate: float | None, way: str) -> Measured:
            tell(f"{load_name(rate)}, {seconds:g} s, {way}")
            return await measured(load, meter, rate, in_flight=in_flight, seconds=seconds)

        loads = [_figures(rate, await put(direct, rate, "Kafka"), await put(http, rate, "HTTP")) for rate in rates]
        return DoorFigures(loads=tuple(loads), rss_mib=meter.rss_mib())


@asynccontextmanager
async def _door(settings: Settings, folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Run a door for as long as the context lasts; yields its URL and its pid."""
    port, ready_file, log_file = free_port(), folder / "door.ready", folder / "logs" / "door.log"
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers or "",
        READY_FILE_VARIABLE: str(ready_file),
    }
    command = (sys.executable, "-m", "tierstream", "serve", "--host", HOST, "--port", str(port))
    child = Child.start(command, env=environment, log_file=log_file)
    try:
        check = HealthCheck(kind="ready_file", target=str(ready_file))
        await wait_healthy(child, check, name="the door", log_file=log_file, timeout_s=_START_S)
        yield f"http://{HOST}:{port}", child.pid
    finally:
        await child.stop(_STOP_S)


def _figures(rate: float | None, direct: Measured, http: Measured) -> DoorLoad:
    kafka, door = _way(direct), _way(http)
    return DoorLoad(
        load=load_name(rate),
        kafka=kafka,
        door=door,
        added_p50_ms=_added(kafka, door, "p50"),
        added_p99_ms=_added(kafka, door, "p99"),
        other_cpus=round(max(direct.others, http.others), 2),
    )


def _way(found: Measured) -> Way:
    return Way(
        requests=len(found.answered),
        missing=found.trial.missing,
        per_s=round(found.per_s, 2),
        latency_ms=Distribution.of(one.latency_ms for one in found.answered),
        cpu_ms=found.cpu_ms,
    )


def _added(kafka: Way, door: Way, percentile: str) -> float | None:
    if kafka.latency_ms is None or door.latency_ms is None:
        return None
    added: float = getattr(door.latency_ms, percentile) - getattr(kafka.latency_ms, percentile)
    return round(added, 3)

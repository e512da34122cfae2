"""The start of a worker on a stack that runs: until it is ready, and until the first result."""

import statistics
import time
from collections.abc import Callable
from typing import Final

from pydantic import BaseModel, ConfigDict

from tierstream.bench.deployments import SideDeployment
from tierstream.bench.kafka_load import KafkaLoad
from tierstream.bench.provider_process import StackUnderTest
from tierstream.bench.workload import Kind, Workload
from tierstream.stack.errors import StackError

_GIVE_UP_S: Final = 60.0
_ONE_REQUEST: Final = (1000.0, 0.001)


class Start(BaseModel):
    """One start of a worker with all stages, on empty topics. Seconds, from the start of the process."""

    model_config = ConfigDict(frozen=True)

    ready_wall_s: float
    ready_cpu_s: float
    first_result_wall_s: float
    """A request is sent when the worker is ready; the first call has the vendor's SDK imported."""
    first_result_cpu_s: float


class StartReport(BaseModel):
    """All starts, and the median of each figure."""

    model_config = ConfigDict(frozen=True)

    starts: tuple[Start, ...]
    median: Start


async def measure_starts(stack: StackUnderTest, count: int, tell: Callable[[str], None]) -> StartReport:
    """Start workers one after the other, each on topics of its own, so that none has a past to read.

    Args:
        stack: Whose broker and provider they use.
        count: How many.
        tell: Is told of each.

    Raises:
        StackError: One does not start, or gives no result.
    """
    starts = []
    for number in range(count):
        tell(f"start {number + 1} of {count}")
        starts.append(await _start(stack))
    median = {name: round(statistics.median(getattr(one, name) for one in starts), 3) for name in Start.model_fields}
    return StartReport(starts=tuple(starts), median=Start(**median))


async def _start(stack: StackUnderTest) -> Start:
    side = SideDeployment(stack.settings, stack.folder)
    await side.prepare()
    began = time.monotonic()
    worker = side.spawn("worker")
    try:
        await worker.ready()
        ready = time.monotonic() - began, worker.cpu_s()
        workload = Workload(Kind.TIER1, side.settings.kafka.partitions)
        async with KafkaLoad.opened(side.settings.kafka, workload, give_up_s=_GIVE_UP_S) as load:
            # To connect took a moment that is not the worker's.
            connected = time.monotonic() - began - ready[0]
            trial = await load.open_loop(*_ONE_REQUEST)
        if not trial.answered:
            raise StackError(f"{worker.name} gave no result within {_GIVE_UP_S:g} s: see its log")
        first = trial.answered[0].at - began - connected, worker.cpu_s()
    finally:
        await worker.stop()
    return Start(
        ready_wall_s=round(ready[0], 3),
        ready_cpu_s=round(ready[1], 3),
        first_result_wall_s=round(first[0], 3),
        first_result_cpu_s=round(first[1], 3),
    )

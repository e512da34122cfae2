"""What a SIGKILL under load leaves behind: requests without an answer, calls that were made twice or are unbilled.

The mock counts the calls that it was asked for, whatever the systems say of themselves.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import BaseModel, ConfigDict

from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader, partitions_of
from tierstream.bench.http_load import HttpLoad
from tierstream.bench.kafka_load import KafkaLoad
from tierstream.bench.litellm_proxy import LiteLlmProxy
from tierstream.bench.load import Load, Trial
from tierstream.bench.load_figures import LITELLM, TIERSTREAM
from tierstream.bench.mock_answers import REFERENCE
from tierstream.bench.pipeline_plan import GIVE_UP_S, PipelinePlan
from tierstream.bench.workload import Workload
from tierstream.stack.state import read_state
from topics.codec import decode
from topics.journal import CallEnded, CallStarted, Purpose
from topics.registry import CALLS

_WORKER: Final = "worker-1"
_BILLS_S: Final = 2.0
"""The proxy writes its bills a moment after its answers."""
_ID: Final = re.compile(REFERENCE.pattern.decode())


class Durability(BaseModel):
    """One system that was killed under load, and started again at once."""

    model_config = ConfigDict(frozen=True)

    system: str
    rate: float
    sent: int
    answered: int
    lost: int
    """Requests without an answer; the client does not send again."""
    refused: dict[str, int]
    """Of these, by what came instead: a connection that broke was waiting at the kill, one that failed came later."""
    doubled: int
    """Second answers to a request."""
    calls: int
    """That the provider was asked for."""
    repeated: int
    """Of these, second and further ones for the same request."""
    billed: int
    """Calls whose cost the system has recorded."""
    unbilled: int
    """Calls whose cost it has not."""
    unknown: int
    """Unbilled calls that it has recorded as begun, so that somebody can ask what they cost."""


def durability_of(
    system: str, rate: float, trial: Trial, calls: Mapping[str, int], billed: Mapping[str, int], unknown: int
) -> Durability:
    """Hold what the provider was asked for against what the system knows.

    Args:
        system: Its name.
        rate: Requests a second.
        trial: What the client saw.
        calls: By request, as the provider counted.
        billed: By request, as the system has recorded.
        unknown: Calls that it has recorded as begun and not as ended.
    """
    return Durability(
        system=system,
        rate=rate,
        sent=trial.sent,
        answered=len(trial.answered),
        lost=trial.missing,
        refused=dict(trial.refused),
        doubled=trial.duplicates,
        calls=sum(calls.values()),
        repeated=sum(count - 1 for count in calls.values() if count > 1),
        billed=sum(billed.values()),
        unbilled=sum(max(0, count - billed.get(request, 0)) for request, count in calls.items()),
        unknown=unknown,
    )


async def kill_worker(settings: Settings, data_dir: Path, plan: PipelinePlan, rate: float, mock_url: str) -> Durability:
    """Kill the worker of a stack under load; its supervisor starts it again.

    Args:
        settings: With the addresses of the stack.
        data_dir: Of the stack.
        plan: How long, and which requests.
        rate: Requests a second.
        mock_url: Of the mock, which counts calls.
    """
    workload = Workload(plan.kind, settings.kafka.partitions)

    async def kill() -> None:
        state = read_state(data_dir)
        for service in state.services if state else ():
            if service.name == _WORKER and (process := service.process.find()):
                process.kill()

    async with KafkaLoad.opened(settings.kafka, workload, give_up_s=GIVE_UP_S) as load:
        trial = await _killed(load, rate, plan.seconds, kill)
    billed, unknown = await _journalled(settings, workload.run)
    return durability_of(TIERSTREAM, rate, trial, await _counted(mock_url, workload.run), billed, unknown)


async def kill_proxy(proxy: LiteLlmProxy, plan: PipelinePlan, rate: float, mock_url: str) -> Durability:
    """Kill LiteLLM's proxy under load, and start it again at once; see `kill_worker` for the arguments."""
    workload = Workload(plan.kind)

    async def kill() -> None:
        proxy.kill()
        await proxy.start()

    async with HttpLoad.opened(proxy.url, workload, headers=proxy.headers, give_up_s=GIVE_UP_S) as load:
        trial = await _killed(load, rate, plan.seconds, kill)
    await asyncio.sleep(_BILLS_S)
    named = (found[0] for line in proxy.spent() if (found := _ID.search(line["prompt"])))
    billed = Counter(name for name in named if name.startswith(workload.run))
    return durability_of(LITELLM, rate, trial, await _counted(mock_url, workload.run), billed, 0)


async def _killed(load: Load, rate: float, seconds: float, kill: Callable[[], Awaitable[None]]) -> Trial:
    running = asyncio.create_task(load.open_loop(rate, seconds))
    try:
        await asyncio.sleep(seconds / 2)
        await kill()
        return await running
    finally:
        running.cancel()


async def _counted(mock_url: str, run: str) -> dict[str, int]:
    async with aiohttp.ClientSession() as session, session.get(f"{mock_url}/calls") as response:
        by_request: dict[str, int] = (await response.json())["by_request"]
    return {request: count for request, count in by_request.items() if request.startswith(run)}


async def _journalled(settings: Settings, run: str) -> tuple[Counter[str], int]:
    """Return the calls of a run that the journal has the end of, by request, and how many it has not."""
    started: set[object] = set()
    ended: dict[object, str] = {}
    tps = partitions_of(CALLS, settings.kafka)
    async with TopicReader(settings.kafka).opened(tps) as cursor:
        ends = await cursor.ends()
        cursor.seek(await cursor.beginnings())
        async for record in cursor.until(ends):
            call = decode(CALLS, record.value, record.headers).record
            if call.purpose is not Purpose.INFER or not call.request_id.startswith(run):
                continue
            if isinstance(call, CallStarted):
                started.add(call.call_id)
            elif isinstance(call, CallEnded):
                ended[call.call_id] = call.request_id
    return Counter(ended.values()), len(started - ended.keys())

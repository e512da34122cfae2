"""The faults: what goes wrong, and how it is done to a local stack."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.settings import Settings
from tierstream.stack.state import read_state
from topics.registry import REQUESTS

_STOPPED_S: Final = 1.5
"""A stopped worker stays stopped for the session timeout and this much longer."""
_CLICKHOUSE_OUTAGE_S: Final = 30.0
_PROVIDER_TROUBLE_S: Final = 5.0
_POISON: Final = (b"", b"\x00\xff\xfe not json", b'{"request_id": "poison"', b'{"messages": []}', b"[1, 2, 3]", b"null")
_TROUBLES: Final[tuple[dict[str, Any], ...]] = (
    {"down": True},
    {"rate_500": 1.0},
    {"rate_429": 1.0, "retry_after_s": 1.0},
    {"rate_malformed": 0.5},
    {"rate_cut": 0.5},
)


@dataclass(frozen=True)
class FaultPlan:
    """How often each fault happens over a run."""

    worker_kills: int = 15
    worker_stops: int = 5
    broker_kills: int = 2
    clickhouse_outages: int = 1
    provider_troubles: int = 4
    poison_records: int = 30

    @classmethod
    def scaled(cls, seconds: float) -> "FaultPlan":
        """Make a plan for a run of that length: the default plan is one for 400 s."""
        share = seconds / 400
        counts = {name: max(1, round(count * share)) for name, count in vars(cls()).items()}
        return cls(**counts)


class FaultLab:
    """Does the faults to the stack of one data folder."""

    def __init__(self, settings: Settings, data_dir: Path, simulator: str, seed: int) -> None:
        """Prepare.

        Args:
            settings: With the address of Kafka.
            data_dir: Of the stack.
            simulator: URL of the provider simulator.
            seed: Decides what happens when, and to which worker.
        """
        self.done: Counter[str] = Counter()
        self._settings = settings
        self._data_dir = data_dir
        self._simulator = simulator
        self._random = random.Random(seed)  # noqa: S311 - a schedule, no secret

    async def run(self, plan: FaultPlan, seconds: float) -> None:
        """Spread the planned faults at random over `seconds`; return when the last one is over."""
        faults: dict[str, Callable[[], Awaitable[None]]] = {
            "worker_kills": self._kill_worker,
            "worker_stops": self._stop_worker,
            "broker_kills": self._kill_broker,
            "clickhouse_outages": self._stop_clickhouse,
            "provider_troubles": self._trouble_provider,
            "poison_records": self._poison,
        }
        async with asyncio.TaskGroup() as group:
            for name, count in vars(plan).items():
                for moment in self._moments(count, seconds):
                    group.create_task(self._at(moment, name, faults[name]))

    def _moments(self, count: int, seconds: float) -> Sequence[float]:
        """Draw one moment in each of `count` equal slices, so that a fault is not over before the next of its kind."""
        return [(i + self._random.uniform(0.1, 0.9)) * seconds / count for i in range(count)]

    async def _at(self, moment: float, name: str, fault: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(moment)
        await fault()
        self.done[name] += 1

    async def _kill_worker(self) -> None:
        (await self._worker()).kill()

    async def _stop_worker(self) -> None:
        async with _stopped(await self._worker()):
            await asyncio.sleep(self._settings.kafka.session_timeout_s + _STOPPED_S)

    async def _kill_broker(self) -> None:
        (await self._process("kafka")).kill()

    async def _stop_clickhouse(self) -> None:
        async with _stopped(await self._process("clickhouse")):
            await asyncio.sleep(_CLICKHOUSE_OUTAGE_S)

    async def _trouble_provider(self) -> None:
        used = sorted({model.provider for _, model in self._settings.models()})
        trouble = {"provider": self._random.choice(used), "model": "*", "set": self._random.choice(_TROUBLES)}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{self._simulator}/control", json=trouble) as response:
                response.raise_for_status()
            await asyncio.sleep(_PROVIDER_TROUBLE_S)
            async with session.post(f"{self._simulator}/control/reset") as response:
                response.raise_for_status()

    async def _poison(self) -> None:
        """Send bytes that are no request; while the broker is away there is nothing to poison."""
        producer = AIOKafkaProducer(bootstrap_servers=self._settings.kafka.bootstrap_servers)
        try:
            await producer.start()
            topic = REQUESTS.full_name(self._settings.kafka.prefix)
            await producer.send_and_wait(topic, self._random.choice(_POISON))
        except KafkaError:
            return
        finally:
            await producer.stop()

    async def _worker(self) -> psutil.Process:
        names = [f"worker-{number + 1}" for number in range(self._settings.stack.workers)]
        return await self._process(self._random.choice(names))

    async def _process(self, name: str) -> psutil.Process:
        """Return the running process of a service; waits while it is being restarted."""
        while True:
            state = read_state(self._data_dir)
            for service in state.services if state else ():
                process = service.process.find() if service.name == name else None
                if process is not None and process.status() != psutil.STATUS_STOPPED:
                    return process
            await asyncio.sleep(0.2)


@asynccontextmanager
async def _stopped(process: psutil.Process) -> AsyncIterator[None]:
    """Hold a process with SIGSTOP for as long as the context lasts; it may be killed meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if process.is_running():
            process.send_signal(signal.SIGCONT)

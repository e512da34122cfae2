"""The faults: what goes wrong, and how it is done to a local stack."""

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from aiokafka.errors import KafkaError

from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from streams.kafka.publisher import DeliveryError, Output, Publisher
from tierstream.operations.canaries import CanaryReport, ordered
from tierstream.stack.errors import StackError
from tierstream.stack.health import HealthCheck
from tierstream.stack.service_process import READY_FILE_VARIABLE
from tierstream.stack.state import read_state
from tierstream.stack.supervisor import Service, Supervisor
from topics.registry import CONTROL, FEEDBACK, REQUESTS, SHADOW

_STOPPED_S: Final = 1.5
"""A stopped worker stays stopped for the session timeout and this much longer."""
_JOINED_S: Final = 15.0
"""A worker that joins stays for this long once it has its partitions."""
_JOIN_TRIES: Final = 5
_LEAVE_MARGIN_S: Final = 10.0
_INSTANCE_VARIABLE: Final = "TIERSTREAM_KAFKA__INSTANCE"
_CLICKHOUSE_OUTAGE_S: Final = 30.0
_DISK_TROUBLE_S: Final = 15.0
_DISK_FAULTS: Final = ("disk_full", "slow_disk")
_PROVIDER_TROUBLE_S: Final = 5.0
_CANARY_STOPPED_S: Final = 8.0
_ORDER_AGAIN_S: Final = 1.0
_CANARY_FAULTS: Final = ("canary_orders",)
_POISONED: Final = (REQUESTS, FEEDBACK, SHADOW)
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
    worker_joins: int = 3
    broker_kills: int = 2
    clickhouse_outages: int = 1
    disk_full: int = 1
    slow_disk: int = 1
    provider_troubles: int = 4
    poison_records: int = 30
    canary_orders: int = 6

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
        self.skipped: tuple[str, ...] = ()
        """Faults that this stack takes no orders for."""
        self._settings = settings
        self._data_dir = data_dir
        self._simulator = simulator
        self._joined = 0
        self._random = random.Random(seed)  # noqa: S311 - a schedule, no secret

    async def run(self, plan: FaultPlan, seconds: float) -> None:
        """Spread the planned faults at random over `seconds`; return when the last one is over.

        Raises:
            StackError: A worker that was to join does not start.
            aiohttp.ClientError: The simulator or ClickHouse takes no orders.
        """
        faults: dict[str, Callable[[], Awaitable[None]]] = {
            "worker_kills": self._kill_worker,
            "worker_stops": self._stop_worker,
            "worker_joins": self._join_worker,
            "broker_kills": self._kill_broker,
            "clickhouse_outages": self._stop_clickhouse,
            "disk_full": lambda: self._trouble_disk("disk_full"),
            "slow_disk": lambda: self._trouble_disk("slow_disk"),
            "provider_troubles": self._trouble_provider,
            "poison_records": self._poison,
            "canary_orders": self._order_canary,
        }
        if (plan.disk_full or plan.slow_disk) and not await self._clickhouse_takes_faults():
            self.skipped = _DISK_FAULTS
            plan = replace(plan, disk_full=0, slow_disk=0)
        if plan.canary_orders and not self._settings.canary:
            self.skipped = (*self.skipped, *_CANARY_FAULTS)
            plan = replace(plan, canary_orders=0)
        try:
            async with asyncio.TaskGroup() as group:
                for name, count in vars(plan).items():
                    for moment in self._moments(count, seconds):
                        group.create_task(self._at(moment, name, faults[name]))
        except ExceptionGroup as failed:
            # One of them is enough for a line that says what to do.
            raise failed.exceptions[0] from None

    def _moments(self, count: int, seconds: float) -> Sequence[float]:
        """Draw one moment in each of `count` equal slices, so that a fault is not over before the next of its kind."""
        return [(i + self._random.uniform(0.1, 0.9)) * seconds / count for i in range(count)]

    async def _at(self, moment: float, name: str, fault: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(moment)
        await fault()
        self.done[name] += 1

    async def _kill_worker(self) -> None:
        (await self._process("worker-")).kill()

    async def _stop_worker(self) -> None:
        async with _stopped(await self._process("worker-")):
            await asyncio.sleep(self._settings.kafka.session_timeout_s + _STOPPED_S)

    async def _join_worker(self) -> None:
        """Start one more worker, let it have its share of the partitions, and ask it to leave."""
        service = await self._one_more_worker()
        supervisor = Supervisor(self._data_dir / "logs", on_event=lambda _: None, on_change=lambda: None)
        try:
            for left in reversed(range(_JOIN_TRIES)):
                try:
                    await supervisor.start(service)
                    break
                except StackError:
                    # The broker may just be away, and then no worker starts.
                    if not left:
                        raise
            await asyncio.sleep(_JOINED_S)
        finally:
            await supervisor.stop()

    async def _one_more_worker(self) -> Service:
        """Describe a worker like those of the stack, whose settings are in its environment alone."""
        self._joined += 1
        name = f"joining-worker-{self._joined}"
        ready_file = self._data_dir / "run" / f"{name}.ready"
        like = await self._process("worker-")
        environment = {**like.environ(), READY_FILE_VARIABLE: str(ready_file)}
        # A static member leaves its partitions to the session timeout, any other one hands them over at once.
        if environment.pop(_INSTANCE_VARIABLE, None) and self._random.choice((True, False)):
            environment[_INSTANCE_VARIABLE] = name
        return Service(
            name=name,
            command=tuple(like.cmdline()),
            env=environment,
            health=HealthCheck(kind="ready_file", target=str(ready_file)),
            stop_timeout_s=self._settings.delivery.drain_timeout_s + _LEAVE_MARGIN_S,
        )

    async def _kill_broker(self) -> None:
        (await self._process("kafka")).kill()

    async def _stop_clickhouse(self) -> None:
        async with _stopped(await self._process("clickhouse")):
            await asyncio.sleep(_CLICKHOUSE_OUTAGE_S)

    async def _trouble_disk(self, fault: str) -> None:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(f"{self._settings.clickhouse.url}/faults", json={"fault": fault, "for_s": _DISK_TROUBLE_S}),
        ):
            await asyncio.sleep(_DISK_TROUBLE_S)

    async def _clickhouse_takes_faults(self) -> bool:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self._settings.clickhouse.url}/faults") as response,
        ):
            return response.status == HTTPStatus.OK

    async def _trouble_provider(self) -> None:
        used = sorted({model.provider for _, model in self._settings.models()})
        trouble = {"provider": self._random.choice(used), "model": "*", "set": self._random.choice(_TROUBLES)}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{self._simulator}/control", json=trouble) as response:
                response.raise_for_status()
            await asyncio.sleep(_PROVIDER_TROUBLE_S)
            async with session.post(f"{self._simulator}/control/reset") as response:
                response.raise_for_status()

    async def _order_canary(self) -> None:
        """Have an operator stop a canary, and give it its share again a little later."""
        plan = self._random.choice(self._settings.canary)
        for state in ("stopped", "running"):
            order = ordered(CanaryReport(plan, None), state, by="chaos", at=utc_now())
            while not await self._give([Output(CONTROL, order)]):  # noqa: ASYNC110 - no event tells that the broker is back
                await asyncio.sleep(_ORDER_AGAIN_S)
            await asyncio.sleep(_CANARY_STOPPED_S if state == "stopped" else 0)

    async def _give(self, orders: list[Output]) -> bool:
        try:
            async with Publisher(self._settings.kafka) as publisher:
                await publisher.publish(orders)
        except (DeliveryError, KafkaError):
            return False
        return True

    async def _poison(self) -> None:
        """Send bytes that are no record of their topic; while the broker is away there is nothing to poison."""
        topic = self._random.choice(_POISONED).full_name(self._settings.kafka.prefix)
        with contextlib.suppress(KafkaError):
            async with Publisher(self._settings.kafka) as publisher:
                await publisher.producer.send_and_wait(topic, self._random.choice(_POISON))

    async def _process(self, name: str) -> psutil.Process:
        """Return a running process of the services whose names begin so; waits while none runs."""
        while True:
            state = read_state(self._data_dir)
            named = [service for service in state.services if service.name.startswith(name)] if state else []
            found = [process for service in named if (process := service.process.find()) and _runs(process)]
            if found:
                return self._random.choice(found)
            await asyncio.sleep(0.2)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def _stopped(process: psutil.Process) -> AsyncIterator[None]:
    """Hold a process with SIGSTOP for as long as the context lasts; it may be killed meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if process.is_running():
            process.send_signal(signal.SIGCONT)

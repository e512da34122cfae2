"""What processes tell each other over `llm.control`: states of breakers for display, orders of operators, models."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.config.settings_sections import KafkaSettings
from streams.control.rollout import Activation
from streams.kafka.clock import Clock
from streams.kafka.publisher import DeliveryError, Output, Publisher
from topics.base import Record
from topics.codec import SCHEMA_HEADER, DecodeError, decode, header
from topics.control import (
    ActiveModel,
    BreakerOrder,
    BreakerState,
    BreakerStatus,
    ModelFile,
    ModelStatus,
    model_key,
    model_status_key,
)
from topics.registry import CONTROL

log = logging.getLogger(__name__)

REPEAT_AFTER: Final = timedelta(seconds=30)
"""After which a breaker that is not closed is reported again, so that the last word of a dead process grows old."""
STALE_AFTER: Final = 3 * REPEAT_AFTER
"""From when on such a report says nothing any more: its process has died or lost the broker."""

_RETRY_S: Final = 5.0
_LAST_WORDS_S: Final = 5.0
_POLL_MS: Final = 200
_NAME_LENGTH: Final = 200


def worker_name(kafka: KafkaSettings) -> str:
    """Name this process in its reports: the configured instance, else host and process id."""
    return kafka.instance or f"{socket.gethostname()[:_NAME_LENGTH]}:{os.getpid()}"


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where the file of a published model stands; it is megabytes, so it is read when it is wanted."""

    key: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A tombstone: what was said under the key holds no longer."""

    key: str


Entry = Record | Activation | ModelPlace | Withdrawn


@dataclass
class ControlState:
    """What the topic says: the latest state of each breaker in each process, the latest orders, and the models."""

    statuses: dict[tuple[str, str], BreakerStatus] = field(default_factory=dict)
    """By worker and target."""
    orders: dict[str, BreakerOrder] = field(default_factory=dict)
    """By target; an order `auto` only takes an earlier one back."""
    models: dict[str, ModelPlace] = field(default_factory=dict)
    """By version."""
    activation: Activation | None = None
    model_statuses: dict[str, ModelStatus] = field(default_factory=dict)
    """By worker."""

    def add(self, entry: Entry) -> None:
        """Let an entry replace the one before it."""
        match entry:
            case BreakerStatus():
                self.statuses[entry.worker, entry.target] = entry
            case BreakerOrder():
                self.orders[entry.target] = entry
            case ModelPlace():
                self.models[entry.key.removeprefix(model_key(""))] = entry
            case Activation():
                self.activation = entry
            case ModelStatus():
                self.model_statuses[entry.worker] = entry
            case Withdrawn():
                self.models.pop(entry.key.removeprefix(model_key("")), None)
                self.model_statuses.pop(entry.key.removeprefix(model_status_key("")), None)


async def read_control(kafka: KafkaSettings) -> ControlState:
    """Read the topic up to its end as it is now.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    state = ControlState()
    async with _ControlReader.opened(kafka) as reader:
        async for entry in reader.catch_up():
            state.add(entry)
    return state


class ControlFollower:
    """Tells the orders of operators as they come, those in force at the start first.

    Args:
        kafka: Where the topic is.
        on_order: Called with each order about a breaker; of several for a target at the start, only with the latest.
        on_models: Awaited with the state at the start, and whenever models or their activation have changed.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        on_order: Callable[[BreakerOrder], None],
        on_models: Callable[[ControlState], Awaitable[None]] | None = None,
    ) -> None:
        self._kafka = kafka
        self._on_order = on_order
        self._on_models = on_models

    async def run(self, loaded: asyncio.Event) -> None:
        """Tell what holds now, set `loaded`, and go on following until cancelled.

        Raises:
            aiokafka.errors.KafkaError: The broker can't be reached at the start, or refuses to be read.
        """
        async with _ControlReader.opened(self._kafka) as reader:
            state = ControlState()
            async for entry in reader.catch_up():
                state.add(entry)
            for order in state.orders.values():
                self._on_order(order)
            if self._on_models is not None:
                await self._on_models(state)
            loaded.set()
            while True:
                entries = await reader.poll()
                if any(isinstance(entry, Activation) for entry in entries):
                    # The file was published before, but on another partition, which may be read later.
                    entries += [entry async for entry in reader.catch_up()]
                await self._tell(entries, state)

    async def _tell(self, entries: Iterable[Entry], state: ControlState) -> None:
        models_changed = False
        for entry in entries:
            match entry:
                case BreakerOrder():
                    log.info("%s is ordered %s by %s", entry.target, entry.order, entry.by)
                    self._on_order(entry)
                case ModelPlace() | Activation() | Withdrawn():
                    state.add(entry)
                    models_changed = True
        if models_changed and self._on_models is not None:
            await self._on_models(state)


class BreakerPublisher:
    """Publishes the states of this process's breakers for display. Of each breaker only the latest state matters.

    Args:
        publisher: Open for as long as `run` runs.
        worker: Name of this process, see `worker_name`.
        clock: Dates the repetitions.
        repeat_after: After which a state other than closed is said again.
    """

    def __init__(
        self, publisher: Publisher, worker: str, clock: Clock, *, repeat_after: timedelta = REPEAT_AFTER
    ) -> None:
        self.worker = worker
        self._publisher = publisher
        self._clock = clock
        self._repeat_s = repeat_after.total_seconds()
        self._latest: dict[str, BreakerStatus] = {}
        """By target, without those that are closed and were said to be."""
        self._unsaid: set[str] = set()
        """Targets whose latest state is yet to be published."""
        self._wake = asyncio.Event()

    async def begin(self) -> None:
        """Say that the process is there, with nothing open: of tier 1, which stands for all.

        The acknowledgement is the first that the process gets, so it knows the brokers' time from here on.

        Raises:
            DeliveryError: The broker did not take it.
        """
        await self._publish([_closed(self.worker, "tier:1", "worker started", self._clock())])

    def note(self, status: BreakerStatus) -> None:
        """Take note of a change; returns at once, and replaces a change of the same breaker that still waits."""
        self._latest[status.target] = status
        self._unsaid.add(status.target)
        self._wake.set()

    async def run(self) -> None:
        """Publish changes as they come until cancelled, then report as closed what would stay open.

        Nobody acts on these records, so a broker that takes none delays them and stops nothing.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._say_changes())
                tasks.create_task(self._repeat())
        finally:
            await self._take_leave()

    async def _say_changes(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            targets, self._unsaid = self._unsaid, set()
            said = {target: self._latest[target] for target in targets}
            try:
                await self._publish(said.values())
            except DeliveryError as error:
                log.warning("breaker states could not be published, trying again in %g s: %s", _RETRY_S, error)
                self._unsaid |= targets
                await asyncio.sleep(_RETRY_S)
                self._wake.set()
                continue
            for target, status in said.items():
                if status.state == BreakerState.CLOSED and self._latest[target] is status:
                    del self._latest[target]

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._repeat_s)
            now = self._clock()
            for status in list(self._latest.values()):
                if status.state != BreakerState.CLOSED:
                    self.note(status.model_copy(update={"at": now}))

    async def _publish(self, statuses: Iterable[BreakerStatus]) -> None:
        await self._publisher.publish([Output(CONTROL, status) for status in statuses])

    async def _take_leave(self) -> None:
        """Report every breaker as closed that others may believe to be open."""
        now = self._clock()
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._publish([_closed(self.worker, target, "worker stopped", now) for target in self._latest])
        except (DeliveryError, TimeoutError):
            log.warning("the broker did not take the last breaker states; they are shown as stale")


def _closed(worker: str, target: str, reason: str, now: datetime) -> BreakerStatus:
    return BreakerStatus(
        worker=worker,
        target=target,
        state=BreakerState.CLOSED,
        reason=reason,
        since=now,
        calls=0,
        failures=0,
        slow=0,
        at=now,
    )


class _ControlReader:
    """A consumer of the whole topic, from its beginning, outside any group."""

    def __init__(self, consumer: AIOKafkaConsumer, tps: list[TopicPartition]) -> None:
        self._consumer = consumer
        self._tps = tps

    @classmethod
    @asynccontextmanager
    async def opened(cls, kafka: KafkaSettings) -> AsyncIterator["_ControlReader"]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            topic = CONTROL.full_name(kafka.prefix)
            tps = [TopicPartition(topic, partition) for partition in range(kafka.partitions)]
            consumer.assign(tps)
            for tp, beginning in (await consumer.beginning_offsets(tps)).items():
                consumer.seek(tp, beginning)
            yield cls(consumer, tps)
        finally:
            await consumer.stop()

    async def catch_up(self) -> AsyncIterator[Entry]:
        """Yield the entries up to the end as it is now; positions pass compacted offsets."""
        ends = await self._consumer.end_offsets(self._tps)
        while ends := {tp: end for tp, end in ends.items() if await self._consumer.position(tp) < end}:
            for entry in await self.poll():
                yield entry

    async def poll(self) -> list[Entry]:
        """Return the next entries, perhaps none; those of newer versions are passed over."""
        found: list[Entry] = []
        for tp, records in (await self._consumer.getmany(timeout_ms=_POLL_MS)).items():
            for record in records:
                try:
                    found.append(_entry_of(record))
                except DecodeError as error:
                    log.warning("%s-%d@%d can't be read: %s", tp.topic, tp.partition, record.offset, error.message)
        return found


def _entry_of(record: Any) -> Entry:  # noqa: ANN401 - aiokafka is untyped
    """Read a record, a model file apart, of which only the place is noted.

    Raises:
        DecodeError: It is none that this version knows.
    """
    key = (record.key or b"").decode(errors="replace")
    if record.value is None:
        return Withdrawn(key)
    if header(record.headers, SCHEMA_HEADER) == ModelFile.SCHEMA:
        return ModelPlace(key, record.partition, record.offset)
    found = decode(CONTROL, record.value, record.headers).record
    return Activation(found, record.timestamp) if isinstance(found, ActiveModel) else found

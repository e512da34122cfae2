"""Processes that hand bulk tasks over to a provider that takes batches, over a log in memory."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from aiokafka import TopicPartition
from support.fake_batches import HOUR, FakeBatches
from support.in_memory import (
    BASE,
    BASE_MS,
    SETTINGS,
    Bench,
    Clock,
    Log,
    home_of,
    new_bench,
    new_request,
    new_task,
)

from streams.bulk.partition import BulkPartition
from streams.config.settings import Settings
from streams.kafka.lease import PartitionLostError
from streams.kafka.publisher import Delivered, DeliveryError, Output, RecordTooLargeError
from streams.providers.base import ProviderError
from streams.providers.batches import LineEnd
from streams.runtime.stage import Received
from topics.base import Record
from topics.bulk import BulkTask, Submission, SubmissionEnded
from topics.codec import encode
from topics.journal import CallEnded, CallStarted, Purpose, attempt_id
from topics.registry import BULK, CALLS, SETTLED
from topics.results import Cancelled
from topics.tasks import TierTask

HOME = home_of("r1")
TP = TopicPartition(BULK.full_name("llm."), HOME)
BULK_SETTINGS: dict[str, Any] = {
    **SETTINGS,
    "tiers": [{**SETTINGS["tiers"][0], "batching": {"provider": True}}, *SETTINGS["tiers"][1:]],
    "deadlines": {"bulk": 24 * HOUR},
    "delivery": {"dedup_window_s": 24 * HOUR},
}
_ROUNDS = 150


def request_ids(count: int, partition: int = HOME) -> list[str]:
    """Return ids of requests whose records are all in one partition."""
    found, number = list[str](), 0
    while len(found) < count:
        number += 1
        if home_of(f"r{number}") == partition:
            found.append(f"r{number}")
    return found


def bulk_task(request_id: str = "r1", *, hours: float = 24.0, asked_ms: int = BASE_MS, **fields: Any) -> BulkTask:
    """Return a task that waits for a batch of the first model of the first tier."""
    request = new_request(request_id=request_id, service_class="bulk", **fields.pop("request", {}))
    task = new_task(request, **{"deadline": BASE + timedelta(hours=hours)} | fields)
    task = task.model_copy(update={"source": task.source.model_copy(update={"timestamp_ms": asked_ms})})
    return BulkTask(task=task, stage=f"infer:{task.tier}", provider="fast", model="a")


def call_started(request_id: str, **fields: Any) -> CallStarted:
    """Return the start of the first call of a bulk task, as somebody else has made it."""
    made = {
        "call_id": attempt_id(request_id, 0, "somebody", 0),
        "attempt_id": attempt_id(request_id, 0, "infer:1", 0),
        "request_id": request_id,
        "revision": 0,
        "stage": "infer:1",
        "n": 0,
        "purpose": Purpose.INFER,
        "tier": 1,
        "provider": "fast",
        "model": "a",
        "started_at": BASE,
        "asked_ms": BASE_MS,
        "deadline": BASE + timedelta(hours=24),
    }
    return CallStarted(**made | fields)


async def come_to_rest() -> None:
    """Have everybody do what they can at this moment."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)


@dataclass
class Sleepers:
    """Who sleeps until a moment of a clock that only the test moves."""

    clock: Clock
    _until: list[tuple[datetime, "asyncio.Future[None]"]] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._until.append((self.clock() + timedelta(seconds=seconds), waking))
        await waking

    async def pass_time(self, seconds: float) -> None:
        """Move the clock on, and wake up each one when its time has come."""
        end = self.clock() + timedelta(seconds=seconds)
        await come_to_rest()
        while self._until and (due := min(at for at, _ in self._until)) <= end:
            self.clock.now = max(due, self.clock.now)
            awake = [one for at, one in self._until if at == due and not one.done()]
            self._until = [(at, one) for at, one in self._until if at != due]
            for one in awake:
                one.set_result(None)
            await come_to_rest()
        self.clock.now = end


class Writer:
    """Puts records on the log until its process dies: right before one of them, or right behind it."""

    def __init__(self, log: Log, max_bytes: Mapping[type[Record], int]) -> None:
        self._log = log
        self._max_bytes = max_bytes
        self.left: int | None = None
        """How many records it still writes; None: all."""

    def check_sizes(self, outputs: Sequence[Output], *, trace: bytes | None = None) -> None:
        for output in outputs:
            most = self._max_bytes.get(type(output.record))
            if most is not None and (size := len(encode(output.record).value)) > most:
                raise RecordTooLargeError(f"the record for {output.topic.name} has {size} bytes", output.record)

    async def publish(self, outputs: Sequence[Output], *, trace: bytes | None = None) -> list[Delivered]:
        self.check_sizes(outputs)
        delivered = []
        for output in outputs:
            await asyncio.sleep(0)
            if self.left == 0:
                raise DeliveryError("the process has died")
            if self.left is not None:
                self.left -= 1
            delivered.append(self._log.append(output))
        return delivered


@dataclass
class Process:
    """Who owns the partition, until it is replaced."""

    partition: BulkPartition
    writer: Writer
    next_offset: int
    owns: bool = True

    async def confirm(self) -> None:
        if not self.owns:
            raise PartitionLostError("partition")


class BulkWorld:
    """One partition of bulk tasks, the provider `fast` that takes batches, and the process that serves it."""

    def __init__(
        self,
        settings: dict[str, Any] | None = None,
        *,
        max_bytes: Mapping[type[Record], int] | None = None,
        **bulk: Any,
    ) -> None:
        loaded = Settings(**{**BULK_SETTINGS, "bulk": {"wait_s": 0, "poll_s": 600, **bulk}, **(settings or {})})
        self.bench: Bench = new_bench(loaded)
        self.clock, self.log = self.bench.clock, self.bench.log
        self.batches = FakeBatches(self.clock)
        self.bench.providers["fast"].batches = self.batches
        self.sleepers = Sleepers(self.clock)
        self.max_bytes = max_bytes or {}
        self.committed = 0
        self.process: Process

    @classmethod
    async def with_tasks(cls, *tasks: BulkTask, **more: Any) -> Self:
        """Make a world with a process, to which these tasks have come."""
        world = cls(**more)
        await world.start()
        world.put(*tasks)
        return world

    async def start(self, *, dies_after: int | None = None) -> Process:
        """Have a new process own the partition, which knows what is on the log and nothing else.

        Args:
            dies_after: How many records it writes before it dies; None: it lives.
        """
        writer = Writer(self.log, self.max_bytes)
        writer.left = dies_after
        engine = dataclasses.replace(
            self.bench.engine,
            publisher=writer,
            attempts=self.bench.attempts("infer:1", "infer:2", "infer:3"),
            sleep=self.sleepers.sleep,
        )
        process: Process

        async def confirm() -> None:
            await process.confirm()

        partition = BulkPartition(
            engine, TP, "bulk", confirm, monotonic=lambda: self.clock().timestamp(), reader=self.log
        )
        process = self.process = Process(partition, writer, self.committed)
        await come_to_rest()
        await partition.load()
        return process

    async def restart(self, *, dies_after: int | None = None) -> Process:
        """Have the process give the partition up, and another one go on."""
        await self.process.partition.leave()
        return await self.start(dies_after=dies_after)

    def put(self, *tasks: BulkTask) -> None:
        """Have tasks come."""
        for task in tasks:
            delivered = self.log.append(Output(BULK, task))
            assert delivered.partition == HOME

    async def look(self) -> None:
        """Have the process look at what has come, and at its submissions."""
        process = self.process
        stored = self.log.stored.get((TP.topic, TP.partition), [])[process.next_offset :]
        process.next_offset += len(stored)
        await process.partition.take([Received.of(record, TP) for record in stored])
        with contextlib.suppress(PartitionLostError):
            await process.partition.look()
        await come_to_rest()
        self.committed = max(self.committed, process.partition.position)

    async def serve(self, seconds: float = 0.0) -> None:
        """Have the process look, let time pass, and look again."""
        await self.look()
        await self.sleepers.pass_time(seconds)
        await self.look()

    async def cancel(self, *names: str) -> None:
        """Have requests cancelled, and that be known."""
        for name in names:
            self.log.append(Output(SETTLED, Cancelled(request_id=name, revision=0)))
        await self.bench.settled.catch_up(HOME)

    def say(self, **ends: bytes | ProviderError | None) -> None:
        """Have the provider say this of some calls, by their requests; the others are answered."""

        def end_of(custom_id: str) -> LineEnd | None:
            match ends.get(self.request_of(custom_id), b"an answer"):
                case None:
                    return None
                case bytes(body):
                    return LineEnd(custom_id, body)
                case error:
                    return LineEnd(custom_id, None, error)

        self.batches.end_of = end_of

    def request_of(self, custom_id: str) -> str:
        """Say whose call it is: the journal has it under the same id."""
        [name] = {call.request_id for call in self.started if str(call.call_id) == custom_id}
        return name

    def end_of(self, name: str) -> CallEnded:
        """Return the end that the one task of a request that went back was told of."""
        [task] = [task for task in self.returned if task.request.request_id == name]
        ended = self.end_at(task.waited.ended_at)
        assert ended.request_id == name
        return ended

    def of(self, *kinds: type[Record]) -> list[Any]:
        """List the records of some kinds, in order."""
        return [record for record in self.log.published if isinstance(record, kinds)]

    @property
    def submissions(self) -> list[Submission]:
        return self.of(Submission)

    @property
    def ends(self) -> list[SubmissionEnded]:
        return self.of(SubmissionEnded)

    @property
    def returned(self) -> list[TierTask]:
        """The tasks that went back to their tier, copies included."""
        return self.of(TierTask)

    @property
    def started(self) -> list[CallStarted]:
        return self.of(CallStarted)

    @property
    def ended(self) -> list[CallEnded]:
        return self.of(CallEnded)

    def end_at(self, offset: int) -> CallEnded:
        """Read the end of a call in the journal."""
        stored = self.log.stored[CALLS.full_name("llm."), HOME][offset]
        return CallEnded.model_validate_json(stored.value)

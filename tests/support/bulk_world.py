"""A provider that takes batches, and processes that hand bulk tasks over to it, over a log in memory."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiokafka import TopicPartition
from support.in_memory import (
    BASE,
    BASE_MS,
    SETTINGS,
    USAGE,
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
from streams.providers.base import ChatCall, ChatReply, ErrorKind, ProviderError
from streams.providers.batches import BatchProgress, LineEnd
from streams.runtime.stage import Received
from topics.base import Record
from topics.bulk import BulkTask, Submission, SubmissionEnded
from topics.codec import encode
from topics.journal import CallEnded, CallStarted, Purpose, attempt_id
from topics.registry import BULK, CALLS, SETTLED
from topics.results import Cancelled
from topics.tasks import TierTask

HOUR = 3600.0
HOME = home_of("r1")
TP = TopicPartition(BULK.full_name("llm."), HOME)
BULK_SETTINGS: dict[str, Any] = {
    **SETTINGS,
    "tiers": [{**SETTINGS["tiers"][0], "batching": {"provider": True}}, *SETTINGS["tiers"][1:]],
    "deadlines": {"bulk": 24 * HOUR},
    "delivery": {"dedup_window_s": 24 * HOUR},
}
UNREADABLE, MALFORMED = b"unreadable", b"malformed"
_ROUNDS = 400


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


@dataclass(frozen=True, slots=True)
class Arrives:
    """What the client is told of a batch that the provider has taken all the same."""

    error: Exception
    visible_after_s: float = 0.0
    """How long it takes until the provider lists it."""


@dataclass
class TakenBatch:
    """A batch that a provider has."""

    batch_id: str
    name: str
    custom_ids: tuple[str, ...]
    listed_at: datetime
    ends_at: datetime


class FakeBatches:
    """The batches of a provider: each ends an hour after it was taken, with an answer to each call."""

    max_lines = 50_000
    max_bytes = 10_000_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.taken: list[TakenBatch] = []
        self.submissions: list[str] = []
        """The name of each batch that was handed over, taken or not."""
        self.looks: list[datetime] = []
        """When it was asked whether it has a batch."""
        self.told: list[Exception | Arrives] = []
        """What the next ones are told that hand a batch over; None left: it is taken."""
        self.troubles: list[Exception] = []
        """What the next ones are told that ask for anything else."""
        self.calls: dict[str, ChatCall] = {}
        self.cancelled: list[str] = []
        self.refusal: str | None = None
        self.lasts_s = HOUR
        self.knows_ids_only = False
        """Whether a batch is found by its calls and not by its name."""
        self.end_of: Callable[[str], LineEnd | None] = lambda custom_id: LineEnd(custom_id, custom_id.encode())
        self.cant_express: Callable[[ChatCall], bool] = lambda call: False
        self.gate: asyncio.Event | None = None
        """What a batch waits for before it is taken."""
        self.on_progress: Callable[[], Awaitable[None]] | None = None

    async def write_line(self, custom_id: str, call: ChatCall) -> bytes:
        if self.cant_express(call):
            raise ProviderError(ErrorKind.BAD_REQUEST, "it can't be expressed")
        self.calls[custom_id] = call
        return json.dumps({"custom_id": custom_id}).encode()

    async def submit(self, name: str, lines: Sequence[bytes]) -> str:
        self.submissions.append(name)
        if self.gate is not None:
            await self.gate.wait()
        told = self.told.pop(0) if self.told else None
        if isinstance(told, Exception):
            raise told
        now, hidden_s = self._clock(), told.visible_after_s if told is not None else 0.0
        batch = TakenBatch(
            f"batch_{len(self.taken)}",
            name,
            tuple(json.loads(line)["custom_id"] for line in lines),
            now + timedelta(seconds=hidden_s),
            now + timedelta(seconds=self.lasts_s),
        )
        self.taken.append(batch)
        if told is not None:
            raise told.error
        return batch.batch_id

    async def find(self, name: str, custom_ids: Sequence[str], since: datetime) -> str | None:
        self.looks.append(self._clock())
        self._trouble()
        for batch in self.taken:
            is_it = set(batch.custom_ids) <= set(custom_ids) if self.knows_ids_only else batch.name == name
            if is_it and batch.listed_at <= self._clock():
                return batch.batch_id
        return None

    async def progress(self, batch_id: str) -> BatchProgress:
        if self.on_progress is not None:
            await self.on_progress()
        self._trouble()
        has_ended = self._clock() >= self._batch(batch_id).ends_at or batch_id in self.cancelled
        return BatchProgress(has_ended or self.refusal is not None, refusal=self.refusal)

    async def cancel(self, batch_id: str) -> None:
        self.cancelled.append(batch_id)

    async def line_ends(self, batch_id: str) -> AsyncGenerator[LineEnd, None]:
        self._trouble()
        for custom_id in self._batch(batch_id).custom_ids:
            if (end := self.end_of(custom_id)) is not None:
                yield end

    def read(self, call: ChatCall, body: bytes) -> ChatReply:
        if body == UNREADABLE:
            raise ValueError("SECRETANSWER")
        if body == MALFORMED:
            raise ProviderError(ErrorKind.MALFORMED, "not in the protocol's form", usage=USAGE)
        return ChatReply(body.decode(), "stop", USAGE)

    def _batch(self, batch_id: str) -> TakenBatch:
        found = next((batch for batch in self.taken if batch.batch_id == batch_id), None)
        if found is None:
            raise ProviderError(ErrorKind.BAD_REQUEST, "no such batch", status=404)
        return found

    def _trouble(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)


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

"""Load on the pipeline: requests are sent as planned or as fast as they are answered, and the time of each is kept.

Nothing is decoded while it runs, for the measuring shares the machine with what is measured: a result is known by its
key, and looked into afterwards.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.config.settings_sections import KafkaSettings
from streams.kafka.publisher import DeliveryError, started_producer
from streams.kafka.topic_reader import partitions_of
from tierstream.bench.distribution import planned_times
from tierstream.bench.workload import Workload
from topics.registry import REQUESTS, RESULTS

_POLL_MS: Final = 1000
_LEAD_S: Final = 0.05
"""Between the decision to begin and the first planned moment."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and its result, in seconds of the event loop's clock."""

    number: int
    planned: float
    at: float
    value: bytes

    @property
    def latency_ms(self) -> float:
        """From the planned moment of sending to the arrival of the result."""
        return (self.at - self.planned) * 1000


@dataclass
class Trial:
    """What came of some load."""

    began: float
    sent: int = 0
    answered: list[Answered] = field(default_factory=list)
    missing: int = 0
    duplicates: int = 0

    def between(self, start: float, end: float) -> list[Answered]:
        """Return what was answered in a stretch of time."""
        return [one for one in self.answered if start <= one.at < end]


class LoadClient:
    """Sends requests of a workload and takes their results; one load at a time. Open it with `opened`."""

    def __init__(
        self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, topic: str, workload: Workload, give_up_s: float
    ) -> None:
        self._producer = producer
        self._consumer = consumer
        self._topic = topic
        self._workload = workload
        self._give_up_s = give_up_s
        self._next = 0
        self._planned: dict[int, float] = {}
        self._seen: set[int] = set()
        self._trial = Trial(began=0.0)
        self._slots: asyncio.Semaphore | None = None
        self._progress = asyncio.Event()
        self._failure: BaseException | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, kafka: KafkaSettings, workload: Workload, *, give_up_s: float) -> AsyncIterator["LoadClient"]:
        """Connect, and read the results that come from now on.

        Args:
            kafka: With the address of the broker.
            workload: What is sent.
            give_up_s: Seconds without any result after which those that are left count as missing.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=kafka.record_max_bytes,
        )
        producer = await started_producer(kafka)
        try:
            await consumer.start()
            tps = partitions_of(RESULTS, kafka)
            consumer.assign(tps)
            await consumer.seek_to_end(*tps)
            client = cls(producer, consumer, REQUESTS.full_name(kafka.prefix), workload, give_up_s)
            reading = asyncio.create_task(client._read())
            reading.add_done_callback(client._note)
            try:
                yield client
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        finally:
            await asyncio.gather(producer.stop(), consumer.stop())

    async def open_loop(self, rate: float, seconds: float) -> Trial:
        """Send at planned moments, whether or not results come, and wait for the results.

        Raises:
            DeliveryError: The broker did not take a request, or give the results.
        """
        loop = asyncio.get_running_loop()
        trial = self._begin(loop.time() + _LEAD_S)
        for planned in planned_times(trial.began, rate, seconds):
            await asyncio.sleep(planned - loop.time())
            await self._send(planned)
        await self._drain()
        return trial

    async def closed_loop(self, in_flight: int, during: Callable[[Trial], Awaitable[None]]) -> Trial:
        """Keep so many requests unanswered until `during` returns, and wait for the rest of the results.

        Args:
            in_flight: Requests without a result.
            during: Is given the trial, which fills while it waits.

        Raises:
            DeliveryError: The broker did not take a request, or give the results.
        """
        loop = asyncio.get_running_loop()
        trial = self._begin(loop.time())
        self._slots = asyncio.Semaphore(in_flight)
        sending = asyncio.create_task(self._send_for_ever(self._slots))
        try:
            watching = asyncio.ensure_future(during(trial))
            await asyncio.wait([sending, watching], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                watching.cancel()
                sending.result()
            await watching
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            self._slots = None
        await self._drain()
        return trial

    async def reached(self, trial: Trial, count: int) -> None:
        """Wait until a trial that goes on has so many results.

        Raises:
            DeliveryError: Kafka failed under the load.
        """
        while len(trial.answered) < count:
            self._progress.clear()
            await self._progress.wait()
            self._check()

    def _begin(self, at: float) -> Trial:
        self._planned.clear()
        self._trial = Trial(began=at)
        return self._trial

    async def _send_for_ever(self, slots: asyncio.Semaphore) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await slots.acquire()
            await self._send(loop.time())

    async def _send(self, planned: float) -> None:
        self._check()
        number, self._next = self._next, self._next + 1
        request = self._workload.outgoing(number)
        self._planned[number] = planned
        self._trial.sent += 1
        delivery = await self._producer.send(
            self._topic, request.value, key=request.key, partition=request.partition, headers=request.headers
        )
        delivery.add_done_callback(self._note)

    def _note(self, done: "asyncio.Future[Any]") -> None:
        if not done.cancelled() and (failure := done.exception()) is not None:
            self._failure = failure
            self._progress.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise DeliveryError(f"Kafka failed under the load: {self._failure!r}") from self._failure

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            found = await self._consumer.getmany(timeout_ms=_POLL_MS)
            at = loop.time()
            for records in found.values():
                for record in records:
                    self._take(record.key, record.value, at)
            if found:
                self._progress.set()

    def _take(self, key: bytes | None, value: bytes, at: float) -> None:
        number = self._workload.number(key)
        if number is None:
            return
        if number in self._seen:
            self._trial.duplicates += 1
            return
        self._seen.add(number)
        planned = self._planned.pop(number, None)
        if planned is None:
            # Of an earlier load, and given up there.
            return
        self._trial.answered.append(Answered(number, planned, at, value))
        if self._slots is not None:
            self._slots.release()

    async def _drain(self) -> None:
        """Wait for what is unanswered, for as long as any result comes in time."""
        while self._planned:
            self._progress.clear()
            try:
                async with asyncio.timeout(self._give_up_s):
                    await self._progress.wait()
            except TimeoutError:
                break
            self._check()
        self._trial.missing = len(self._planned)

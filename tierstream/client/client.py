"""A client of the topics: producing requests in batches, reading results and other public records."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.config.settings_sections import KafkaSettings
from streams.kafka.admin import TopicError, admin_client
from streams.kafka.clock import utc_now
from streams.kafka.publisher import DeliveryError
from topics.base import Record
from topics.codec import DecodeError, decode, encode
from topics.partitioning import partition_for
from topics.registry import REQUESTS, RESULTS, TopicSpec
from topics.requests import Request
from topics.results import Result

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Record)

_MAX_UNACKNOWLEDGED = 10_000
_LINGER_MS = 10
_POLL_MS = 200

Start = datetime | Literal["beginning", "end"]
"""Where reading begins: at what was published since a moment, at all that is kept, or at what comes from now on."""


async def require_topics(kafka: KafkaSettings, *more: TopicSpec[Record]) -> None:
    """Check that requests can be sent and results read; a producer must not create a topic by accident.

    Args:
        kafka: Where the cluster is.
        more: Further topics that are going to be read.

    Raises:
        TopicError: No broker answers, a topic is missing, or it has another partition count than the settings.
    """
    names = [spec.full_name(kafka.prefix) for spec in (REQUESTS, RESULTS, *more)]
    async with admin_client(kafka) as admin:
        missing = sorted(set(names) - set(await admin.list_topics()))
        if missing:
            raise TopicError(f"{' and '.join(missing)} missing: run `tierstream topics create`")
        for topic in await admin.describe_topics(names):
            partitions = len(topic["partitions"])
            if partitions != kafka.partitions:
                raise TopicError(
                    f"{topic['topic']} has {partitions} partitions, the settings say {kafka.partitions}: "
                    f"set kafka.partitions = {partitions}"
                )


class RequestProducer:
    """Sends requests in batches; a flush, or leaving the context, waits until the broker has them all."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = REQUESTS.full_name(kafka.prefix)
        self._slots = asyncio.Semaphore(_MAX_UNACKNOWLEDGED)
        self._unacknowledged = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._failure: BaseException | None = None
        self._started: AIOKafkaProducer | None = None
        self.delivered = 0
        """Requests that the broker has acknowledged."""

    async def __aenter__(self) -> Self:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=_LINGER_MS,
            max_batch_size=131_072,
            max_request_size=self._kafka.record_max_bytes,
            request_timeout_ms=30_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._started = producer
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._started is None:
            return
        try:
            if exc_type is None:
                await self.flush()
        finally:
            await self._started.stop()
            self._started = None

    async def send(self, request: Request) -> None:
        """Queue a request; waits while too many are unacknowledged.

        Raises:
            DeliveryError: The broker did not take this one or an earlier one.
        """
        if self._started is None:
            raise RuntimeError("the request producer is not started")
        self._check()
        await self._slots.acquire()
        encoded = encode(request)
        try:
            delivery = await self._started.send(
                self._topic,
                encoded.value,
                key=encoded.key,
                partition=partition_for(request.partition_key, self._kafka.partitions),
                headers=encoded.headers,
            )
        except KafkaError as error:
            self._slots.release()
            raise _not_delivered(error) from error
        self._unacknowledged += 1
        self._settled.clear()
        delivery.add_done_callback(self._note)

    async def flush(self) -> None:
        """Wait until all requests sent so far are acknowledged.

        Raises:
            DeliveryError: The broker did not take one of them.
        """
        await self._settled.wait()
        self._check()

    def _note(self, delivery: "asyncio.Future[Any]") -> None:
        self._slots.release()
        self._unacknowledged -= 1
        if not self._unacknowledged:
            self._settled.set()
        failure = asyncio.CancelledError() if delivery.cancelled() else delivery.exception()
        if failure is None:
            self.delivered += 1
        elif self._failure is None:
            self._failure = failure

    def _check(self) -> None:
        if self._failure is not None:
            raise _not_delivered(self._failure) from self._failure


def _not_delivered(error: BaseException) -> DeliveryError:
    return DeliveryError(f"Kafka did not take a request: {error!r}")


class TopicReader(Generic[M]):
    """Reads the records of a topic, committed ones only, outside any consumer group.

    Args:
        spec: The topic; its partition keys are request ids.
        kafka: Where the cluster is.
        start: Where to begin.
        partitions: Which partitions; None: all.
        keep: Given a request id, whether its records are wanted; others are passed over without being decoded.
    """

    def __init__(
        self,
        spec: TopicSpec[M],
        kafka: KafkaSettings,
        *,
        start: Start = "end",
        partitions: Iterable[int] | None = None,
        keep: Callable[[str], bool] | None = None,
    ) -> None:
        self._spec = spec
        self._kafka = kafka
        self._start = start
        numbers = range(kafka.partitions) if partitions is None else partitions
        self._partitions = [TopicPartition(spec.full_name(kafka.prefix), number) for number in numbers]
        self._keep = keep
        self._ends: dict[TopicPartition, int] = {}
        self._started: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=self._kafka.record_max_bytes,
        )
        self._started = consumer
        try:
            await consumer.start()
            consumer.assign(self._partitions)
            await self.aim_at_end()
            await self._seek()
        except BaseException:
            await consumer.stop()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._started is not None:
            await self._started.stop()
            self._started = None

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        if self._started is None:
            raise RuntimeError(f"the reader of {self._spec.name} is not started")
        return self._started

    async def aim_at_end(self) -> None:
        """Make the end of the log, as it is now, what `caught_up` is about."""
        self._ends = await self._consumer.end_offsets(self._partitions)

    async def caught_up(self) -> bool:
        """Whether everything has been read up to the end that was aimed at, first when the reader was entered."""
        for partition, end in self._ends.items():
            if await self._consumer.position(partition) < end:
                return False
        return True

    async def poll(self, timeout_ms: int = _POLL_MS) -> list[M]:
        """Return the next records; none if nothing came in `timeout_ms`."""
        batches = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=2000)
        return [
            decoded
            for records in batches.values()
            for record in records
            if self._is_wanted(record.key) and (decoded := self._decode(record)) is not None
        ]

    async def __aiter__(self) -> AsyncIterator[M]:
        """Yield records for ever, as they are published."""
        while True:
            for record in await self.poll():
                yield record

    async def until_end(self) -> AsyncIterator[M]:
        """Yield the records up to the end that was aimed at."""
        while not await self.caught_up():
            for record in await self.poll():
                yield record

    def _is_wanted(self, key: bytes | None) -> bool:
        return self._keep is None or key is None or self._keep(key.decode(errors="replace"))

    def _decode(self, record: Any) -> M | None:  # noqa: ANN401 - aiokafka is untyped
        try:
            return decode(self._spec, record.value, record.headers).record
        except DecodeError as error:
            place = (record.topic, record.partition, record.offset)
            log.warning("%s, partition %d, offset %d can't be read: %s", *place, error.message)
            return None

    async def _seek(self) -> None:
        consumer = self._consumer
        starts: dict[TopicPartition, int] = dict(self._ends)
        if self._start == "beginning":
            starts = await consumer.beginning_offsets(self._partitions)
        elif isinstance(self._start, datetime):
            moment = max(int(self._start.timestamp() * 1000), 0)
            found = await consumer.offsets_for_times(dict.fromkeys(self._partitions, moment))
            starts.update({partition: at.offset for partition, at in found.items() if at is not None})
        for partition, offset in starts.items():
            consumer.seek(partition, offset)


class ResultReader(TopicReader[Result]):
    """Reads published results; see TopicReader.

    Example:
        async with ResultReader(kafka, start="beginning") as reader:
            async for result in reader: ...
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        start: Start = "end",
        partitions: Iterable[int] | None = None,
        keep: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__(RESULTS, kafka, start=start, partitions=partitions, keep=keep)


async def find_result(kafka: KafkaSettings, request_id: str, *, lookback: timedelta, timeout_s: float) -> Result | None:
    """Look for the result of a request, back over `lookback` and then on until it comes; None after `timeout_s`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    reader = ResultReader(
        kafka,
        start=utc_now() - lookback,
        partitions=[partition_for(request_id, kafka.partitions)],
        keep=lambda key: key == request_id,
    )
    latest: Result | None = None
    async with reader:
        while True:
            for result in await reader.poll():
                if latest is None or result.revision >= latest.revision:
                    latest = result
            is_over = latest is not None or asyncio.get_running_loop().time() >= deadline
            if is_over and await reader.caught_up():
                return latest

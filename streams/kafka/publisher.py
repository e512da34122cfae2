"""Publishing that awaits delivery: what `publish` returned for is acknowledged by all in-sync replicas."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

import streams.kafka.closing_connections  # noqa: F401 - changes what aiokafka does
from streams.config.settings_sections import KafkaSettings
from streams.kafka.clock import BrokerClock
from topics.base import Record
from topics.codec import Encoded, Headers, encode
from topics.partitioning import partition_for
from topics.registry import TopicSpec

TRACE_HEADER = "traceparent"
_LONGEST_TRACE = 256
"""Bytes. W3C's has 55; what follows from a request carries it in each record, so it must not be of any size."""
_BATCH_BYTES = 131_072
_MOST_AROUND_VALUE = 4096
"""Bytes of key, headers and framing at the most: what has as much room to its limit need not be counted."""
_LOG_APPEND_TIME = 1
"""The broker's timestamp; another type would be our own."""


class DeliveryError(Exception):
    """The broker did not take a record; the process has to stop, so that its source is delivered again."""


class RecordTooLargeError(Exception):
    """A record is larger than its topic takes. No restart makes it smaller: what asked for it has to end without it."""

    def __init__(self, message: str, record: Record) -> None:
        super().__init__(message)
        self.record = record


@dataclass(frozen=True)
class Output:
    """A record on its way to a topic."""

    topic: TopicSpec[Record]
    record: Record
    trace: bytes | None = None
    """Its `traceparent` header, where it differs from that of the records it leaves with."""

    @cached_property
    def encoded(self) -> Encoded:
        """The record as it travels, without its trace."""
        return encode(self.record)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where the broker put a record."""

    partition: int
    offset: int
    timestamp_ms: int


class Publisher:
    """An idempotent producer that places every record by murmur2 of its partition key.

    Args:
        kafka: The cluster and its topics.
        transactional_id: For whoever runs transactions.
        clock: Is told of each acknowledgement.
    """

    def __init__(
        self, kafka: KafkaSettings, *, transactional_id: str | None = None, clock: BrokerClock | None = None
    ) -> None:
        self._kafka = kafka
        self._clock = clock
        self._transactional_id = transactional_id
        self._started: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        self._started = await started_producer(self._kafka, transactional_id=self._transactional_id)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._started is not None:
            await self._started.stop()
            self._started = None

    @property
    def producer(self) -> AIOKafkaProducer:
        """The producer below, for whoever runs transactions.

        Raises:
            RuntimeError: Before the publisher was entered.
        """
        if self._started is None:
            raise RuntimeError("the publisher is not started")
        return self._started

    def check_sizes(self, outputs: Sequence[Output], *, trace: bytes | None = None) -> None:
        """See to it that each record fits into its topic.

        Raises:
            RecordTooLargeError: If one does not; the message names its topic and its size.
        """
        for output in outputs:
            encoded = output.encoded
            if len(encoded.value) + _MOST_AROUND_VALUE <= self._kafka.record_max_bytes:
                continue
            # Counted as the producer does, which is more than the broker counts. Asking the broker would be too late:
            # it refuses a batch with all that is in it, and whatever the producer sends to the partition afterwards.
            size = DefaultRecordBatchBuilder.estimate_size_in_bytes(encoded.key, encoded.value, _headers(output, trace))
            if size > self._kafka.record_max_bytes:
                topic, limit = output.topic.name, self._kafka.record_max_bytes
                message = f"the record for {topic} has {size} bytes, at most {limit} are accepted"
                raise RecordTooLargeError(message, output.record)

    async def publish(self, outputs: Sequence[Output], *, trace: bytes | None = None) -> list[Delivered]:
        """Send the records together and wait until all are acknowledged.

        Raises:
            RecordTooLargeError: If any of them is larger than its topic takes; nothing was sent.
            DeliveryError: If any of them was not acknowledged.
        """
        self.check_sizes(outputs, trace=trace)
        sent_at = time.monotonic()
        pending: list[asyncio.Future[Any]] = []
        try:
            for output in outputs:
                pending.append(await self._send(output, trace))  # noqa: PERF401 - those before a failure are looked after
            # Most come with the first: one after the other wakes up once, where `gather` does for each of them.
            acknowledged = [await one for one in pending]
        except BaseException as error:
            for one in pending:
                one.add_done_callback(_retrieve)
            if isinstance(error, KafkaError):
                raise DeliveryError(f"the broker did not acknowledge a record: {error!r}") from error
            raise
        told = [one.timestamp for one in acknowledged if one.timestamp_type == _LOG_APPEND_TIME]
        if self._clock is not None and told:
            self._clock.learn(max(told), sent_at)
        return [Delivered(one.partition, one.offset, one.timestamp) for one in acknowledged]

    async def withdraw(self, topic: TopicSpec[Any], *keys: str) -> None:
        """Write tombstones to a compacted topic, after which nothing is said under the keys any more.

        Raises:
            DeliveryError: The broker did not take one.
        """
        name, partitions = topic.full_name(self._kafka.prefix), self._kafka.partitions
        try:
            for key in keys:
                await self.producer.send_and_wait(
                    name, None, key=key.encode(), partition=partition_for(key, partitions)
                )
        except KafkaError as error:
            raise DeliveryError(f"the broker did not acknowledge a tombstone: {error!r}") from error

    async def _send(self, output: Output, trace: bytes | None) -> "asyncio.Future[Any]":
        sent: asyncio.Future[Any] = await self.producer.send(
            output.topic.full_name(self._kafka.prefix),
            output.encoded.value,
            key=output.encoded.key,
            partition=partition_for(output.record.partition_key, self._kafka.partitions),
            headers=_headers(output, trace),
        )
        return sent


async def started_producer(
    kafka: KafkaSettings, *, linger_ms: int = 0, transactional_id: str | None = None
) -> AIOKafkaProducer:
    """Start an idempotent producer whose acknowledgements are of all in-sync replicas.

    Args:
        kafka: Where the cluster is.
        linger_ms: How long a record waits for others to travel with.
        transactional_id: For whoever runs transactions.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached, or refuses; nothing is left open.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        transactional_id=transactional_id,
        # An owner that died in a transaction holds up read_committed consumers for this long at most.
        transaction_timeout_ms=15_000,
        linger_ms=linger_ms,
        # The broker's limit, which a worker sees to at its start, is one on batches.
        max_batch_size=min(_BATCH_BYTES, kafka.record_max_bytes),
        max_request_size=kafka.record_max_bytes,
        request_timeout_ms=30_000,
    )
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer


def trace_of(headers: Headers) -> bytes | None:
    """Return the `traceparent` that what follows from a record carries too; None where there is none to pass on."""
    trace = dict(headers).get(TRACE_HEADER)
    return trace if trace is not None and len(trace) <= _LONGEST_TRACE else None


def _retrieve(acknowledgement: "asyncio.Future[Any]") -> None:
    """Look at a failure that nobody waits for any more, or the event loop would log it."""
    if not acknowledgement.cancelled():
        acknowledgement.exception()


def _headers(output: Output, trace: bytes | None) -> list[tuple[str, bytes]]:
    trace = output.trace or trace
    return [*output.encoded.headers, (TRACE_HEADER, trace)] if trace else output.encoded.headers

"""Publishing that awaits delivery: what `publish` returned for is acknowledged by all in-sync replicas."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.clock import BrokerClock
from streams.sections import KafkaSettings
from topics.base import Record
from topics.codec import Encoded, encode
from topics.partitioning import partition_for
from topics.registry import TopicSpec

TRACE_HEADER = "traceparent"
_LOG_APPEND_TIME = 1
"""The broker's timestamp; another type would be our own."""


class DeliveryError(Exception):
    """The broker did not take a record; the process has to stop, so that its source is delivered again."""


@dataclass(frozen=True, slots=True)
class Output:
    """A record on its way to a topic."""

    topic: TopicSpec[Record]
    record: Record
    trace: bytes | None = None
    """Its `traceparent` header, where it differs from that of the records it leaves with."""


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
        # The producer binds itself to the running loop when it is made.
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            transactional_id=self._transactional_id,
            # An owner that died in a transaction holds up read_committed consumers for this long at most.
            transaction_timeout_ms=15_000,
            linger_ms=0,
            max_batch_size=131_072,
            max_request_size=self._kafka.record_max_bytes,
            request_timeout_ms=30_000,
        )
        await producer.start()
        self._started = producer
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

    async def publish(self, outputs: Sequence[Output], *, trace: bytes | None = None) -> list[Delivered]:
        """Send the records together and wait until all are acknowledged.

        Raises:
            DeliveryError: If any of them was not.
        """
        sent_at = time.monotonic()
        try:
            pending = [await self._send(output, trace) for output in outputs]
            acknowledged = await asyncio.gather(*pending)
        except KafkaError as error:
            raise DeliveryError(f"the broker did not acknowledge a record: {error!r}") from error
        told = [one.timestamp for one in acknowledged if one.timestamp_type == _LOG_APPEND_TIME]
        if self._clock is not None and told:
            self._clock.learn(max(told), sent_at)
        return [Delivered(one.partition, one.offset, one.timestamp) for one in acknowledged]

    async def _send(self, output: Output, trace: bytes | None) -> Any:  # noqa: ANN401 - aiokafka is untyped
        encoded = encode(output.record)
        return await self.producer.send(
            output.topic.full_name(self._kafka.prefix),
            encoded.value,
            key=encoded.key,
            partition=partition_for(output.record.partition_key, self._kafka.partitions),
            headers=_headers(encoded, output.trace or trace),
        )


def _headers(encoded: Encoded, trace: bytes | None) -> list[tuple[str, bytes]]:
    return [*encoded.headers, (TRACE_HEADER, trace)] if trace else encoded.headers

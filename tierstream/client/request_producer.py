"""Producing requests in batches."""

import asyncio
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.config.settings_sections import KafkaSettings
from streams.kafka.publisher import DeliveryError, started_producer
from topics.codec import encode
from topics.partitioning import partition_for
from topics.registry import REQUESTS
from topics.requests import Request

_MAX_UNACKNOWLEDGED = 10_000
_LINGER_MS = 10


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
        self._started = await started_producer(self._kafka, linger_ms=_LINGER_MS)
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

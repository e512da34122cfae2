"""Requests on their way to Kafka, and their answers on the way back: the door as a client of the topics.

What a process knows it has from the topics alone, and any other process knows it too. An answer is found in one of two
ways: it is read as it is published, by who waits for it; or the markers of what is settled tell that it was published
before, and where.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import dropwhile
from typing import Final

from aiokafka.errors import KafkaError

from streams.config.settings import Settings
from streams.kafka.clock import BrokerClock, Clock
from streams.kafka.publisher import Delivered, DeliveryError, Output, Publisher, RecordTooLargeError
from streams.runtime.result_index import ResultIndex
from streams.runtime.settled_requests import SettledRequests
from tierstream.client.record_reader import RecordReader
from tierstream.serve.answer_board import AnswerBoard, News, Waiter
from tierstream.serve.places import Place, unknown
from tierstream.serve.surface import DoorError
from topics.base import from_millis
from topics.events import Chunk
from topics.feedback import Cancellation
from topics.partitioning import partition_for
from topics.registry import CHUNKS, FEEDBACK, REQUESTS
from topics.requests import Request
from topics.results import Result, Settled

_PATIENCE_S: Final = 15.0
"""Beyond a request's deadline: what has expired has a result that says so, once a worker comes to it."""
_RETRY_S: Final = 2.0


class RecordSender:
    """Produces records. What fails for good does so for one record: the next one has a new producer.

    Args:
        settings: Where the cluster is, and how large records of others may be.
        clock: Is told of each acknowledgement.
    """

    def __init__(self, settings: Settings, clock: BrokerClock) -> None:
        self._settings = settings
        self._clock = clock
        self._opening = asyncio.Lock()
        self._publisher: Publisher | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def send(self, output: Output) -> Delivered:
        """Return when all in-sync replicas have the record.

        Raises:
            DoorError: 413, it is too large; 503, Kafka does not take it now.
        """
        limit = self._settings.kafka.request_max_bytes
        if len(output.encoded.value) > limit:
            raise DoorError(413, "request_too_large", f"the request is too large: at most {limit} bytes are accepted")
        return await self.publish(output)

    async def publish(self, output: Output) -> Delivered:
        """Return when all in-sync replicas have a record.

        Raises:
            DoorError: 413, it is too large; 503, Kafka does not take it now.
        """
        publisher = None
        try:
            publisher = await self._opened()
            [delivered] = await publisher.publish([output])
        except RecordTooLargeError as error:
            raise DoorError(413, "request_too_large", str(error)) from None
        except (DeliveryError, KafkaError, OSError):
            self._drop(publisher)
            raise without_kafka() from None
        return delivered

    async def close(self) -> None:
        """Leave the broker."""
        self._drop(self._publisher)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _opened(self) -> Publisher:
        async with self._opening:
            if self._publisher is None:
                publisher = Publisher(self._settings.kafka, clock=self._clock)
                await publisher.__aenter__()
                self._publisher = publisher
            return self._publisher

    def _drop(self, publisher: Publisher | None) -> None:
        """Use another producer from now on; what this one still has in hand takes its time to fail too."""
        if publisher is not None and self._publisher is publisher:
            self._publisher = None
            leaving = asyncio.create_task(publisher.__aexit__(None, None, None))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


class PendingAnswer:
    """A request that Kafka has taken, and what comes of it."""

    def __init__(self, exchange: "Exchange", request: Request, delivered: Delivered, waiter: Waiter) -> None:
        self.place = Place(delivered.partition, delivered.offset, request.request_id)
        self._exchange = exchange
        self._request = request
        self._delivered = delivered
        self._waiter = waiter
        self._until = time.monotonic() + exchange.patience_s(request, delivered.timestamp_ms)

    async def result(self) -> Result:
        """Return the result once it is there.

        Raises:
            DoorError: As of `next`.
        """
        while not isinstance(news := await self.next(), Result):
            pass
        return news

    async def result_within(self, seconds: float) -> Result | None:
        """Return the result; None where it takes longer.

        Raises:
            DoorError: As of `next`.
        """
        until = time.monotonic() + seconds
        while (news := await self.next(max(until - time.monotonic(), 0.0))) is not None:
            if isinstance(news, Result):
                return news
        return None

    async def next(self, within_s: float | None = None) -> Chunk | Result | None:
        """Return the next piece of the answer, or the result; None where nothing comes in time.

        Args:
            within_s: Seconds; None: as long as it may take.

        Raises:
            DoorError: 422, another body had the id first; 503, Kafka does not answer; 504, there is no result, though
                its time is up.
        """
        while (news := await self._arrival(within_s)) is not None:
            if isinstance(news, Settled):
                # Its result may have been read before anybody waited for it.
                if (known := await self._exchange.earlier(self._request, self._delivered.timestamp_ms)) is None:
                    continue
                return known
            if isinstance(news, Result):
                await self._exchange.check(news, self._request, self._delivered)
            return news
        return None

    async def last_chunks(self) -> list[Chunk]:
        """Return the chunks that the result has overtaken: they come by another way, but were published before it.

        Raises:
            DoorError: 503, Kafka does not answer.
        """
        if not self._waiter.wants_chunks:
            return []
        await self._exchange.catch_up()
        return [news for news in self._waiter.rest() if isinstance(news, Chunk)]

    async def chunks(self) -> list[Chunk]:
        """Return the chunks that the log has, as of `Exchange.chunks_of`."""
        return await self._exchange.chunks_of(self._request, self._delivered)

    async def _arrival(self, within_s: float | None) -> News | None:
        left_s = max(self._until - time.monotonic(), 0.0)
        try:
            async with asyncio.timeout(left_s if within_s is None else min(within_s, left_s)):
                return await self._waiter.next()
        except TimeoutError:
            if time.monotonic() < self._until:
                return None
            message = "there is no answer in time; with the same Idempotency-Key a later one can still be had"
            raise DoorError(504, "timeout", message, may_retry=True) from None


class Exchange:
    """Asks, and finds answers.

    Args:
        settings: Of the deployment.
        board: Has the answers as they come.
        sender: Takes records to Kafka.
        settled: Knows which requests have their result.
        results: Knows where those are.
        clock: Current moment.
    """

    def __init__(
        self,
        settings: Settings,
        board: AnswerBoard,
        sender: RecordSender,
        settled: SettledRequests,
        results: ResultIndex,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._board = board
        self._sender = sender
        self._settled = settled
        self._results = results
        self._clock = clock
        settled.listen(lambda marker, _: board.take(marker))

    def patience_s(self, request: Request, asked_ms: int) -> float:
        """Return for how many seconds the answer to a request is waited for that came in at `asked_ms`."""
        deadline = self._settings.deadlines.of(request, asked_ms)
        return deadline.timestamp() - asked_ms / 1000 + _PATIENCE_S

    async def send(self, request: Request) -> Place:
        """Send a request that nobody waits for.

        Raises:
            DoorError: 413 or 503, Kafka does not take it.
        """
        delivered = await self._sender.send(Output(REQUESTS, request))
        return Place(delivered.partition, delivered.offset, request.request_id)

    def is_awaited(self, request_id: str) -> bool:
        """Whether anybody waits for a request here."""
        return self._board.is_awaited(request_id)

    async def cancel(self, request_id: str) -> None:
        """Have no further call be made for a request.

        Raises:
            DoorError: 503, Kafka does not take it.
        """
        await self._sender.send(Output(FEEDBACK, Cancellation(request_id=request_id)))

    async def sent(self, place: Place) -> tuple[Request, Delivered]:
        """Return a request that was sent before, and where and when Kafka took it.

        Raises:
            DoorError: 404, it is not there, or no longer; 503, Kafka does not answer.
        """
        if place.partition >= self._settings.kafka.partitions:
            raise unknown()
        try:
            found = await self._results.asked_at(place.partition, place.offset)
        except (KafkaError, OSError):
            raise without_kafka() from None
        if found is None or found[0].request_id != place.request_id:
            raise unknown()
        return found[0], Delivered(place.partition, place.offset, found[1])

    async def result_of(self, request: Request, delivered: Delivered) -> Result | None:
        """Return the result of a request that was sent before; None where there is none yet.

        Raises:
            DoorError: 404, it had none in time, or it is no longer kept; 422, another body had the id first; 503,
                Kafka does not answer.
        """
        asked_ms = delivered.timestamp_ms
        if (known := await self.earlier(request, asked_ms)) is not None:
            return known
        try:
            # The markers may be known a little late, and whoever asks may have seen the answer by now.
            await self._settled.catch_up(partition_for(request.request_id, self._settings.kafka.partitions))
        except (DeliveryError, KafkaError, OSError):
            raise without_kafka() from None
        if (known := await self.earlier(request, asked_ms)) is not None:
            return known
        window_ms = self._settings.delivery.dedup_window_s * 1000
        if self._clock().timestamp() * 1000 - asked_ms < window_ms:
            return None
        # Older than what is known from the start on: it is looked for.
        if (found := await self._result(request)) is None:
            raise unknown()
        return found

    async def catch_up(self) -> None:
        """Return when who waits has been handed all chunks that were published before.

        Raises:
            DoorError: 503, Kafka does not answer.
        """
        try:
            await self._board.catch_up()
        except (KafkaError, OSError):
            raise without_kafka() from None

    async def chunks_of(self, request: Request, delivered: Delivered) -> list[Chunk]:
        """Return the chunks that the log has of the answer to a request.

        Of a repeat that came while the answer was being written, they are those from the beginning of that call on.

        Raises:
            DoorError: 503, Kafka does not answer.
        """
        asked_ms = delivered.timestamp_ms
        try:
            chunks = [chunk async for chunk in self._chunks_since(request, asked_ms)]
            if chunks and chunks[0].seq:
                # The first copy is no older than its patience, or nothing would be written for it any more.
                since_ms = asked_ms - int(self.patience_s(request, asked_ms) * 1000)
                longer = [chunk async for chunk in self._chunks_since(request, since_ms)]
                # Earlier calls are void: what they said may be why there is a repeat.
                call = chunks[0].call_id
                chunks = list(dropwhile(lambda chunk: chunk.call_id != call, longer))
        except (KafkaError, OSError):
            raise without_kafka() from None
        return chunks

    async def _chunks_since(self, request: Request, since_ms: int) -> AsyncIterator[Chunk]:
        partition = partition_for(request.request_id, self._settings.kafka.partitions)
        reader = RecordReader(
            CHUNKS,
            self._settings.kafka,
            start=from_millis(since_ms),
            partitions=[partition],
            keep=lambda key: key == request.request_id,
        )
        async with reader:
            async for chunk in reader.until_end():
                yield chunk

    @asynccontextmanager
    async def following(self, request: Request, delivered: Delivered) -> AsyncIterator[PendingAnswer]:
        """Wait for what comes of a request that was sent before, for as long as the block lasts."""
        with self._board.place(request.request_id, chunks=request.stream, markers=True) as waiter:
            if (known := await self.result_of(request, delivered)) is not None:
                waiter.give(known)
            yield PendingAnswer(self, request, delivered, waiter)

    @asynccontextmanager
    async def asking(self, request: Request, *, may_be_known: bool) -> AsyncIterator[PendingAnswer]:
        """Send a request, and wait for what comes of it for as long as the block lasts.

        Args:
            request: For `llm.requests`.
            may_be_known: Whether its id was chosen by who asks, so that it may have its result by now.

        Raises:
            DoorError: 413 or 503, Kafka does not take it; 422, its id was used for another body.
        """
        with self._board.place(request.request_id, chunks=request.stream, markers=may_be_known) as waiter:
            delivered = await self._sender.send(Output(REQUESTS, request))
            if may_be_known and (known := await self.earlier(request, delivered.timestamp_ms)) is not None:
                waiter.give(known)
            yield PendingAnswer(self, request, delivered, waiter)

    async def earlier(self, request: Request, asked_ms: int) -> Result | None:
        """Return the result that a copy of a request has; None where none has one yet, as far as is known.

        Args:
            request: A copy.
            asked_ms: When it came in, ms since the epoch.

        Raises:
            DoorError: 422, the id was used for another body; 503, Kafka does not answer.
        """
        if not self._settled.knows(request.request_id, 0, asked_ms):
            return None
        found = await self._result(request)
        if found is None:
            raise _reused()
        return found

    async def check(self, result: Result, request: Request, delivered: Delivered) -> None:
        """See to it that a result is of this request, and not of another body that had its id first.

        Raises:
            DoorError: 422, it is not; 503, Kafka does not answer.
        """
        source = result.source
        if (source.partition, source.offset) == (delivered.partition, delivered.offset):
            return
        try:
            answered = await self._results.request(source)
        except (KafkaError, OSError):
            raise without_kafka() from None
        if answered is None or answered.digest() != request.digest():
            raise _reused()

    async def _result(self, request: Request) -> Result | None:
        try:
            return await self._results.result(request.request_id, request.digest())
        except (DeliveryError, KafkaError, OSError):
            raise without_kafka() from None


def without_kafka() -> DoorError:
    """Say that Kafka can't be reached, or does not take what it is given."""
    return DoorError(503, "unavailable", "Kafka does not answer; try again", retry_after_s=_RETRY_S, may_retry=True)


def _reused() -> DoorError:
    message = "the Idempotency-Key was used before with another body; use a new one for a new request"
    return DoorError(422, "idempotency_key_reused", message, may_retry=False)

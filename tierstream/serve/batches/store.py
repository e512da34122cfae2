"""Files and batches as the door has them: read from the topics, written to the topics, and nothing kept beside."""

import contextlib
from array import array
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.batches.batch_log import BatchLog, BatchState
from streams.batches.contents import ContentGoneError, Contents
from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.publisher import Delivered, Output
from streams.kafka.record_fetcher import RecordFetcher
from tierstream.serve.batches.objects import ShownFile, batch_of, result_files
from tierstream.serve.exchange import without_kafka
from tierstream.serve.places import unknown
from tierstream.serve.surface import DoorError
from topics.base import Record
from topics.batches import Batch, BatchAnswers, BatchLine, BatchLines, File, FileData
from topics.codec import DecodeError, decode
from topics.partitioning import partition_for
from topics.registry import BATCHES, FILES, RESULTS
from topics.results import Result

_NOWHERE: Final = -1


class Sends(Protocol):
    """Takes records to Kafka."""

    def publish(self, output: Output) -> Awaitable[Delivered]:
        """Return when all in-sync replicas have a record, or raise a DoorError."""


@dataclass(frozen=True, slots=True)
class AnsweredLine:
    """A line of a batch, and what is known of its result.

    Attributes:
        number: From 0.
        line: As it was asked.
        result_offset: Where its result is; None: it has none.
        ok: Whether there is an answer in it.
    """

    number: int
    line: BatchLine
    result_offset: int | None
    ok: bool


class BatchStore:
    """Finds and writes files and batches. Every method raises a DoorError of 503 where Kafka does not answer.

    Args:
        settings: Of the deployment.
        log: Knows which there are.
        contents: Has what is in them.
        results: Fetches results by their place.
        sender: Takes records to Kafka.
        clock: Current moment.
    """

    def __init__(
        self,
        settings: Settings,
        log: BatchLog,
        contents: Contents,
        results: RecordFetcher,
        sender: Sends,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.log = log
        self._contents = contents
        self._results = results
        self._sender = sender

    async def note(self, record: Record) -> None:
        """Write a record of a file or a batch; from here on this process knows it."""
        delivered = await self._sender.publish(Output(BATCHES, record))
        await self.log.reach(record.partition_key, delivered.offset)

    async def keep(self, record: FileData | BatchLines) -> int:
        """Write content; returns its offset."""
        return (await self._sender.publish(Output(FILES, record))).offset

    async def catch_up(self) -> None:
        """Know what any process of the door has written by now."""
        with _kafka_answering():
            await self.log.catch_up()

    async def file(self, file_id: str, owner: str) -> File:
        """Return a file that was uploaded.

        Raises:
            DoorError: 404, there is none, or it is somebody else's.
        """
        await self._know(file_id, is_known=self.log.file(file_id) is not None)
        file = self.log.file(file_id)
        if file is None or file.owner != owner:
            raise unknown()
        return file

    async def batch(self, batch_id: str, owner: str) -> BatchState:
        """Return a batch.

        Raises:
            DoorError: 404, there is none, or it is somebody else's.
        """
        await self._know(batch_id, is_known=self.log.batch(batch_id) is not None)
        state = self.log.batch(batch_id)
        if state is None or state.batch.owner != owner:
            raise unknown()
        return state

    async def results_of(self, file_id: str, owner: str) -> tuple[BatchState, ShownFile]:
        """Return the batch whose results a file holds, and that file.

        Raises:
            DoorError: 404, there is none, or it is somebody else's.
        """
        found = batch_of(file_id)
        if found is None or self.log.is_deleted(file_id):
            raise unknown()
        state = await self.batch(found[0], owner)
        for file in result_files(state.batch.batch_id, state.ended) if state.ended else ():
            if file.file_id == file_id:
                return state, file
        raise unknown()

    async def files(self, owner: str) -> list[ShownFile]:
        """List the files of a key, the newest first, those with results among them."""
        await self.catch_up()
        found = [ShownFile.of(file) for file in self.log.files(owner)]
        for state in self.log.batches(owner):
            of_results = result_files(state.batch.batch_id, state.ended) if state.ended else ()
            found += [file for file in of_results if not self.log.is_deleted(file.file_id)]
        return sorted(found, key=lambda file: file.created_at, reverse=True)

    async def data(self, file: File) -> AsyncIterator[bytes]:
        """Yield what is in a file, piece by piece.

        Raises:
            DoorError: 404, it is no longer kept.
        """
        for offset in file.offsets:
            with _kafka_answering():
                piece = await self._contents.read(FileData, file.file_id, offset)
            yield piece.data

    async def lines(self, state: BatchState) -> AsyncIterator[AnsweredLine]:
        """Yield the lines of a batch, in order.

        Raises:
            DoorError: 404, they are no longer kept.
        """
        batch = state.batch
        offsets, oks = await self._answers(state)
        for stretch in batch.stretches:
            with _kafka_answering():
                read = await self._contents.read(BatchLines, batch.batch_id, stretch.offset)
            for number, line in enumerate(read.lines, read.first):
                offset = offsets[number]
                yield AnsweredLine(number, line, None if offset == _NOWHERE else offset, bool(oks[number]))

    async def result(self, batch: Batch, line: int, offset: int) -> Result | None:
        """Return the result of a line that is at an offset; None where it is no longer kept."""
        kafka, request_id = self.settings.kafka, batch.request_id(line)
        tp = TopicPartition(RESULTS.full_name(kafka.prefix), partition_for(request_id, kafka.partitions))
        with _kafka_answering():
            raw = await self._results.record_at(tp, offset)
        with contextlib.suppress(DecodeError):
            result = None if raw is None else decode(RESULTS, raw.value, raw.headers).record
            if result is not None and result.request_id == request_id:
                return result
        return None

    async def close(self) -> None:
        """Leave the broker."""
        await self._contents.close()
        await self._results.close()

    async def _answers(self, state: BatchState) -> tuple["array[int]", bytearray]:
        """Return by line where the results are, and whether there is an answer in them; the first of each counts."""
        total = state.batch.total
        offsets, oks = array("q", [_NOWHERE]) * total, bytearray(total)
        for place in state.answers_at:
            with _kafka_answering():
                written = await self._contents.read(BatchAnswers, state.batch.batch_id, place)
            for answer in written.answers:
                if offsets[answer.line] == _NOWHERE:
                    offsets[answer.line], oks[answer.line] = answer.offset, answer.ok
        return offsets, oks

    async def _know(self, key: str, *, is_known: bool) -> None:
        """What is not known may have been written by another process a moment ago."""
        if not is_known:
            with _kafka_answering():
                await self.log.catch_up([partition_for(key, self.settings.kafka.partitions)])


def new_batch_store(settings: Settings, sender: Sends, clock: Clock) -> BatchStore:
    """Make the store of a deployment; its log has to be followed."""
    kafka = settings.kafka
    return BatchStore(settings, BatchLog(settings), Contents(kafka), RecordFetcher(kafka, RESULTS), sender, clock)


@contextlib.contextmanager
def _kafka_answering() -> Iterator[None]:
    try:
        yield
    except ContentGoneError:
        raise unknown() from None
    except (KafkaError, OSError):
        raise without_kafka() from None


def not_a_batch(message: str, param: str) -> DoorError:
    """Say what is wrong with what a batch or a file is to be made of."""
    return DoorError(400, "invalid_request", message, param=param)

"""What is known of files and batches: `llm.batches`, folded and followed. The door reads it, and who serves batches."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from aiokafka import TopicPartition

from streams.config.settings import Settings
from streams.kafka.admin import retention_ms
from streams.kafka.topic_reader import RawRecord, TopicReader, partitions_of
from topics.base import Record
from topics.batches import Batch, BatchCancelled, BatchEnded, BatchProgress, BatchStatus, File, FileDeleted
from topics.codec import DecodeError, decode
from topics.partitioning import partition_for
from topics.registry import BATCHES


@dataclass(slots=True, eq=False)
class BatchState:
    """How far a batch is."""

    batch: Batch
    created_ms: int
    """When its record was appended, ms since the epoch; there is no result of it before."""
    sent: int = 0
    """No line from here on has been sent."""
    completed: int = 0
    failed: int = 0
    answers_at: list[int] = field(default_factory=list)
    """Where its answers are, by offset."""
    results_read: tuple[int, ...] = ()
    """Up to where results need not be read again, by partition; empty: since the batch was made."""
    cancelled_at: datetime | None = None
    ended: BatchEnded | None = None

    def note(self, record: Record) -> None:
        """Take in a record of the batch. Several processes may have written some: each adds to what is known."""
        match record:
            case BatchProgress():
                self.sent = max(self.sent, record.sent)
                self.completed = max(self.completed, record.completed)
                self.failed = max(self.failed, record.failed)
                self.answers_at.extend(record.answers_at)
                before = self.results_read or (0,) * len(record.results_read)
                self.results_read = tuple(map(max, before, record.results_read))
            case BatchCancelled():
                self.cancelled_at = self.cancelled_at or record.at
            case BatchEnded():
                self.ended = self.ended or record


class BatchLog:
    """Knows every file and batch that is kept.

    Args:
        settings: Where the cluster is, and how long it keeps records.
        reader: Of committed records; None: one of the cluster that the settings name.
    """

    def __init__(self, settings: Settings, reader: TopicReader | None = None) -> None:
        self._kafka = settings.kafka
        self._kept_ms = retention_ms(settings)
        self._reader = reader or TopicReader(settings.kafka)
        self._batches: dict[str, BatchState] = {}
        self._files: dict[str, tuple[File, int]] = {}
        self._deleted: dict[str, int] = {}
        """When files were deleted, ms since the epoch: those of results have no record that could be dropped."""
        self._positions: dict[TopicPartition, int] = {}
        self._moved = asyncio.Condition()

    async def run(self, ready: asyncio.Event) -> None:
        """Follow the topic until cancelled; sets `ready` when all is known that was there at the beginning.

        Raises:
            aiokafka.errors.KafkaError: The broker refuses to be read.
        """
        tps = partitions_of(BATCHES, self._kafka)
        ends = await self._reader.end_offsets(tps)
        async with aclosing(self._reader.follow(tps, since_ms=0, lag_ms=0)) as following:
            async for tp, records, position in following:
                for record in records:
                    self.note(record)
                async with self._moved:
                    self._positions[tp] = position
                    self._moved.notify_all()
                if not ready.is_set() and self._has_reached(ends.items()):
                    ready.set()

    async def catch_up(self, numbers: Iterable[int] | None = None) -> None:
        """Return when all is known that some partitions hold at this moment; None: all partitions.

        Raises:
            aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        """
        wanted = None if numbers is None else set(numbers)
        tps = [tp for tp in partitions_of(BATCHES, self._kafka) if wanted is None or tp.partition in wanted]
        await self._until((await self._reader.end_offsets(tps)).items())

    async def reach(self, key: str, offset: int) -> None:
        """Return when the record at an offset is known, in the partition of a file or a batch."""
        tp = TopicPartition(BATCHES.full_name(self._kafka.prefix), partition_for(key, self._kafka.partitions))
        await self._until([(tp, offset + 1)])

    def note(self, raw: RawRecord) -> None:
        """Take in a record; a value that is none is passed over."""
        try:
            record = decode(BATCHES, raw.value, raw.headers).record
        except DecodeError:
            return
        match record:
            case Batch():
                self._forget(raw.timestamp)
                self._batches.setdefault(record.batch_id, _begun(record, raw.timestamp))
            case File():
                self._forget(raw.timestamp)
                self._files[record.file_id] = (record, raw.timestamp)
            case FileDeleted():
                self._forget(raw.timestamp)
                self._files.pop(record.file_id, None)
                self._deleted[record.file_id] = raw.timestamp
            case BatchProgress() | BatchCancelled() | BatchEnded():
                # Of a batch that is no longer kept the last records may still be there.
                if (state := self._batches.get(record.batch_id)) is not None:
                    state.note(record)

    def batch(self, batch_id: str) -> BatchState | None:
        """Return what is known of a batch."""
        return self._batches.get(batch_id)

    def file(self, file_id: str) -> File | None:
        """Return a file that is there."""
        found = self._files.get(file_id)
        return None if found is None else found[0]

    def is_deleted(self, file_id: str) -> bool:
        """Whether a file was deleted."""
        return file_id in self._deleted

    def batches(self, owner: str | None = None) -> list[BatchState]:
        """List batches, the newest first; None: whoever made them."""
        found = (state for state in self._batches.values() if owner in {None, state.batch.owner})
        return sorted(found, key=lambda state: (state.batch.created_at, state.batch.batch_id), reverse=True)

    def files(self, owner: str) -> list[File]:
        """List the files of a key, the newest first."""
        found = (file for file, _ in self._files.values() if file.owner == owner)
        return sorted(found, key=lambda file: (file.created_at, file.file_id), reverse=True)

    def open_in(self, numbers: Iterable[int]) -> Iterator[BatchState]:
        """Yield the batches in some partitions that have not ended."""
        wanted = set(numbers)
        for batch_id, state in self._batches.items():
            if state.ended is None and partition_for(batch_id, self._kafka.partitions) in wanted:
                yield state

    def _forget(self, now_ms: int) -> None:
        """Drop what the broker keeps no longer: it is in the order in which it came."""
        oldest = now_ms - self._kept_ms
        while self._batches and (first := next(iter(self._batches.values()))).created_ms < oldest:
            del self._batches[first.batch.batch_id]
        while self._files and next(iter(self._files.values()))[1] < oldest:
            del self._files[next(iter(self._files))]
        while self._deleted and next(iter(self._deleted.values())) < oldest:
            del self._deleted[next(iter(self._deleted))]

    def _has_reached(self, ends: Iterable[tuple[TopicPartition, int]]) -> bool:
        return all(self._positions.get(tp, -1) >= end for tp, end in ends)

    async def _until(self, ends: Iterable[tuple[TopicPartition, int]]) -> None:
        wanted = list(ends)
        async with self._moved:
            await self._moved.wait_for(lambda: self._has_reached(wanted))


def _begun(batch: Batch, created_ms: int) -> BatchState:
    """Return how far a new batch is: one whose file was wrong has ended with that."""
    state = BatchState(batch, created_ms)
    if batch.errors:
        state.ended = BatchEnded(
            batch_id=batch.batch_id, status=BatchStatus.FAILED, completed=0, failed=0, at=batch.created_at
        )
    return state

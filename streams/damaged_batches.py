"""Batches of records that can't be read are passed over, each with one empty record in its place that says so.

A batch whose checksum is wrong, or that its codec refuses, was damaged on a disk or by a producer. aiokafka raises at
such a batch each time that it is fetched, and so a consumer could never get past it. Here it delivers an empty record
with the header `damaged-batch` instead: like any record that can't be read, it becomes a dead letter where others write
the topic, and what stands behind it is read.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka.consumer import fetcher

from topics.codec import DAMAGED_HEADER


@dataclass(frozen=True, slots=True)
class _Damaged:
    """Stands for the records of a batch that can't be read, at the offset of the first of them."""

    offset: int
    timestamp: int
    timestamp_type: int
    headers: tuple[tuple[str, bytes], ...]
    key: None = None
    value: bytes = b""
    checksum: None = None


class _Batch:
    """A batch of which what can't be read is one damaged record."""

    def __init__(self, batch: Any, behind: Any) -> None:  # noqa: ANN401 - aiokafka's, in C
        self._batch = batch
        self._is_intact = bool(batch.validate_crc())
        self.base_offset: int = batch.base_offset
        self.next_offset: int = batch.next_offset
        if not self._is_intact:
            # A checksum covers the number of records, but not where a batch begins.
            said = self.next_offset if behind is None else behind.base_offset
            # To stay where we are would be to stay for ever.
            self.next_offset = max(said, self.base_offset + 1)
        self.producer_id = batch.producer_id if self._is_intact else None
        self.is_control_batch = self._is_intact and batch.is_control_batch
        self.is_transactional = self._is_intact and batch.is_transactional

    def validate_crc(self) -> bool:
        """Say that all is well: whether it is shows in the records."""
        return True

    def __next__(self) -> Any:  # noqa: ANN401 - a control record
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        if not self._is_intact:
            yield self._damaged(self.base_offset, "its checksum is wrong")
            return
        at = self.base_offset
        try:
            for record in self._batch:
                at = record.offset + 1
                yield record
        except Exception as error:  # noqa: BLE001 - each codec has errors of its own
            # Where only bytes that are too many follow the last record, none is missing.
            if at < self.next_offset:
                yield self._damaged(at, f"{type(error).__name__} as it was unpacked")

    def _damaged(self, offset: int, why: str) -> _Damaged:
        detail = f"offsets {offset} to {self.next_offset - 1} of a batch can't be read: {why}"
        # The checksum covers the time too; one that no calendar has would stop whoever shows it.
        timestamp = min(max(self._batch.max_timestamp, 0), int(time.time() * 1000))
        return _Damaged(offset, timestamp, self._batch.timestamp_type, ((DAMAGED_HEADER, detail.encode()),))


class _Batches:
    """The batches of a fetched partition, each made knowing the one behind it."""

    def __init__(self, records: Any) -> None:  # noqa: ANN401 - aiokafka's, in C
        self._records = records
        self._ahead: Any = None

    def has_next(self) -> bool:
        """Whether there is another batch."""
        return self._ahead is not None or bool(self._records.has_next())

    def next_batch(self) -> _Batch:
        """Return the next batch.

        Raises:
            CorruptRecordException: What follows is no batch at all.
        """
        batch = self._ahead or self._records.next_batch()
        self._ahead = self._records.next_batch() if self._records.has_next() else None
        return _Batch(batch, behind=self._ahead)


def pass_over_damaged_batches() -> None:
    """Have every consumer of the process do so from now on.

    aiokafka has no hook for it: what it unpacks a fetched partition with is replaced by a subclass.
    """
    fetcher.PartitionRecords = _PartitionRecords


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc] # aiokafka is untyped
    def __init__(self, tp: Any, records: Any, *more: Any) -> None:  # noqa: ANN401 - aiokafka's
        super().__init__(tp, _Batches(records), *more)

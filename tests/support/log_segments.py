"""The batches of a partition as they stand in the broker's log."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiokafka.record.memory_records import MemoryRecords

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_LENGTH_AT = slice(8, 12)
_OVERHEAD = 12
"""Bytes of a batch that its length does not count: the base offset and the length itself."""


@dataclass(frozen=True)
class StoredBatch:
    """Where a batch stands in its segment's file, and what its header says."""

    file: Path
    start: int
    end: int
    base_offset: int
    codec: str
    is_transactional: bool
    is_control: bool


def stored_batches(partition: Path) -> Iterator[StoredBatch]:
    """Yield the batches in a partition's folder, in order."""
    for file in sorted(partition.glob("*.log")):
        stored, start = file.read_bytes(), 0
        while start < len(stored):
            length = int.from_bytes(stored[start:][_LENGTH_AT], "big")
            end = start + _OVERHEAD + length
            batch = MemoryRecords(stored[start:end]).next_batch()
            yield StoredBatch(
                file,
                start,
                end,
                batch.base_offset,
                CODECS[batch.compression_type],
                batch.is_transactional,
                batch.is_control_batch,
            )
            start = end

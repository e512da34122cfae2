"""What stands in the broker's log: records, batches and bytes by topic, read from the heads of the stored batches."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

_LENGTH_AT: Final = slice(8, 12)
_ATTRIBUTES_AT: Final = slice(21, 23)
_COUNT_AT: Final = slice(57, 61)
_HEAD_BYTES: Final = 61
_OVERHEAD: Final = 12
"""Bytes of a batch that its length does not count: the base offset and the length itself."""
_CONTROL: Final = 0x20
_PARTITION: Final = re.compile(r"(.+)-\d+")

Mark = Mapping[Path, int]
"""How long each segment was."""


class Written(BaseModel):
    """What was written to a topic."""

    model_config = ConfigDict(frozen=True)

    records: int
    """Markers of transactions not among them."""
    batches: int
    """A produce request has one of each partition that it writes to."""
    bytes: int
    """As stored: overhead of batches and markers included."""


class BrokerLog:
    """The log of a broker on this machine.

    Args:
        folder: Its `log.dirs`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mark(self) -> Mark:
        """Note where each segment ends now."""
        return {file: file.stat().st_size for file in self._folder.glob("*/*.log")}

    def since(self, before: Mark) -> dict[str, Written]:
        """Return what was written to each topic after a mark; topics to which nothing was are left out."""
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for file, size in self.mark().items():
            partition = _PARTITION.fullmatch(file.parent.name)
            if partition is None or size == (start := before.get(file, 0)):
                continue
            for records, stored in _batches(file, start, size):
                count = counts[partition[1]]
                count[0] += records
                count[1] += 1
                count[2] += stored
        return {topic: Written(records=r, batches=b, bytes=s) for topic, (r, b, s) in sorted(counts.items())}


def _batches(file: Path, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the records and the bytes of each batch between two places of a segment."""
    with file.open("rb") as segment:
        while start + _HEAD_BYTES <= end:
            segment.seek(start)
            head = segment.read(_HEAD_BYTES)
            length = int.from_bytes(head[_LENGTH_AT], "big") + _OVERHEAD
            control = int.from_bytes(head[_ATTRIBUTES_AT], "big") & _CONTROL
            yield 0 if control else int.from_bytes(head[_COUNT_AT], "big"), length
            start += length

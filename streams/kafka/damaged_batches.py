"""Reading past batches of which no record can be had: a wrong checksum, or bytes that their codec refuses.

aiokafka raises at such a batch, loses what it had read before it and stays where it is, so a consumer ends, and so
does the one that is started after it. From here on a `Damaged` value stands for each lost offset instead; to decode it
is an error like that of any other value, so each consumer does with it what it does with what it can't read. aiokafka
has no hook for it: its consumers of this process, whichever group they belong to, are changed by importing this module.
"""

import time
from collections.abc import Iterator
from typing import Any

import cramjam  # noqa: F401 - without it each record in snappy, lz4 or zstd would pass for damaged
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import ConsumerRecord

from topics.codec import Damaged


class _Batches:
    """The batches of a fetch, and which of them was taken last."""

    def __init__(self, records: Any) -> None:  # noqa: ANN401 - aiokafka is untyped
        self._records = records
        self._ahead: Any = None
        self.taken: Any = None

    def has_next(self) -> bool:
        return self._ahead is not None or bool(self._records.has_next())

    def next_batch(self) -> Any:  # noqa: ANN401
        # None while the records raise: there is no telling then where the next batch would begin.
        self.taken = None
        self.taken, self._ahead = self._ahead or self._records.next_batch(), None
        return self.taken

    def next_base_offset(self) -> int | None:
        """Return where the batch after the one that was taken begins; None where none was fetched."""
        if self._ahead is None and self._records.has_next():
            self._ahead = self._records.next_batch()
        return None if self._ahead is None else int(self._ahead.base_offset)


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc] # aiokafka is untyped
    _records: Any
    next_fetch_offset: int

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        batches = self._records = _Batches(self._records)
        while True:
            try:
                yield from super()._unpack_records()
            except MemoryError:
                raise
            except Exception as error:
                if batches.taken is None:
                    raise
                end = self._end_of_damage(batches, error)
                if end <= self.next_fetch_offset:
                    # Brokers find the batch of an offset by the same header, and may begin with one too early.
                    continue
                for offset in range(self.next_fetch_offset, end):
                    self.next_fetch_offset = offset + 1
                    yield self._stand_in(offset, error)
                # What follows is fetched anew: the end of an aborted transaction may have been in the batch, and
                # then the list of those that came with this fetch is no longer right.
            return

    def _end_of_damage(self, batches: _Batches, error: Exception) -> int:
        following = batches.next_base_offset()
        if following is not None:
            return following
        if isinstance(error, CorruptRecordException):
            # The header may be what is damaged, and an offset beyond the end of the log would reset the consumer.
            return int(self.next_fetch_offset) + 1
        return int(batches.taken.next_offset)

    def _stand_in(self, offset: int, error: Exception) -> ConsumerRecord:
        tp = self._tp
        value = Damaged(f"the batch can't be read: {type(error).__name__}")
        # The header may be what is damaged, and a time that no calendar has would stop whoever shows it.
        timestamp = min(max(self._records.taken.max_timestamp, 0), int(time.time() * 1000))
        return ConsumerRecord(tp.topic, tp.partition, offset, timestamp, 0, None, value, None, -1, 0, ())


fetcher.PartitionRecords = _PartitionRecords

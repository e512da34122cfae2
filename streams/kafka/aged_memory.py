"""What is known of ids, by the age of the request that it was written about.

An id may be used anew once the window has passed, so an id alone names nothing. Two copies are of one request if the
broker appended them within the window of each other; whatever is remembered of the one answers for the other, and for
nothing else. So each entry bears the moment at which its request came in, and is looked up with such a moment.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

_BUCKETS = 8
"""Buckets that a window is cut into: forgetting drops whole ones, and a look-up goes through a few more than these."""


_MOMENT_BYTES = 8


class AgedMemory:
    """Entries of a fixed layout by id and moment, about 170 bytes each.

    They are held as packed bytes, in dictionaries of which each has the requests of one stretch of time: a window may
    have hundreds of thousands of them, which neither the allocator nor the garbage collector should notice.

    Args:
        window: How far apart two copies of one request may be.
        layout: Format of what is kept besides the moment, in the syntax of `struct`, such as `8s`.
    """

    def __init__(self, window: timedelta, layout: str) -> None:
        self._window_ms = max(int(window.total_seconds() * 1000), 1)
        self._bucket_ms = max(self._window_ms // _BUCKETS, 1)
        self._entry = struct.Struct(f"<q{layout}")
        self._buckets: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(len(ids) for ids in self._buckets.values())

    def put(self, key: bytes, asked_ms: int, *values: Any) -> None:  # noqa: ANN401 - of the layout's types
        """Keep what is known of a request that came in at `asked_ms` (ms since the epoch), in place of what was."""
        bucket = self._buckets[asked_ms // self._bucket_ms]
        entry, others = self._entry.pack(asked_ms, *values), bucket.get(key)
        if others is not None:
            kept = [others[i : i + len(entry)] for i in range(0, len(others), len(entry))]
            entry = b"".join(other for other in kept if other[:_MOMENT_BYTES] != entry[:_MOMENT_BYTES]) + entry
        bucket[key] = entry

    def get(self, key: bytes, asked_ms: int) -> tuple[Any, ...] | None:
        """Return what was put for just that moment."""
        bucket = self._buckets.get(asked_ms // self._bucket_ms)
        found = None if bucket is None else bucket.get(key)
        if found is None:
            return None
        return next((entry[1:] for entry in self._entry.iter_unpack(found) if entry[0] == asked_ms), None)

    def find(self, key: bytes, asked_ms: int, until_ms: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield what is known of the copies of a request that came in at `asked_ms`, oldest bucket first.

        Args:
            key: Of the entries.
            asked_ms: When the request came in, ms since the epoch.
            until_ms: Up to which moment entries count; None: a window after that.
        """
        earliest = asked_ms - self._window_ms
        latest = asked_ms + self._window_ms if until_ms is None else max(until_ms, asked_ms + self._window_ms)
        for number in range(earliest // self._bucket_ms, latest // self._bucket_ms + 1):
            bucket = self._buckets.get(number)
            if bucket is not None and (found := bucket.get(key)) is not None:
                for moment, *values in self._entry.iter_unpack(found):
                    if earliest <= moment <= latest:
                        yield tuple(values)

    def forget(self, before_ms: int) -> None:
        """Drop all buckets whose requests all came in before a moment."""
        for number in [number for number in self._buckets if (number + 1) * self._bucket_ms <= before_ms]:
            del self._buckets[number]

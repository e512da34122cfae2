"""Parked records in memory: when each leaves, and up to where a partition may be committed."""

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from streams.runtime.stage import Received
from topics.base import from_millis
from topics.codec import DecodeError, decode
from topics.registry import PARKED
from topics.tasks import Parked, TierTask

_HELD_RECORDS = 500
"""In each partition; what else is due waits in Kafka."""
_HELD_BYTES = 4 * 1024 * 1024
_GRID_S = 0.05
"""Records whose rest ends within the same stretch leave together."""


@dataclass(frozen=True, slots=True)
class Held:
    """A record in memory; `wake` and `expires` are moments of the monotonic clock, in seconds."""

    received: Received
    content: Parked | DecodeError
    wake: float
    """When it leaves."""
    expires: float
    """The deadline of its request."""
    seen: float
    """When it was read, by the same clock."""

    @property
    def since_ms(self) -> int:
        """Since when its task rests: broker append time, ms since the epoch."""
        moved = None if isinstance(self.content, DecodeError) else self.content.since_ms
        return self.received.timestamp if moved is None else moved

    @property
    def task(self) -> TierTask | None:
        """What rests; None where it can't be read."""
        return None if isinstance(self.content, DecodeError) else self.content.task

    @classmethod
    def of(cls, received: Received, *, parked_s: float, monotonic: float, now: datetime) -> Self:
        """Decide when a record leaves that is seen for the first time.

        However wrong a clock may be, it rests for `parked_s` from now at most. What can't be read leaves at once.
        """
        try:
            parked = decode(PARKED, received.value, received.headers).record
        except DecodeError as error:
            return cls(received, error, wake=monotonic, expires=math.inf, seen=monotonic)
        since_ms = received.timestamp if parked.since_ms is None else parked.since_ms
        age_s = (now - from_millis(since_ms)).total_seconds()
        rest_s = min(max(parked_s - age_s, 0.0), parked_s)
        back = math.floor((monotonic + rest_s) / _GRID_S) * _GRID_S
        expires = monotonic + (parked.task.deadline - now).total_seconds()
        return cls(received, parked, wake=min(back, expires), expires=expires, seen=monotonic)


class Hold:
    """The records of one partition that were read and have not left."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        """By offset, in order."""
        self._wakes: list[tuple[float, int]] = []
        self._bytes = 0
        self._next = 0
        self._left = 0
        """The offset up to which some have left."""
        self.position = 0
        """The offset up to which all have left; 0 before anything was read."""
        self.committed = 0
        self.first: int | None = None
        """The offset of the first record that was read; None before one was."""

    def __len__(self) -> int:
        return len(self._held)

    @property
    def has_room(self) -> bool:
        """Whether more may be read."""
        return len(self._held) < _HELD_RECORDS and self._bytes < _HELD_BYTES

    @property
    def next_wake(self) -> float:
        """When the next record leaves; infinity if none is held."""
        return self._wakes[0][0] if self._wakes else math.inf

    def is_in_the_way(self, held: Held) -> bool:
        """Whether others that left wait for this one to be committed, or others can't be read."""
        return held.received.offset < self._left or not self.has_room

    def add(self, held: Held) -> None:
        """Hold a record; the next in its partition."""
        offset = held.received.offset
        self.first = offset if self.first is None else self.first
        self._held[offset] = held
        self._bytes += len(held.received.value or b"")
        self._next = offset + 1
        heapq.heappush(self._wakes, (held.wake, offset))

    def take(self, monotonic: float, most: int) -> list[Held]:
        """Return records that are to leave now, those that wake first in front; each of them once."""
        taken: list[Held] = []
        while len(taken) < most and self.next_wake <= monotonic:
            taken.append(self._held[heapq.heappop(self._wakes)[1]])
        return taken

    def put_back(self, held: Held, wake: float) -> None:
        """Hold on to a record that was taken, until `wake`."""
        heapq.heappush(self._wakes, (wake, held.received.offset))

    def let_go(self, taken: Iterable[Held]) -> None:
        """Note that the outputs of these records are acknowledged."""
        for held in taken:
            del self._held[held.received.offset]
            self._bytes -= len(held.received.value or b"")
            self._left = max(self._left, held.received.offset)
        self.position = next(iter(self._held), self._next)

"""How far a sink is, for those who watch it."""

import time
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from analytics.ledger import Entry


class SinkProgress:
    """What is read and what is in ClickHouse, of each partition that a sink owns."""

    def __init__(self) -> None:
        self.is_failing = False
        """Whether the last write failed, so that it is made again until it succeeds."""
        self.oldest: Entry | None = None
        """The first of the entries that were read and are not in ClickHouse."""
        self._consumer: Any = None
        self._read: Mapping[TopicPartition, int] = {}
        self._stored: dict[TopicPartition, int] = {}

    def begin(self, consumer: Any, read: Mapping[TopicPartition, int]) -> None:  # noqa: ANN401 - aiokafka's, untyped
        """Note where reading begins.

        Args:
            consumer: That reads.
            read: The offset after the last record read, of each partition; looked at from now on.
        """
        self._consumer, self._read, self._stored = consumer, read, dict(read)

    def forget(self) -> None:
        """Note that the partitions may be another process's."""
        self._read, self._stored, self.oldest = {}, {}, None

    def note_stored(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Note up to where the partitions are in ClickHouse; those of another assignment are passed over."""
        self._stored.update((tp, offset) for tp, offset in offsets.items() if tp in self._stored)

    def places(self) -> dict[TopicPartition, tuple[int, int]]:
        """Say of each partition up to where it is in ClickHouse, and where it ends as of the last fetch."""
        found: dict[TopicPartition, tuple[int, int]] = {}
        assignment: Any = self._consumer._subscription.subscription.assignment if self._read else None  # noqa: SLF001
        for tp in assignment.tps if assignment else ():
            state, read = assignment.state_value(tp), self._read.get(tp)
            if read is None or state is None or not state.has_valid_position or state.lso is None:
                continue
            # Behind the last record there may be marks of transactions, which nobody gets.
            is_done = self._stored[tp] == read and state.position >= state.lso
            found[tp] = (state.lso if is_done else self._stored[tp], state.lso)
        return found

    @property
    def lateness_s(self) -> float:
        """Age of the oldest record that was read and is not in ClickHouse, in seconds; 0 where there is none."""
        return 0.0 if self.oldest is None else max(time.time() - self.oldest.position.timestamp_ms / 1000, 0.0)

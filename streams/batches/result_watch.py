"""The results of batches among those of all requests: keys are looked at, and values of batches alone handed on."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

from aiokafka import TopicPartition

from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.topic_reader import RawRecord, TopicReader, partitions_of
from topics.registry import RESULTS

Take = Callable[[int, RawRecord], None]
"""Takes the line that a result is of, and the result."""

_LAG_MS = 50


class ResultWatch:
    """Follows the results from now on, for all batches that a process serves.

    Args:
        settings: Where the cluster is.
        clock: Current moment.
        reader: Of committed records; None: one of the cluster that the settings name.
    """

    def __init__(self, settings: Settings, clock: Clock, reader: TopicReader | None = None) -> None:
        self._tps = partitions_of(RESULTS, settings.kafka)
        self._clock = clock
        self._reader = reader or TopicReader(settings.kafka)
        self._positions: dict[TopicPartition, int] = {}
        self._takers: dict[bytes, Take] = {}

    async def run(self, ready: asyncio.Event) -> None:
        """Follow the results until cancelled; sets `ready` when it is known from where on.

        Raises:
            aiokafka.errors.KafkaError: The broker refuses to be read.
        """
        self._positions.clear()
        now_ms = int(self._clock().timestamp() * 1000)
        async with aclosing(self._reader.follow(self._tps, since_ms=now_ms, lag_ms=_LAG_MS)) as following:
            async for tp, records, position in following:
                for record in records:
                    self._hand_on(record)
                self._positions[tp] = position
                if len(self._positions) == len(self._tps):
                    ready.set()

    @contextmanager
    def handing(self, prefix: str, take: Take) -> Iterator[None]:
        """Hand the results of a batch on, for as long as the block lasts.

        Args:
            prefix: What the ids of its requests begin with.
            take: Is called with each, which may be one that it has seen before.
        """
        key = prefix.encode()
        self._takers[key] = take
        try:
            yield
        finally:
            del self._takers[key]

    async def recall(self, since_ms: int, read: tuple[int, ...]) -> None:
        """Hand on what came before the results were followed; of all batches, for none minds seeing it twice.

        Args:
            since_ms: There is nothing to be found before it, ms since the epoch.
            read: Up to where the partitions have been read; empty: from `since_ms` on.
        """
        for tp in self._tps:
            start = {"since_offset": read[tp.partition]} if len(read) == len(self._tps) else {"since_ms": since_ms}
            async for record in self._reader.read(tp, **start):
                self._hand_on(record)

    def positions(self) -> tuple[int, ...]:
        """Return up to where each partition has been read: what is before has been handed on."""
        return tuple(self._positions[tp] for tp in self._tps)

    def _hand_on(self, record: RawRecord) -> None:
        prefix, _, line = (record.key or b"").rpartition(b"-")
        take = self._takers.get(prefix)
        if take is not None and line.isdigit():
            take(int(line), record)

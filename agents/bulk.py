"""llm.bulk -> batches of providers, and back to the tier tasks. Has bulk requests answered at a lower price.

Who owns a partition gathers the tasks that come there, hands their calls over to the provider as one batch, asks it
from time to time how far it is, and in the end journals each call and sends its task back to its tier. A task is
committed once it stands in a submission, for it may take a day until that has ended; the submissions stand on a log of
their own, so the next owner knows of each batch that is under way.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from aiokafka import ConsumerRebalanceListener, TopicPartition

from streams.bulk.partition import BulkPartition
from streams.kafka.group_consumer import commit_progress, confirm_owner, group_consumer, places_of
from streams.runtime.engine import Engine
from streams.runtime.stage import Received
from streams.telemetry.progress import PartitionName, Place
from topics.registry import BULK

STAGE: Final = "bulk"
_LOOK_S: Final = 0.5
"""How often it looks whether there is something to do."""
_AT_ONCE: Final = 500


class Bulk(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """The consumer of `llm.bulk`.

    Args:
        engine: Of the process.
    """

    is_resting: Final = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._topic = BULK.full_name(engine.settings.kafka.prefix)
        self._partitions: dict[TopicPartition, BulkPartition] = {}
        self._new: set[TopicPartition] = set()
        """Ours, but not known yet."""
        self._consumer: Any = None
        self._assigned = asyncio.Event()
        self._changing = asyncio.Lock()
        """Held by who works on partitions: a rebalance comes at any time."""

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Serve tasks until `stop` is set; what is under way then, the next owner goes on with.

        Raises:
            DeliveryError: The broker did not take a record.
            aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        """
        self._consumer = group_consumer(self._engine.settings, STAGE)
        self._consumer.subscribe([self._topic], listener=self)
        try:
            await self._consumer.start()
            while not stop.is_set():
                found = await self._consumer.getmany(timeout_ms=int(_LOOK_S * 1000), max_records=_AT_ONCE)
                if self._assigned.is_set():
                    on_ready()
                async with self._changing:
                    await self._look(found)
        finally:
            await self._leave()
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - all go at once
        """Serve nothing any more."""
        async with self._changing:
            await self._leave()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Serve the tasks of these partitions."""
        self._new |= set(assigned)
        self._assigned.set()

    @property
    def waiting(self) -> int:
        """How many tasks wait here until they leave."""
        return sum(partition.waiting for partition in self._partitions.values())

    @property
    def submissions(self) -> int:
        """How many submissions are under way here."""
        return sum(partition.submissions for partition in self._partitions.values())

    def places(self) -> Mapping[PartitionName, Place]:
        """Say how far the partitions are that are ours, by what is committed."""

        def done(tp: TopicPartition) -> int | None:
            partition = self._partitions.get(tp)
            return None if partition is None else partition.committed or None

        return {} if self._consumer is None else places_of(self._consumer, done)

    async def _look(self, found: Mapping[TopicPartition, Any]) -> None:
        while self._new:
            tp = self._new.pop()
            confirm = partial(self._confirm, tp)
            partition = self._partitions[tp] = BulkPartition(self._engine, tp, STAGE, confirm)
            await partition.load()
        for tp, records in found.items():
            if tp in self._partitions:
                await self._partitions[tp].take([Received.of(record, tp) for record in records])
        for partition in self._partitions.values():
            await partition.look()
        await commit_progress(self._consumer, self._partitions, "some tasks are read once more")

    async def _confirm(self, tp: TopicPartition) -> None:
        # Before anything was read, how far the owner before has come must not be taken back.
        done = self._partitions[tp].position or await self._consumer.committed(tp)
        await confirm_owner(self._consumer, tp, done or 0)

    async def _leave(self) -> None:
        partitions = list(self._partitions.values())
        self._partitions.clear()
        self._new.clear()
        await asyncio.gather(*(partition.leave() for partition in partitions))

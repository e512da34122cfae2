"""Reading `llm.control`: as it is now, or on and on for what operators say."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing

from aiokafka import TopicPartition

from streams.config.settings_sections import KafkaSettings
from streams.control.control_state import ControlState, Entry, Learned, ModelPlace, Withdrawn, entries_of
from streams.control.rollout import Activation
from streams.kafka.topic_reader import TopicReader, partitions_of
from topics.control import BreakerOrder
from topics.registry import CONTROL

log = logging.getLogger(__name__)


async def read_control(kafka: KafkaSettings) -> ControlState:
    """Read the topic up to its end as it is now.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    state = ControlState()
    async with TopicReader(kafka).opened(partitions_of(CONTROL, kafka)) as cursor:
        ends = await cursor.ends()
        cursor.seek(await cursor.beginnings())
        async for record in cursor.until(ends):
            for entry in entries_of([record]):
                state.add(entry)
    return state


class ControlFollower:
    """Tells the orders of operators as they come, those in force at the start first.

    Args:
        kafka: Where the topic is.
        on_order: Called with each order about a breaker; of several for a target at the start, only with the latest.
        on_models: Awaited with the state at the start, and whenever models or their activation have changed.
        on_learned: Called with each record of what was learned, and with what is taken back, in the order of the topic.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        on_order: Callable[[BreakerOrder], None],
        on_models: Callable[[ControlState], Awaitable[None]] | None = None,
        on_learned: Callable[[Learned | Withdrawn], None] | None = None,
    ) -> None:
        self._kafka = kafka
        self._on_order = on_order
        self._on_models = on_models
        self._on_learned = on_learned

    async def run(self, loaded: asyncio.Event) -> None:
        """Tell what holds now, set `loaded`, and go on following until cancelled.

        Raises:
            aiokafka.errors.KafkaError: The broker can't be reached at the start, or refuses to be read.
        """
        reader, tps = TopicReader(self._kafka), partitions_of(CONTROL, self._kafka)
        state = ControlState()
        entries: list[Entry] = []
        """What was read and not told."""
        positions: dict[TopicPartition, int] = {}
        ends = await reader.end_offsets(tps)
        async with aclosing(reader.follow(tps, since_ms=0, lag_ms=0)) as following:
            async for tp, records, position in following:
                positions[tp] = position
                found = list(entries_of(records))
                entries += found
                if loaded.is_set() and any(isinstance(entry, Activation) for entry in found):
                    # The file was published before, but on another partition, which may be read later.
                    ends = await reader.end_offsets(tps)
                if any(positions.get(tp, -1) < end for tp, end in ends.items()):
                    continue
                if loaded.is_set():
                    await self._tell(entries, state)
                else:
                    await self._tell_all(entries, state)
                    loaded.set()
                entries.clear()

    async def _tell_all(self, entries: Iterable[Entry], state: ControlState) -> None:
        """Tell what holds at the start: of several orders for a target only the latest."""
        for entry in entries:
            state.add(entry)
            self._tell_learned(entry)
        for order in state.orders.values():
            self._on_order(order)
        if self._on_models is not None:
            await self._on_models(state)

    async def _tell(self, entries: Iterable[Entry], state: ControlState) -> None:
        models_changed = False
        for entry in entries:
            self._tell_learned(entry)
            match entry:
                case BreakerOrder():
                    log.info("%s is ordered %s by %s", entry.target, entry.order, entry.by)
                    self._on_order(entry)
                case ModelPlace() | Activation() | Withdrawn():
                    state.add(entry)
                    models_changed = True
        if models_changed and self._on_models is not None:
            await self._on_models(state)

    def _tell_learned(self, entry: Entry) -> None:
        if self._on_learned is not None and isinstance(entry, Learned | Withdrawn):
            self._on_learned(entry)

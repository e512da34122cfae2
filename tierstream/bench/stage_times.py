"""How long each stage held requests up, from the hops that the stages published."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from aiokafka import TopicPartition
from pydantic import BaseModel, ConfigDict

from streams.config.settings_sections import KafkaSettings
from streams.kafka.topic_reader import TopicReader, partitions_of
from tierstream.bench.distribution import Distribution
from topics.registry import HOPS

_QUIET_S: Final = 0.3
"""Hops may leave a moment after the result; so long without any, all have left."""
_TRIES: Final = 20

Offsets = Mapping[TopicPartition, int]


class StageTimes(BaseModel):
    """The steps of one stage, in milliseconds."""

    model_config = ConfigDict(frozen=True)

    steps: int
    queue_ms: Distribution
    """From the broker's append of the record that caused a step to its start."""
    own_ms: Distribution
    """From its start to its end, without waiting for a provider."""


class HopReader:
    """Reads the hops of a stretch of time.

    Args:
        kafka: With the address of the broker.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._tps = partitions_of(HOPS, kafka)
        self._reader = TopicReader(kafka)

    async def here(self) -> Offsets:
        """Return where the hops end now."""
        return await self._reader.end_offsets(self._tps)

    async def since(self, before: Offsets, keys: str) -> dict[str, StageTimes]:
        """Return the times of each stage after a place, in the order in which a request meets them first.

        Args:
            before: The place.
            keys: What the ids of the requests begin with.
        """
        ends = await self._settled_ends()
        queued: dict[str, list[float]] = defaultdict(list)
        own: dict[str, list[float]] = defaultdict(list)
        async with self._reader.opened(self._tps) as cursor:
            cursor.seek(before)
            async for record in cursor.until(ends):
                hops = json.loads(record.value)
                if not hops["request_id"].startswith(keys):
                    continue
                for hop in hops["hops"]:
                    queued[hop["stage"]].append(hop["queue_ms"])
                    own[hop["stage"]].append(_own_ms(hop))
        return {stage: _times(queued[stage], own[stage]) for stage in sorted(own, key=_place)}

    async def _settled_ends(self) -> Offsets:
        ends = await self.here()
        for _ in range(_TRIES):
            await asyncio.sleep(_QUIET_S)
            before, ends = ends, await self.here()
            if ends == before:
                break
        return ends


def _times(queued: list[float], own: list[float]) -> StageTimes:
    queue_ms, own_ms = Distribution.of(queued), Distribution.of(own)
    if queue_ms is None or own_ms is None:
        raise ValueError("a stage without a step has no times")
    return StageTimes(steps=len(own), queue_ms=queue_ms, own_ms=own_ms)


def _own_ms(hop: Mapping[str, Any]) -> float:
    took = datetime.fromisoformat(hop["ended_at"]) - datetime.fromisoformat(hop["started_at"])
    return max(0.0, took.total_seconds() * 1000 - float(hop["provider_ms"]))


def _place(stage: str) -> tuple[int, str]:
    order = ("classify", "infer", "validate", "escalate", "parked", "settle")
    name = stage.partition(":")[0]
    return (order.index(name) if name in order else len(order), stage)

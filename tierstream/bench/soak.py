"""A long run at a share of what the pipeline can do: whether latency, memory and lag stay as they are."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from pydantic import BaseModel, ConfigDict

from streams.config.settings import Settings
from streams.kafka.admin import admin_client
from streams.kafka.topic_reader import Cursor, TopicReader, partitions_of
from streams.runtime.unless import unless
from tierstream.bench.distribution import Distribution
from tierstream.bench.load import Load
from tierstream.bench.processes import ProcessMeter
from tierstream.stage_runs import stage_names
from topics.registry import all_topics

_EVERY_S: Final = 10.0
_SINK: Final = "sink"
_MINUTE_S: Final = 60.0


class SoakSample(BaseModel):
    """Some seconds of the run."""

    model_config = ConfigDict(frozen=True)

    at_s: float
    """Since the run began."""
    results: int
    latency_ms: Distribution | None
    """Of the results that came since the sample before."""
    cpu_ms: dict[str, float]
    """CPU of each process a second since the sample before, in milliseconds."""
    rss_mib: dict[str, float]
    lag: dict[str, int]
    """Records that each consumer group has still to commit; one a partition may be the marker of a transaction."""


class SoakReport(BaseModel):
    """The whole run."""

    model_config = ConfigDict(frozen=True)

    per_s: float
    """Requests a second that were sent."""
    share: float
    """Of the saturation that was measured before."""
    sent: int
    missing: int
    duplicates: int
    samples: tuple[SoakSample, ...]


class LagReader:
    """Reads how far the consumer groups of a deployment are behind. Open it with `opened`."""

    def __init__(self, admin: AIOKafkaAdminClient, cursor: Cursor, groups: list[str]) -> None:
        self._admin = admin
        self._cursor = cursor
        self._groups = groups

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncIterator["LagReader"]:
        """Connect to the deployment's Kafka."""
        tps = [tp for spec in all_topics(settings.top_tier) for tp in partitions_of(spec, settings.kafka)]
        groups = [settings.group(stage) for stage in (*stage_names(settings), _SINK)]
        async with admin_client(settings.kafka) as admin, TopicReader(settings.kafka).opened(tps) as cursor:
            yield cls(admin, cursor, groups)

    async def lag(self) -> dict[str, int]:
        """Return the records that each group has still to commit, of partitions of which it has committed any."""
        ends, found = await self._cursor.ends(), {}
        for group in self._groups:
            committed = await self._admin.list_consumer_group_offsets(group)
            found[group] = sum(max(0, ends[tp] - at.offset) for tp, at in committed.items() if at.offset >= 0)
        return found


async def soak(
    load: Load,
    meter: ProcessMeter,
    lag: LagReader,
    *,
    saturation: float,
    share: float,
    minutes: float,
    tell: Callable[[str], None],
) -> SoakReport:
    """Put an open loop on the pipeline and take a sample every ten seconds.

    Args:
        load: Of the pipeline.
        meter: Of its processes.
        lag: Of its groups.
        saturation: Requests a second that it can do.
        share: Of these.
        minutes: How long.
        tell: Is told of each sample.

    Raises:
        DeliveryError: Kafka failed under the load.
    """
    rate, samples = saturation * share, list[SoakSample]()
    await unless(_sample(load, meter, lag, samples, tell), load.open_loop(rate, minutes * _MINUTE_S))
    trial = load.trial
    return SoakReport(
        per_s=round(rate, 2),
        share=share,
        sent=trial.sent,
        missing=trial.missing,
        duplicates=trial.duplicates,
        samples=tuple(samples),
    )


async def _sample(
    load: Load, meter: ProcessMeter, lag: LagReader, samples: list[SoakSample], tell: Callable[[str], None]
) -> None:
    """Take samples until it is cancelled."""
    before = meter.cpu()
    began = before.at
    while True:
        await asyncio.sleep(_EVERY_S)
        answered, now = load.trial.taken(), meter.cpu()
        seconds = now.at - before.at
        sample = SoakSample(
            at_s=round(now.at - began, 1),
            results=len(answered),
            latency_ms=Distribution.of(one.latency_ms for one in answered),
            cpu_ms={name: round(spent / seconds * 1000, 1) for name, spent in now.since(before).items()},
            rss_mib=meter.rss_mib(),
            lag=await lag.lag(),
        )
        samples.append(sample)
        before = now
        tell(_line(sample))


def _line(sample: SoakSample) -> str:
    latency = sample.latency_ms
    shown = "-" if latency is None else f"p50 {latency.p50:.0f} ms, p99 {latency.p99:.0f} ms"
    worker = sample.rss_mib.get("worker", 0.0)
    return f"{sample.at_s:>6.0f} s  {shown}, worker {worker:.0f} MiB, lag {sum(sample.lag.values())}"

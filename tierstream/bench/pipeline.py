"""The pipeline under load: one stack, one worker, and what each request costs and waits."""

import asyncio
import json
import os
import platform
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from streams.config.settings import Settings
from tierstream.bench.broker_log import BrokerLog, Mark
from tierstream.bench.distribution import Distribution
from tierstream.bench.limit import Limit, measure_limit
from tierstream.bench.load import Answered, LoadClient, Trial
from tierstream.bench.pipeline_report import SATURATION, LoadFigures, Machine, PipelineReport, ratio_of
from tierstream.bench.processes import ProcessMeter, Spent
from tierstream.bench.stage_times import HopReader, Offsets
from tierstream.bench.workload import Kind, Workload

_GIVE_UP_S: Final = 60.0
_WARM_UP_RATE: Final = 40.0
_FILL_S: Final = 3.0
"""A closed loop is steady once it is filled, and the first results after that have come."""
_LIMIT_RECORDS: Final = 20_000
_RECORD_BYTES: Final = 1024


@dataclass(frozen=True)
class PipelinePlan:
    """What is to be measured.

    Attributes:
        rates: Requests a second of each open loop; None for saturation.
        seconds: Of each load.
        warm_up_s: Of load before the first one.
        in_flight: Requests without a result at saturation.
        kind: Which requests.
        latency_ms: Of the mock; None where the simulator answers.
        limit: Whether the plain program is measured first.
    """

    rates: Sequence[float | None]
    seconds: float = 20.0
    warm_up_s: float = 10.0
    in_flight: int = 256
    kind: Kind = Kind.TIER1
    latency_ms: float | None = 0.0
    limit: bool = True


@dataclass(frozen=True)
class _Stretch:
    """What was read before and after what is counted."""

    seconds: float
    spent: dict[str, float]
    others: float
    answered: list[Answered]


class PipelineBench:
    """Puts loads on a running stack, one after the other. Open it with `opened`."""

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        plan: PipelinePlan,
        client: LoadClient,
        workload: Workload,
        meter: ProcessMeter,
    ) -> None:
        self._plan = plan
        self._client = client
        self._workload = workload
        self._kafka = settings.kafka
        self._meter = meter
        self._log = BrokerLog(data_dir / "kafka" / "log")
        self._hops = HopReader(settings.kafka)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, settings: Settings, data_dir: Path, plan: PipelinePlan, *, mock: int | None
    ) -> AsyncIterator["PipelineBench"]:
        """Connect to a stack.

        Args:
            settings: With its addresses.
            data_dir: Of the stack.
            plan: What is to be measured.
            mock: Pid of the mock provider; None where the simulator answers.
        """
        others = {"client": os.getpid()} | ({} if mock is None else {"mock": mock})
        meter = ProcessMeter.of_stack(data_dir, **others)
        workload = Workload(plan.kind, settings.kafka.partitions)
        async with LoadClient.opened(settings.kafka, workload, give_up_s=_GIVE_UP_S) as client:
            yield cls(settings, data_dir, plan, client, workload, meter)

    async def run(self, tell: Callable[[str], None]) -> PipelineReport:
        """Measure the limit, warm the stack up, and put every load on it.

        Args:
            tell: Is told what goes on.

        Raises:
            DeliveryError: Kafka failed under the load.
        """
        limit = None
        if self._plan.limit:
            tell("limit: a plain aiokafka program")
            limit = await self.limit()
        tell("warm-up")
        await self.warm_up()
        loads = []
        for rate in self._plan.rates:
            tell(f"{load_name(rate)}, {self._plan.seconds:g} s")
            loads.append(await self.load(rate))
        return PipelineReport(
            machine=this_machine(),
            provider="simulator" if self._plan.latency_ms is None else "mock",
            provider_latency_ms=self._plan.latency_ms,
            workload=self._plan.kind,
            limit=limit,
            loads=tuple(loads),
            ratio=ratio_of(loads[-1], limit) if limit and loads else None,
        )

    async def limit(self) -> Limit:
        """Measure what a plain aiokafka program does on this broker."""
        return await measure_limit(self._kafka, self._meter, records=_LIMIT_RECORDS, record_bytes=_RECORD_BYTES)

    async def warm_up(self) -> None:
        """Put load on the stack that is not counted: SDKs are imported, and the broker compiles what it needs."""
        await self._client.open_loop(_WARM_UP_RATE, self._plan.warm_up_s)

    async def load(self, rate: float | None) -> LoadFigures:
        """Put one load on the stack and wait until it is answered; at None, saturate it."""
        mark, hops = self._log.mark(), await self._hops.here()
        if rate is None:
            trial, stretch = await self._saturate()
        else:
            trial, stretch = await self._at_rate(rate)
        return await self._figures(rate, trial, stretch, mark, hops)

    async def _at_rate(self, rate: float) -> tuple[Trial, _Stretch]:
        before = self._meter.cpu()
        trial = await self._client.open_loop(rate, self._plan.seconds)
        last = max((one.at for one in trial.answered), default=trial.began)
        # The pace is that of the sending unless results fell behind it.
        took = max(last - trial.began, self._plan.seconds)
        after = self._meter.cpu()
        return trial, _Stretch(took, after.since(before), after.others_since(before), trial.answered)

    async def _saturate(self) -> tuple[Trial, _Stretch]:
        readings: list[Spent] = []

        async def watch(trial: Trial) -> None:
            await self._client.reached(trial, self._plan.in_flight)
            await asyncio.sleep(_FILL_S)
            readings.append(self._meter.cpu())
            await asyncio.sleep(self._plan.seconds)
            readings.append(self._meter.cpu())

        trial = await self._client.closed_loop(self._plan.in_flight, watch)
        start, end = readings
        steady = trial.between(start.at, end.at)
        return trial, _Stretch(end.at - start.at, end.since(start), end.others_since(start), steady)

    async def _figures(
        self, rate: float | None, trial: Trial, stretch: _Stretch, mark: Mark, hops: Offsets
    ) -> LoadFigures:
        topics, rss_mib = self._log.since(mark), self._meter.rss_mib()
        stages = await self._hops.since(hops, self._workload.run)
        counted = len(stretch.answered)
        results = [json.loads(one.value) for one in trial.answered]
        added = [self._added_ms(one, json.loads(one.value)) for one in stretch.answered]
        return LoadFigures(
            load=load_name(rate),
            planned_per_s=rate,
            sent=trial.sent,
            results=len(results),
            missing=trial.missing,
            duplicates=trial.duplicates,
            counted=counted,
            achieved_per_s=round(counted / stretch.seconds, 2),
            by_status=dict(Counter(result["status"] for result in results)),
            by_tier={str(tier): n for tier, n in sorted(Counter(result["tier"] or 0 for result in results).items())},
            calls=round(sum(len(result["route"]) for result in results) / max(1, len(results)), 3),
            cost_usd=sum((Decimal(result["cost_usd"]) for result in results), Decimal(0)),
            latency_ms=Distribution.of(one.latency_ms for one in stretch.answered),
            added_ms=Distribution.of(added),
            stages=stages,
            cpu_ms={name: round(spent / max(1, counted) * 1000, 3) for name, spent in stretch.spent.items()},
            other_cpus=round(stretch.others, 2),
            rss_mib=rss_mib,
            topics=topics,
        )

    def _added_ms(self, answered: Answered, result: dict[str, Any]) -> float:
        if self._plan.latency_ms is None:
            return answered.latency_ms - float(result["provider_ms"])
        return answered.latency_ms - self._plan.latency_ms * len(result["route"])


def load_name(rate: float | None) -> str:
    """Name a load."""
    return SATURATION if rate is None else f"{rate:g}/s"


def this_machine() -> Machine:
    """Describe where this runs."""
    return Machine(
        cpus=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        tierstream=version("tierstream"),
    )

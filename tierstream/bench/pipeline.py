"""The pipeline under load: one stack, one worker, and what each request costs and waits."""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from streams.config.settings import Settings
from tierstream.bench.broker_log import BrokerLog, Mark
from tierstream.bench.distribution import Distribution
from tierstream.bench.kafka_load import KafkaLoad
from tierstream.bench.limit import Limit, measure_limit
from tierstream.bench.load import Answered
from tierstream.bench.load_figures import TIERSTREAM, LoadFigures, shared_figures
from tierstream.bench.measured import Measured, measured
from tierstream.bench.pipeline_plan import GIVE_UP_S, WARM_UP_RATE, PipelinePlan
from tierstream.bench.processes import ProcessMeter
from tierstream.bench.stage_times import HopReader, Offsets
from tierstream.bench.workload import Workload

_LIMIT_RECORDS: Final = 20_000
_RECORD_BYTES: Final = 1024


class PipelineBench:
    """Puts loads on a running stack, one after the other. Open it with `opened`.

    Attributes:
        client: Sends what is asked.
        meter: Of the stack's processes.
    """

    def __init__(
        self,
        settings: Settings,
        data_dir: Path,
        plan: PipelinePlan,
        client: KafkaLoad,
        workload: Workload,
        meter: ProcessMeter,
    ) -> None:
        self._plan = plan
        self.client = client
        self._workload = workload
        self._kafka = settings.kafka
        self.meter = meter
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
        async with KafkaLoad.opened(settings.kafka, workload, give_up_s=GIVE_UP_S) as client:
            yield cls(settings, data_dir, plan, client, workload, meter)

    async def limit(self) -> Limit:
        """Measure what a plain aiokafka program does on this broker."""
        return await measure_limit(self._kafka, self.meter, records=_LIMIT_RECORDS, record_bytes=_RECORD_BYTES)

    async def warm_up(self) -> None:
        """Put load on the stack that is not counted: SDKs are imported, and the broker compiles what it needs."""
        await self.client.open_loop(WARM_UP_RATE, self._plan.warm_up_s)

    async def load(self, rate: float | None) -> LoadFigures:
        """Put one load on the stack and wait until it is answered; at None, saturate it."""
        mark, hops = self._log.mark(), await self._hops.here()
        plan = self._plan
        found = await measured(self.client, self.meter, rate, in_flight=plan.in_flight, seconds=plan.seconds)
        return await self._figures(rate, found, mark, hops)

    async def _figures(self, rate: float | None, found: Measured, mark: Mark, hops: Offsets) -> LoadFigures:
        topics, rss_mib = self._log.since(mark), self.meter.rss_mib()
        stages = await self._hops.since(hops, self._workload.run)
        results = [json.loads(one.value) for one in found.trial.answered]
        return LoadFigures(
            **shared_figures(rate, found),
            system=TIERSTREAM,
            by_status=dict(Counter(result["status"] for result in results)),
            by_tier={str(tier): n for tier, n in sorted(Counter(result["tier"] or 0 for result in results).items())},
            calls=round(sum(len(result["route"]) for result in results) / max(1, len(results)), 3),
            cost_usd=sum((Decimal(result["cost_usd"]) for result in results), Decimal(0)),
            added_ms=Distribution.of(self._added_ms(one, json.loads(one.value)) for one in found.answered),
            rss_mib=rss_mib,
            stages=stages,
            topics=topics,
        )

    def _added_ms(self, answered: Answered, result: dict[str, Any]) -> float:
        if self._plan.latency_ms is None:
            return answered.latency_ms - float(result["provider_ms"])
        return answered.latency_ms - self._plan.latency_ms * len(result["route"])

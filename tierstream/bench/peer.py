"""Another system under the same loads: LiteLLM's proxy, driven over HTTP, measured as the pipeline is."""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import psutil

from tierstream.bench.distribution import Distribution
from tierstream.bench.http_load import HttpLoad
from tierstream.bench.litellm_proxy import LiteLlmProxy, proxy_process
from tierstream.bench.load_figures import LITELLM, LoadFigures, shared_figures
from tierstream.bench.measured import measured
from tierstream.bench.pipeline_plan import GIVE_UP_S, WARM_UP_RATE, PipelinePlan
from tierstream.bench.processes import ProcessMeter
from tierstream.bench.provider_process import MockProcess
from tierstream.bench.workload import Workload


class PeerBench:
    """Puts loads on a proxy, one after the other. Open it with `opened`.

    Attributes:
        proxy: Which runs.
    """

    def __init__(self, proxy: LiteLlmProxy, plan: PipelinePlan, load: HttpLoad, mock: int) -> None:
        self.proxy = proxy
        self._plan = plan
        self._load = load
        self._meter = ProcessMeter(
            {name: psutil.Process(pid) for name, pid in ((LITELLM, proxy.pid), ("client", os.getpid()), ("mock", mock))}
        )

    @classmethod
    @asynccontextmanager
    async def opened(cls, proxy: LiteLlmProxy, plan: PipelinePlan, *, mock: int) -> AsyncIterator["PeerBench"]:
        """Prepare to connect.

        Args:
            proxy: Which runs.
            plan: What is to be measured.
            mock: Pid of the mock provider.
        """
        workload = Workload(plan.kind)
        async with HttpLoad.opened(proxy.url, workload, headers=proxy.headers, give_up_s=GIVE_UP_S) as load:
            yield cls(proxy, plan, load, mock)

    async def warm_up(self) -> None:
        """Put load on the proxy that is not counted."""
        await self._load.open_loop(WARM_UP_RATE / 2, self._plan.warm_up_s)

    async def load(self, rate: float | None) -> LoadFigures:
        """Put one load on the proxy and wait until it is answered; at None, saturate it."""
        plan, billed = self._plan, sum(1 for _ in self.proxy.spent())
        found = await measured(self._load, self._meter, rate, in_flight=plan.in_flight, seconds=plan.seconds)
        answers = [json.loads(one.value) for one in found.trial.answered]
        costs = [line["cost_usd"] or 0 for line in list(self.proxy.spent())[billed:]]
        return LoadFigures(
            **shared_figures(rate, found),
            system=LITELLM,
            by_status={"ok": len(answers), **found.trial.refused},
            by_tier=dict(Counter(_tier(answer["model"]) for answer in answers)),
            calls=1.0,
            cost_usd=Decimal(str(round(sum(costs), 12))),
            added_ms=Distribution.of(one.latency_ms - (plan.latency_ms or 0.0) for one in found.answered),
            rss_mib=self._meter.rss_mib(),
        )


@asynccontextmanager
async def started_peer(programs: Path, folder: Path, mock: MockProcess, plan: PipelinePlan) -> AsyncIterator[PeerBench]:
    """Run a proxy for as long as the context lasts, ready for loads.

    Args:
        programs: Of `installed_litellm`.
        folder: The proxy gets one of its own in it.
        mock: Which answers its calls.
        plan: What is to be measured.

    Raises:
        StackError: It does not start.
    """
    async with (
        proxy_process(programs, folder / LITELLM, mock.url) as proxy,
        PeerBench.opened(proxy, plan, mock=mock.pid) as bench,
    ):
        yield bench


def _tier(model: str) -> str:
    return model.removeprefix("tier")

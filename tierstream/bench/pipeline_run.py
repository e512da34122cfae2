"""A whole run: the limit, warm-up, and every load, on the pipeline alone or in turns with a peer."""

import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from tierstream.bench.comparison import compared
from tierstream.bench.load_figures import LoadFigures, load_name
from tierstream.bench.peer import LITELLM, PeerBench
from tierstream.bench.pipeline import PipelineBench
from tierstream.bench.pipeline_plan import PipelinePlan
from tierstream.bench.pipeline_report import Machine, PipelineReport, ratio_of

_ROUNDS: Final = 2
"""In turns with a peer, so that what the machine does beside it meets both."""


async def run_pipeline(
    bench: PipelineBench, peer: PeerBench | None, plan: PipelinePlan, tell: Callable[[str], None]
) -> PipelineReport:
    """Measure the limit, warm up what runs, and put every load on it.

    Args:
        bench: The pipeline.
        peer: Has each load after the pipeline, and both have it twice.
        plan: What is to be measured.
        tell: Is told what goes on.

    Raises:
        DeliveryError: Kafka failed under the load.
    """
    limit = None
    if plan.limit:
        tell("limit: a plain aiokafka program")
        limit = await bench.limit()
    tell("warm-up")
    await bench.warm_up()
    if peer is not None:
        await peer.warm_up()
    loads = []
    for rate in plan.rates:
        for _ in range(1 if peer is None else _ROUNDS):
            loads += await _one_turn(bench, peer, plan, rate, tell)
    own = [load for load in loads if load.system != LITELLM]
    return PipelineReport(
        machine=this_machine(),
        provider="simulator" if plan.latency_ms is None else "mock",
        provider_latency_ms=plan.latency_ms,
        workload=plan.kind,
        limit=limit,
        loads=tuple(loads),
        ratio=ratio_of(own[-1], limit) if limit and own else None,
        comparisons=() if peer is None else compared(loads, LITELLM),
    )


async def _one_turn(
    bench: PipelineBench, peer: PeerBench | None, plan: PipelinePlan, rate: float | None, tell: Callable[[str], None]
) -> list[LoadFigures]:
    tell(f"{load_name(rate)}, {plan.seconds:g} s")
    loads = [await bench.load(rate)]
    if peer is not None:
        tell(f"{LITELLM}: {load_name(rate)}, {plan.seconds:g} s")
        loads.append(await peer.load(rate))
    return loads


def this_machine() -> Machine:
    """Describe where this runs."""
    return Machine(
        cpus=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        tierstream=version("tierstream"),
    )

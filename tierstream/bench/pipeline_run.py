"""A whole run: the limit, warm-up, and every load, on the pipeline alone or in turns with a peer."""

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tierstream.bench.comparison import compared
from tierstream.bench.durability import Durability, kill_proxy, kill_worker
from tierstream.bench.load_figures import LITELLM, TIERSTREAM, LoadFigures, load_name
from tierstream.bench.peer import PeerBench, started_peer
from tierstream.bench.pipeline import PipelineBench
from tierstream.bench.pipeline_plan import PipelinePlan
from tierstream.bench.pipeline_report import Machine, PipelineReport, ratio_of
from tierstream.bench.provider_process import StackUnderTest
from tierstream.bench.soak import LagReader, SoakReport, soak

_ROUNDS: Final = 2
"""In turns with a peer, so that what the machine does beside it meets both."""


async def run_pipeline(
    stack: StackUnderTest, plan: PipelinePlan, programs: Path | None, tell: Callable[[str], None]
) -> PipelineReport:
    """Measure the limit, warm up what runs, and put every load on it.

    Args:
        stack: Which runs.
        plan: What is to be measured.
        programs: Of LiteLLM, whose proxy is started and has each load after the pipeline, and both have it twice; None:
            no peer.
        tell: Is told what goes on.

    Raises:
        StackError: The peer does not start.
        DeliveryError: Kafka failed under the load.
    """
    async with AsyncExitStack() as running:
        peer = None
        if programs is not None and stack.mock is not None:
            tell("starting LiteLLM's proxy")
            peer = await running.enter_async_context(started_peer(programs, stack.folder, stack.mock, plan))
        pid = stack.mock.pid if stack.mock else None
        bench = await running.enter_async_context(PipelineBench.opened(stack.settings, stack.folder, plan, mock=pid))
        return await _run(stack, bench, peer, plan, tell)


async def _run(
    stack: StackUnderTest,
    bench: PipelineBench,
    peer: PeerBench | None,
    plan: PipelinePlan,
    tell: Callable[[str], None],
) -> PipelineReport:
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
    own = [load for load in loads if load.system == TIERSTREAM]
    soaked = await _soak(stack, bench, plan, own, tell)
    return PipelineReport(
        machine=this_machine(),
        provider="simulator" if plan.latency_ms is None else "mock",
        provider_latency_ms=plan.latency_ms,
        workload=plan.kind,
        limit=limit,
        loads=tuple(loads),
        ratio=ratio_of(own[-1], limit) if limit and own else None,
        comparisons=() if peer is None else compared(loads, LITELLM),
        soak=soaked,
        # At the end, for a process that was killed is another one afterwards.
        durability=await _kill(stack, peer, plan, tell),
    )


async def _soak(
    stack: StackUnderTest,
    bench: PipelineBench,
    plan: PipelinePlan,
    loads: Sequence[LoadFigures],
    tell: Callable[[str], None],
) -> SoakReport | None:
    if plan.soak_minutes is None:
        return None
    saturation = next((load.achieved_per_s for load in loads if load.planned_per_s is None), None)
    if saturation is None:
        tell(f"saturation, {plan.seconds:g} s")
        saturation = (await bench.load(None)).achieved_per_s
    tell(f"soak: {saturation * plan.share:.1f}/s, {plan.soak_minutes:g} min")
    async with LagReader.opened(stack.settings) as lag:
        return await soak(
            bench.client,
            bench.meter,
            lag,
            saturation=saturation,
            share=plan.share,
            minutes=plan.soak_minutes,
            tell=tell,
        )


async def _kill(
    stack: StackUnderTest, peer: PeerBench | None, plan: PipelinePlan, tell: Callable[[str], None]
) -> tuple[Durability, ...]:
    if not plan.kill or stack.mock is None:
        return ()
    rate, url = plan.kill_rate, stack.mock.url
    tell(f"{rate:g}/s, {plan.seconds:g} s, the worker is killed in the middle")
    found = [await kill_worker(stack.settings, stack.folder, plan, rate, url)]
    if peer is not None:
        tell(f"{LITELLM}: {rate:g}/s, {plan.seconds:g} s, the proxy is killed in the middle")
        found.append(await kill_proxy(peer.proxy, plan, rate, url))
    return tuple(found)


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

"""`tierstream bench`: what a request costs and how many there can be, measured on a stack of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierstream.cli.bench_stack import measured_stack
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_console
from tierstream.cli.render.bench import show_pipeline
from tierstream.cli.render.results import show_json

if TYPE_CHECKING:
    from tierstream.bench.peer import PeerBench
    from tierstream.bench.pipeline_plan import PipelinePlan
    from tierstream.bench.pipeline_report import PipelineReport
    from tierstream.bench.provider_process import MockProcess

_SATURATION = "saturation"


class ProviderChoice(StrEnum):
    """Who answers the calls."""

    MOCK = "mock"
    SIMULATOR = "simulator"


class WorkloadChoice(StrEnum):
    """What is asked."""

    TIER1 = "tier1"
    MIXED = "mixed"


class PeerChoice(StrEnum):
    """Which other system has the same loads."""

    LITELLM = "litellm"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command(
        epilog=examples(
            "tierstream bench pipeline",
            "tierstream bench pipeline --rates 20,60,saturation --duration 30 --json > figures.json",
            "tierstream bench pipeline --rates 20 --latency-ms 250 --workload mixed",
            "tierstream bench pipeline --peer litellm --rates 20,saturation",
        )
    )(pipeline)
    app.add_typer(group, name="bench")


def _read_rates(text: str) -> str:
    for rate in text.split(","):
        if rate.strip() != _SATURATION and not _is_rate(rate):
            raise typer.BadParameter(f"{rate.strip()!r} is no number of requests a second above 0, nor `saturation`")
    return text


def _is_rate(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def pipeline(
    ctx: typer.Context,
    rates: Annotated[
        str,
        typer.Option(
            callback=_read_rates,
            metavar="RATE,…",
            help="Loads, one after the other: requests a second, or `saturation`: as many as are answered.",
        ),
    ] = "20,60,100,saturation",
    duration: Annotated[float, typer.Option(min=1, help="Seconds of each load.")] = 20.0,
    warm_up: Annotated[float, typer.Option(min=1, help="Seconds of load before, which is not counted.")] = 10.0,
    in_flight: Annotated[int, typer.Option(min=1, help="Requests without a result at saturation.")] = 128,
    provider: Annotated[
        ProviderChoice,
        typer.Option(help="Who answers: a mock that costs next to nothing, or the simulator with its latencies."),
    ] = ProviderChoice.MOCK,
    latency_ms: Annotated[float, typer.Option(min=0, help="How long the mock takes for each call.")] = 0.0,
    workload: Annotated[
        WorkloadChoice,
        typer.Option(
            help="tier1: simple questions, each of them new, nearly all answered by the first tier. "
            "mixed: the demo's corpus, with schemas, judged answers and the dearer tiers."
        ),
    ] = WorkloadChoice.TIER1,
    limit: Annotated[
        bool, typer.Option(help="Measure a plain consume-produce-commit program on the same broker first.")
    ] = True,
    peer: Annotated[
        PeerChoice | None,
        typer.Option(
            help="Put the same loads on LiteLLM's proxy, in turns, twice each. It is installed into a virtual "
            "environment of its own in the user's cache, which takes minutes the first time."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put load on a stack with one worker and show throughput, latency and CPU by process.

    The stack is started for it, in a folder of its own on free ports, and stopped at the end; services log as usual.
    Latency counts from the planned moment of sending to the arrival of the result. Exit code 1 if a result is missing
    or doubled.
    """
    from tierstream.bench.pipeline_plan import PipelinePlan  # noqa: PLC0415 - the clients take a second to import
    from tierstream.bench.workload import Kind  # noqa: PLC0415

    if peer is not None and provider is not ProviderChoice.MOCK:
        raise typer.BadParameter("a peer is measured with the mock alone", param_hint="--peer")
    plan = PipelinePlan(
        rates=[None if rate.strip() == _SATURATION else float(rate) for rate in rates.split(",")],
        seconds=duration,
        warm_up_s=warm_up,
        in_flight=in_flight,
        kind=Kind(workload.value),
        latency_ms=latency_ms if provider is ProviderChoice.MOCK else None,
        limit=limit,
    )
    report = asyncio.run(_run_pipeline(ctx, plan, peer))
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        show_pipeline(report)
    if not report.complete:
        raise typer.Exit(FAILED)


async def _run_pipeline(ctx: typer.Context, plan: "PipelinePlan", peer: PeerChoice | None) -> "PipelineReport":
    from tierstream.bench.litellm_install import installed_litellm  # noqa: PLC0415
    from tierstream.bench.pipeline import PipelineBench  # noqa: PLC0415
    from tierstream.bench.pipeline_run import run_pipeline  # noqa: PLC0415

    programs = None if peer is None else await installed_litellm(_tell)
    async with AsyncExitStack() as running:
        stack = await running.enter_async_context(measured_stack(ctx, latency_ms=plan.latency_ms))
        other = None
        if programs is not None and stack.mock is not None:
            _tell("starting LiteLLM's proxy")
            other = await running.enter_async_context(_peer(programs, stack.folder, stack.mock, plan))
        mock = stack.mock.pid if stack.mock else None
        bench = await running.enter_async_context(PipelineBench.opened(stack.settings, stack.folder, plan, mock=mock))
        return await run_pipeline(bench, other, plan, _tell)


@asynccontextmanager
async def _peer(programs: Path, folder: Path, mock: "MockProcess", plan: "PipelinePlan") -> AsyncIterator["PeerBench"]:
    from tierstream.bench.litellm_proxy import proxy_process  # noqa: PLC0415
    from tierstream.bench.peer import PeerBench  # noqa: PLC0415

    own = folder / "litellm"
    own.mkdir()
    async with (
        proxy_process(programs, own, mock.url) as proxy,
        PeerBench.opened(proxy, plan, mock=mock.pid) as bench,
    ):
        yield bench


def _tell(what: str) -> None:
    progress_console().print(what, highlight=False, soft_wrap=True)

"""`tierstream bench`: what a request costs and how many there can be, measured on a stack of its own."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.config.settings import Settings
from tierstream.cli.commands.demo import started_stack
from tierstream.cli.connection import load_settings
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_console
from tierstream.cli.render.bench import show_pipeline
from tierstream.cli.render.results import show_json

if TYPE_CHECKING:
    from tierstream.bench.pipeline import PipelinePlan
    from tierstream.bench.pipeline_report import PipelineReport

_SATURATION = "saturation"


class ProviderChoice(StrEnum):
    """Who answers the calls."""

    MOCK = "mock"
    SIMULATOR = "simulator"


class WorkloadChoice(StrEnum):
    """What is asked."""

    TIER1 = "tier1"
    MIXED = "mixed"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command(
        epilog=examples(
            "tierstream bench pipeline",
            "tierstream bench pipeline --rates 20,60,saturation --duration 30 --json > figures.json",
            "tierstream bench pipeline --rates 20 --latency-ms 250 --workload mixed",
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
    in_flight: Annotated[int, typer.Option(min=1, help="Requests without a result at saturation.")] = 256,
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
    as_json: AsJson = False,
) -> None:
    """Put load on a stack with one worker and show throughput, latency and CPU by process.

    The stack is started for it, in a folder of its own on free ports, and stopped at the end; services log as usual.
    Latency counts from the planned moment of sending to the arrival of the result. Exit code 1 if a result is missing
    or doubled.
    """
    from tierstream.bench.pipeline import PipelinePlan  # noqa: PLC0415 - the clients take a second to import
    from tierstream.bench.workload import Kind  # noqa: PLC0415

    plan = PipelinePlan(
        rates=[None if rate.strip() == _SATURATION else float(rate) for rate in rates.split(",")],
        seconds=duration,
        warm_up_s=warm_up,
        in_flight=in_flight,
        kind=Kind(workload.value),
        latency_ms=latency_ms if provider is ProviderChoice.MOCK else None,
        limit=limit,
    )
    report = asyncio.run(_run_pipeline(ctx, plan))
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        show_pipeline(report)
    if not report.complete:
        raise typer.Exit(FAILED)


async def _run_pipeline(ctx: typer.Context, plan: "PipelinePlan") -> "PipelineReport":
    from tierstream.bench.pipeline import PipelineBench  # noqa: PLC0415

    async with (
        _measured_stack(ctx, plan.latency_ms) as (settings, mock),
        PipelineBench.opened(settings, settings.stack.data_dir, plan, mock=mock) as bench,
    ):
        return await bench.run(_tell)


@asynccontextmanager
async def _measured_stack(ctx: typer.Context, latency_ms: float | None) -> AsyncIterator[tuple[Settings, int | None]]:
    """Run a stack with one worker in a folder of its own; yields its settings and the pid of the mock, if there is one.

    Args:
        ctx: Says which settings.
        latency_ms: Of the mock; None: the simulator answers.
    """
    from tierstream.bench.provider_process import mock_process  # noqa: PLC0415
    from tierstream.stack.deployment import with_addresses  # noqa: PLC0415

    async with AsyncExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tierstream-bench-")))
        (folder / "logs").mkdir()
        settings = _own_stack(load_settings(ctx), folder)
        mock = None
        if latency_ms is None:
            for one in settings.providers.values():
                os.environ.pop(one.api_key_env, None)
        else:
            mock = await running.enter_async_context(mock_process(folder / "logs", latency_ms=latency_ms))
            # Workers get the environment of this process.
            os.environ.update(mock.environment(settings))
        addresses = await running.enter_async_context(started_stack(ctx, settings))
        yield with_addresses(settings, addresses), mock.pid if mock else None


def _own_stack(settings: Settings, folder: Path) -> Settings:
    """Have nothing of another deployment measured: whatever the settings name, broker and ledger are embedded."""
    free = dict.fromkeys(("kafka_port", "kafka_controller_port", "clickhouse_port", "simulator_port"), 0)
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": None}),
            "clickhouse": settings.clickhouse.model_copy(update={"url": None}),
            "stack": settings.stack.model_copy(update={**free, "data_dir": folder, "workers": 1}),
        }
    )


def _tell(what: str) -> None:
    progress_console().print(what, highlight=False)

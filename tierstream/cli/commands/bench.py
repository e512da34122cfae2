"""`tierstream bench`: what a request costs and how many there can be, measured on a stack of its own."""

import asyncio
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierstream.cli.bench_door import DOOR_EXAMPLES, door
from tierstream.cli.bench_ledger import LEDGER_EXAMPLES, ledger
from tierstream.cli.bench_loads import PeerChoice, loads_of, read_rates, tell
from tierstream.cli.bench_month import MONTH_EXAMPLES, month, read_picture
from tierstream.cli.bench_stack import measured_stack, on_stack
from tierstream.cli.connection import load_settings
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.bench import show_measured, show_pipeline
from tierstream.cli.render.results import show_json

if TYPE_CHECKING:
    from tierstream.bench.answer_report import AnswersReport
    from tierstream.bench.limit import Limit
    from tierstream.bench.pipeline_plan import PipelinePlan
    from tierstream.bench.pipeline_report import PipelineReport
    from tierstream.bench.provider_process import StackUnderTest


class ProviderChoice(StrEnum):
    """Who answers the calls."""

    MOCK = "mock"
    SIMULATOR = "simulator"


class WorkloadChoice(StrEnum):
    """What is asked."""

    TIER1 = "tier1"
    MIXED = "mixed"


AskedFor = Annotated[
    WorkloadChoice,
    typer.Option(
        "--workload",
        help="tier1: simple questions, each of them new, nearly all answered by the first tier. "
        "mixed: the demo's corpus, with schemas, judged answers and the dearer tiers.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command(
        epilog=examples(
            "tierstream bench pipeline",
            "tierstream bench pipeline --rates 20,60,saturation --duration 30 --json > figures.json",
            "tierstream bench pipeline --rates 20 --latency-ms 250 --workload mixed",
            "tierstream bench pipeline --peer litellm --rates 20,saturation",
            "tierstream bench pipeline --rates 20 --kill --latency-ms 250",
            "tierstream bench pipeline --rates saturation --soak 30 --share 0.7 --plot soak.png",
        )
    )(pipeline)
    group.command(epilog=examples("tierstream bench sink", "tierstream bench sink --requests 100000 --kill --json"))(
        sink
    )
    group.command(epilog=examples("tierstream bench classify", "tierstream bench classify --workload mixed"))(classify)
    group.command(epilog=examples("tierstream bench start --starts 5"))(start)
    group.command(epilog=examples("tierstream bench idle --seconds 60 --json"))(idle)
    group.command(epilog=DOOR_EXAMPLES)(door)
    group.command(epilog=examples("tierstream bench limit", "tierstream bench limit --record-bytes 2048"))(limit)
    group.command(epilog=examples("tierstream bench scale", "tierstream bench scale --workers 10,100 --window-s 600"))(
        scale
    )
    group.command(
        epilog=examples(
            "tierstream bench answers pairs.jsonl", "tierstream bench answers pairs.jsonl --sample-rate 0.2"
        )
    )(answers)
    group.command(epilog=MONTH_EXAMPLES)(month)
    group.command(epilog=LEDGER_EXAMPLES)(ledger)
    app.add_typer(group, name="bench")


def _read_workers(text: str) -> str:
    for number in text.split(","):
        if not number.strip().isdecimal() or not int(number):
            raise typer.BadParameter(f"{number.strip()!r} is no number of workers")
    return text


def pipeline(
    ctx: typer.Context,
    rates: Annotated[
        str,
        typer.Option(
            callback=read_rates,
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
    workload: AskedFor = WorkloadChoice.TIER1,
    with_limit: Annotated[
        bool,
        typer.Option(
            "--limit/--no-limit", help="Measure a plain consume-produce-commit program on the same broker first."
        ),
    ] = True,
    peer: Annotated[
        PeerChoice | None,
        typer.Option(
            help="Put the same loads on LiteLLM's proxy, in turns, twice each. It is installed into a virtual "
            "environment of its own in the user's cache, which takes minutes the first time."
        ),
    ] = None,
    kill: Annotated[
        bool,
        typer.Option(
            "--kill",
            help="At the end, kill the worker (and the peer) in the middle of one more load, and count what was lost, "
            "called twice or left unbilled. With --latency-ms 250 calls are on the wire then.",
        ),
    ] = False,
    soak: Annotated[
        float | None,
        typer.Option(min=0.5, metavar="MINUTES", help="Go on for so long at a share of the saturation, with samples."),
    ] = None,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Of the saturation, for --soak.")] = 0.7,
    plot: Annotated[
        Path | None,
        typer.Option(
            callback=read_picture,
            metavar="FILE",
            help="Draw the figures, or the long run where there is one, as .png or .svg; needs tierstream[bench].",
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

    if provider is not ProviderChoice.MOCK and (peer is not None or kill):
        raise typer.BadParameter("needs the mock as provider", param_hint="--kill" if kill else "--peer")
    plan = PipelinePlan(
        rates=loads_of(rates),
        seconds=duration,
        warm_up_s=warm_up,
        in_flight=in_flight,
        kind=Kind(workload.value),
        latency_ms=latency_ms if provider is ProviderChoice.MOCK else None,
        limit=with_limit,
        kill=kill,
        soak_minutes=soak,
        share=share,
    )
    if plot is not None:
        from tierstream.bench.plot import require_plotting  # noqa: PLC0415

        require_plotting()
    report = asyncio.run(_run_pipeline(ctx, plan, peer))
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        show_pipeline(report)
    if plot is not None:
        from tierstream.bench.plot import draw  # noqa: PLC0415

        draw(report, plot)
    if not report.complete:
        raise typer.Exit(FAILED)


async def _run_pipeline(ctx: typer.Context, plan: "PipelinePlan", peer: PeerChoice | None) -> "PipelineReport":
    from tierstream.bench.litellm_install import installed_litellm  # noqa: PLC0415
    from tierstream.bench.pipeline_run import run_pipeline  # noqa: PLC0415

    programs = None if peer is None else await installed_litellm(tell)
    async with measured_stack(ctx, latency_ms=plan.latency_ms, count=plan.kill) as stack:
        return await run_pipeline(stack, plan, programs, tell)


def sink(
    ctx: typer.Context,
    requests: Annotated[int, typer.Option(min=1, help="Of how many requests records are written.")] = 20_000,
    kill: Annotated[
        bool,
        typer.Option("--kill", help="Kill the sink in the middle, and start it again."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fill results, calls and hops with copies of real records, then show how fast the sink writes them to ClickHouse.

    Exit code 1 if a record has no row or a row is doubled.
    """
    from tierstream.bench.sink_speed import measure_sink  # noqa: PLC0415 - the clients take a second to import

    found = on_stack(ctx, lambda stack: measure_sink(stack, requests, kill=kill, tell=tell))
    show_measured(found, as_json=as_json)
    if found.lost or found.doubled:
        raise typer.Exit(FAILED)


def classify(
    ctx: typer.Context,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of decisions.")] = 5.0,
    workload: AskedFor = WorkloadChoice.MIXED,
    as_json: AsJson = False,
) -> None:
    """Decide on requests in this process: decisions a second and CPU of each, without votes of a language model."""
    from tierstream.bench.decisions import measure_decisions  # noqa: PLC0415
    from tierstream.bench.workload import Kind  # noqa: PLC0415

    show_measured(measure_decisions(load_settings(ctx), Kind(workload.value), seconds), as_json=as_json)


def start(
    ctx: typer.Context,
    starts: Annotated[int, typer.Option(min=1, help="How many, one after the other.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Start workers on a stack that runs: seconds and CPU until each is ready, and until its first result."""
    from tierstream.bench.start import measure_starts  # noqa: PLC0415

    show_measured(on_stack(ctx, lambda stack: measure_starts(stack, starts, tell)), as_json=as_json)


def idle(
    ctx: typer.Context,
    seconds: Annotated[float, typer.Option(min=1, help="For how long.")] = 30.0,
    settle: Annotated[float, typer.Option(min=0, help="Seconds before, which do not count.")] = 15.0,
    as_json: AsJson = False,
) -> None:
    """Show what each process of a stack spends that nobody uses."""
    from tierstream.bench.idle import measure_idle  # noqa: PLC0415

    found = on_stack(ctx, lambda stack: measure_idle(stack.folder, settle_s=settle, seconds=seconds))
    show_measured(found, as_json=as_json)


def limit(
    ctx: typer.Context,
    records: Annotated[int, typer.Option(min=100, help="How many.")] = 50_000,
    record_bytes: Annotated[int, typer.Option(min=1, help="Of each value.")] = 1024,
    as_json: AsJson = False,
) -> None:
    """Consume, produce and commit records with aiokafka alone: the bound of any program on it, here."""
    from tierstream.bench.limit import measure_limit  # noqa: PLC0415
    from tierstream.bench.processes import ProcessMeter  # noqa: PLC0415

    async def measure(stack: "StackUnderTest") -> "Limit":
        meter = ProcessMeter.of_stack(stack.folder)
        return await measure_limit(stack.settings.kafka, meter, records=records, record_bytes=record_bytes)

    show_measured(on_stack(ctx, measure), as_json=as_json)


def scale(
    workers: Annotated[
        str, typer.Option(callback=_read_workers, metavar="NUMBER,…", help="How many, each with all stages.")
    ] = "1,10,100,1000",
    request_ms: Annotated[float, typer.Option(min=0.01, help="CPU of a worker for a request at saturation.")] = 2.65,
    broker_ms: Annotated[float, typer.Option(min=0, help="CPU of the brokers for it.")] = 0.73,
    broker_bytes: Annotated[float, typer.Option(min=0, help="Written to the topics for it.")] = 9_200,
    window_s: Annotated[float, typer.Option(min=1, help="How long requests are remembered.")] = 3600,
    memory_mib: Annotated[float, typer.Option(min=200, help="That each worker may have.")] = 2048,
    as_json: AsJson = False,
) -> None:
    """Reckon what many workers can do, from what one was measured to do, and what breaks first; nothing is started.

    The defaults are the figures of docs/benchmarks.md: put your own in their place.
    """
    from tierstream.bench.scale import Costs, ScaleReport  # noqa: PLC0415

    costs = Costs(request_ms=request_ms, broker_ms=broker_ms, broker_bytes=broker_bytes)
    numbers = [int(number) for number in workers.split(",")]
    show_measured(ScaleReport.of(numbers, costs, window_s=window_s, memory_mib=memory_mib), as_json=as_json)


def answers(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="Pairs of a request and an answer, JSON objects, one a line: docs/benchmarks.md.")
    ],
    sample_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the answers that the judge looks at, in the second arm.")
    ] = 1.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second.")] = 25.0,
    seed: Annotated[int, typer.Option(help="Decides the order, and which answers are judged.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Have the simulator give good and bad answers, and show who stops them, and what that adds to cost and latency.

    Each request is sent twice, once without the judge. The first tier answers as the file says, the tiers above it
    answer right. The judge is simulated too: its share is an assumption. Exit code 1 if a result is missing or doubled.
    """
    from tierstream.bench.answer_pairs import AnswerPair  # noqa: PLC0415 - the clients take a second to import
    from tierstream.bench.answer_run import AnswersPlan, measured_environment, run_answers  # noqa: PLC0415
    from tierstream.cli.render.bench_answers import show_answers  # noqa: PLC0415
    from tierstream.stack.state import addresses  # noqa: PLC0415
    from tierstream.training.labelled_answers import read_answers  # noqa: PLC0415

    pairs = read_answers(file, AnswerPair)
    # Workers get the environment of this process.
    os.environ.update(measured_environment())
    if sample_rate and not load_settings(ctx).validation.chain:
        raise typer.BadParameter("the settings have no judge: [validation] judge", param_hint="--sample-rate")

    async def run() -> "AnswersReport":
        async with measured_stack(ctx, latency_ms=None) as stack:
            found = addresses(stack.folder)
            if found is None or found.simulator is None:
                raise RuntimeError("a stack without keys has a simulator")
            plan = AnswersPlan(sample_rate=sample_rate, rate=rate, seed=seed)
            return await run_answers(stack.settings, found.simulator, pairs, plan, tell)

    report = asyncio.run(run())
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        show_answers(report)
    if not report.complete:
        raise typer.Exit(FAILED)

"""`tierstream bench month`: a month of drifting traffic, with the loop off and on."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierstream.cli.bench_stack import measured_stack
from tierstream.cli.commands.train import require_scikit_learn
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_console
from tierstream.cli.render.bench_month import show_month
from tierstream.cli.render.results import show_json

if TYPE_CHECKING:
    from tierstream.bench.month_report import MonthReport, MonthRun
    from tierstream.bench.month_run import Arm
    from tierstream.bench.month_traffic import MonthPlan

_PICTURES = (".png", ".svg")

MONTH_EXAMPLES = examples(
    "tierstream bench month",
    "tierstream bench month --plot month.svg --json > month.json",
    "tierstream bench month --requests 400 --days 8",
)


def read_picture(file: Path | None) -> Path | None:
    """Refuse a picture of a format that nobody draws, before anything is measured for it."""
    if file is not None and file.suffix not in _PICTURES:
        raise typer.BadParameter(f"{file.name} does not end in {' or '.join(_PICTURES)}")
    return file


def month(
    ctx: typer.Context,
    requests: Annotated[int, typer.Option(min=1, help="Of the whole month, in each run.")] = 6000,
    days: Annotated[int, typer.Option(min=1, max=365, help="That they are spread over.")] = 30,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second.")] = 40.0,
    seed: Annotated[int, typer.Option(help="Decides what is asked, and what users say of it.")] = 1,
    plot: Annotated[
        Path | None,
        typer.Option(
            callback=read_picture,
            metavar="FILE",
            help="Draw quality and cost by day, as .png or .svg; needs tierstream[bench].",
        ),
    ] = None,
    with_budget: Annotated[
        bool,
        typer.Option("--budget/--no-budget", help="Run it a third time, under a budget of what the first run spent."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Run a month of drifting traffic without learning and with it, and show quality and cost by day.

    Models get worse without a word, the mix of the requests changes, and a bad model of the classifier is activated by
    hand. A third run has no such models: what was learned of the tiers decides, under a budget. Users and providers are
    simulated, and who is right follows from a script that only the simulator knows. Each run has a stack of its own and
    ends with `verify`. Exit code 1 if a result is missing or doubled, or an invariant does not hold.
    """
    from tierstream.bench.month_traffic import MonthPlan  # noqa: PLC0415 - the clients take a second to import
    from tierstream.bench.plot import draw_month, require_plotting  # noqa: PLC0415

    require_scikit_learn()
    if plot is not None:
        require_plotting()
    report = asyncio.run(
        _run(ctx, MonthPlan(requests=requests, days=days, rate=rate, seed=seed), with_budget=with_budget)
    )
    if plot is not None:
        draw_month(report, plot)
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        show_month(report)
    if not report.is_sound:
        raise typer.Exit(FAILED)


async def _run(ctx: typer.Context, plan: "MonthPlan", *, with_budget: bool) -> "MonthReport":
    from streams.kafka.clock import utc_now  # noqa: PLC0415
    from tierstream.bench.month_report import Change, MonthReport, phases_of  # noqa: PLC0415
    from tierstream.bench.month_run import Arm  # noqa: PLC0415
    from tierstream.bench.month_settings import loop_table  # noqa: PLC0415
    from tierstream.bench.pipeline_run import this_machine  # noqa: PLC0415
    from tierstream.cli.bench_lessons import OperatorLessons  # noqa: PLC0415

    at, changes = utc_now(), tuple(Change(day=day, what=what) for day, what in plan.changes)
    runs = [await _run_arm(ctx, plan, Arm("off"))]
    runs.append(await _run_arm(ctx, plan, Arm("on", users_speak=True, lessons=OperatorLessons())))
    budget_usd = runs[0].usd_per_request if with_budget else None
    if budget_usd is not None:
        runs.append(await _run_arm(ctx, plan, Arm("budget", users_speak=True), budget_usd))
    return MonthReport(
        machine=this_machine(),
        at=at,
        seed=plan.seed,
        rate=plan.rate,
        changes=changes,
        loop=loop_table(),
        budget_usd_per_request=budget_usd,
        runs=tuple(runs),
        phases=tuple(phases_of(runs, changes)),
    )


async def _run_arm(ctx: typer.Context, plan: "MonthPlan", arm: "Arm", budget_usd: float | None = None) -> "MonthRun":
    from tierstream.bench.month_run import run_month  # noqa: PLC0415
    from tierstream.bench.month_settings import run_environment  # noqa: PLC0415
    from tierstream.stack.state import addresses  # noqa: PLC0415

    console = progress_console()
    with run_environment(learns=arm.name != "off", budget_usd=budget_usd):
        async with measured_stack(ctx, latency_ms=None) as stack:
            found = addresses(stack.folder)
            if found is None or found.simulator is None:
                raise RuntimeError("a stack without keys has a simulator")
            return await run_month(
                stack.settings,
                found.simulator,
                stack.folder,
                plan,
                arm,
                lambda what: console.print(f"{arm.name}: {what}", highlight=False, soft_wrap=True),
            )

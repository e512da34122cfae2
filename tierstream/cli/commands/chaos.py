"""`tierstream chaos`: break a local stack on purpose and prove that nothing was lost."""

import asyncio
import os
import secrets
import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from streams.config.settings import SettingsError
from tierstream.cli.commands.demo import running_stack
from tierstream.cli.connection import load_settings
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.progress import progress_console
from tierstream.cli.render.results import printable, show_json
from tierstream.stack.state import addresses

if TYPE_CHECKING:
    from tierstream.chaos.chaos_run import ChaosReport

_SECONDS = 60.0
_SEEDS = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("tierstream chaos --minutes 2", "tierstream chaos --minutes 7 --rate 50 --json"))(chaos)


def chaos(
    ctx: typer.Context,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long load runs.")] = 2.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second.")] = 40.0,
    workers: Annotated[
        int, typer.Option(min=1, max=16, help="Worker processes of a stack that is started for it.")
    ] = 3,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Decides what happens when; without one it is drawn, and printed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run load through a simulated stack while workers, broker, ClickHouse and providers are killed and stopped.

    In 400 s that is 15 SIGKILLs of workers, 5 SIGSTOPs that outlast `kafka.session_timeout_s`, 3 workers that join and
    leave, 2 kills of the broker, a 30 s outage of ClickHouse, 15 s in which its disk is full and 15 s in which it is
    slow, troubles of providers and records of rubbish; other lengths in proportion. One answer in ten is complained
    about, twice, and answered anew. The loop is under it: models answer wrong as the demo's corpus has it, a judge sees
    critical answers and a sample, and what the settings leave out of shadow, canary and sampling is switched on in a
    stack that is started here. Ends with `verify`. Exit code 1 if a request lacks its one result or an invariant
    does not hold.
    """
    if seed is None:
        seed = secrets.randbelow(_SEEDS)
    typer.echo(f"seed {seed}", err=True)
    report = asyncio.run(_run(ctx, minutes * _SECONDS, rate, workers, seed))
    if as_json:
        show_json(report.as_json())
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(FAILED)


async def _run(ctx: typer.Context, seconds: float, rate: float, workers: int, seed: int) -> "ChaosReport":
    from tierstream.chaos.chaos_run import ChaosReport, run_chaos  # noqa: PLC0415
    from tierstream.chaos.faults import FaultPlan  # noqa: PLC0415 - the clients take a second to import
    from tierstream.chaos.loop import loop_variables  # noqa: PLC0415
    from tierstream.stack.clickhouse_faults import FAULTS_VARIABLE  # noqa: PLC0415
    from tierstream.stack.deployment import with_addresses  # noqa: PLC0415

    # For the embedded ClickHouse of a stack that is started here.
    os.environ[FAULTS_VARIABLE] = "1"
    settings = load_settings(ctx)
    if addresses(settings.stack.data_dir.absolute()) is None:
        os.environ.update(loop_variables(settings))
        settings = load_settings(ctx)
    settings = settings.model_copy(update={"stack": settings.stack.model_copy(update={"workers": workers})})
    async with running_stack(ctx, settings) as found:
        if found.simulator is None:
            raise SettingsError("the running stack uses real providers: the fault lab is for simulated ones")
        report = ChaosReport(seed=seed)
        requests = int(seconds * rate)
        with Live(get_renderable=lambda: _progress(report, requests), console=progress_console(), transient=True):
            return await run_chaos(
                with_addresses(settings, found),
                data_dir=settings.stack.data_dir.absolute(),
                simulator=found.simulator,
                requests=requests,
                rate=rate,
                plan=FaultPlan.scaled(seconds),
                name=f"chaos-{uuid.uuid4().hex[:8]}",
                report=report,
            )


def _progress(report: "ChaosReport", requests: int) -> str:
    return f"sent {report.load.produced} of {requests}, results {report.load.results}"


def _show(report: "ChaosReport") -> None:
    load = report.load
    typer.echo(f"seed      {report.seed}")
    typer.echo("faults    " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report.faults.items()))
    typer.echo(
        f"results   {load.results} of {load.requests}, {len(load.missing)} missing, {load.duplicates} duplicates"
    )
    typer.echo(f"feedback  {report.complaints} that asked for an answer anew")
    typer.echo("loop      " + ", ".join(f"{part} {count}" for part, count in report.loop.as_json().items()))
    if report.skipped:
        names = ", ".join(name.replace("_", " ") for name in report.skipped)
        typer.echo(f"skipped   {names}: the stack that runs takes no such faults; stop it and chaos starts one")
    if report.verification is None:
        return
    findings = report.verification.findings
    for check in findings:
        state, count = findings.state(check), findings.counts[check]
        typer.echo(f"{state.upper() if state == 'violated' else state:<9}{check.value:<23}{count:>7}  {check.about}")
        for finding in findings.named(check) if state == "violated" else ():
            typer.echo(f"{'':<12}{printable(finding.subject)}: {printable(finding.detail)}")
    typer.echo("the invariants hold" if report.ok else "the invariants do NOT hold")

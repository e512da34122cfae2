"""`tierstream canary`: look at candidates that serve a share of a tier's requests, stop them and let them go on."""

import asyncio
from typing import Annotated, Literal

import typer
from rich.table import Table

from streams.config.settings import Settings
from streams.control.control_follower import read_control
from streams.kafka.admin import require_topics
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from tierstream.cli.connection import load_with_kafka, operator_name
from tierstream.cli.console import output, show_table
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.results import printable, show_json
from tierstream.operations.canaries import CanaryReport, canary_reports, ordered
from topics.learned import CanaryState
from topics.registry import CONTROL

Name = Annotated[str, typer.Argument(help="As the settings call the canary.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list", epilog=examples("tierstream canary list", "tierstream canary list --json"))(show)
    group.command("stop", epilog=examples("tierstream canary stop next"))(stop)
    group.command("resume", epilog=examples("tierstream canary resume next"))(resume)
    app.add_typer(group, name="canary")


def show(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show each canary of the settings: whether it runs, and why not."""
    reports = asyncio.run(_reports(load_with_kafka(ctx)))
    if as_json:
        show_json({"canaries": [report.as_json() for report in reports]})
        return
    if not reports:
        typer.echo("the settings have no canary")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("canary", "tier", "model", "share", "state", "failed", "the others failed"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    for report in reports:
        table.add_row(*_cells(report))
    show_table(output(), table)


def stop(ctx: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Give the candidate no further requests, in any worker."""
    _order(ctx, name, "stopped", "gets no further requests", as_json=as_json)


def resume(ctx: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Let the candidate have its share again, also where it was stopped for its failures."""
    _order(ctx, name, "running", "gets its share again", as_json=as_json)


def _order(ctx: typer.Context, name: str, state: Literal["running", "stopped"], means: str, *, as_json: bool) -> None:
    given = asyncio.run(_give(load_with_kafka(ctx), name, state))
    if as_json:
        show_json(given.model_dump(mode="json"))
    else:
        typer.echo(f"{name} {means}")


async def _reports(settings: Settings) -> list[CanaryReport]:
    await require_topics(settings.kafka)
    return list(canary_reports(settings, await read_control(settings.kafka)))


async def _give(settings: Settings, name: str, state: Literal["running", "stopped"]) -> CanaryState:
    reports = {report.plan.name: report for report in await _reports(settings)}
    if name not in reports:
        known = f"there are {', '.join(reports)}" if reports else "the settings have none"
        raise typer.BadParameter(f"there is no canary {name!r}: {known}", param_hint="NAME")
    record = ordered(reports[name], state, by=operator_name(), at=utc_now())
    async with Publisher(settings.kafka) as publisher:
        await publisher.publish([Output(CONTROL, record)])
    return record


def _cells(report: CanaryReport) -> tuple[str, ...]:
    plan, said = report.plan, report.said
    place = (plan.name, str(plan.tier), plan.model.ref, f"{plan.share:.1%}", report.state)
    if said is None:
        return (*place, "", "", "")
    candidate = f"{said.candidate_failures} of {said.candidate_requests}"
    incumbent = f"{said.incumbent_failures} of {said.incumbent_requests}"
    return (*place, candidate, incumbent, printable(f"{said.reason}, by {said.by}"))

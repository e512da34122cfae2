"""`tierstream budgets`: what is spent of each budget, whether the ledger agrees, and recent alerts."""

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from streams.kafka.clock import utc_now
from tierstream.cli.connection import load_with_kafka, with_clickhouse
from tierstream.cli.help_text import examples
from tierstream.cli.moments import Since
from tierstream.cli.options import AsJson
from tierstream.cli.render.budgets import show_alerts, show_budgets, show_differences, show_written
from tierstream.cli.render.results import show_json
from topics.registry import ALERTS, BUDGETS

if TYPE_CHECKING:
    from tierstream.operations.budgets import BudgetView, Difference
    from topics.alerts import Alert
    from topics.budgets import Spending

_RECENT: Final = timedelta(days=1)
_DIFFERS: Final = 1


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(invoke_without_command=True)
    call = "tierstream budgets"
    group.callback(epilog=examples(call, f"{call} --json", f"{call} --check"))(show)
    group.command(epilog=examples(f"{call} alerts", f"{call} alerts --since 7d --json"))(alerts)
    app.add_typer(group, name="budgets")


def show(
    ctx: typer.Context,
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the ledger; exit code 1 where an account differs.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="With --check: where one differs, count calls that are missing.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="With --check: how long to wait for the sink.")
    ] = 30.0,
) -> None:
    """Show what each user, feature or tag has spent of its budgets, and how much is left."""
    if ctx.invoked_subcommand is not None:
        return
    if repair and not check:
        raise typer.BadParameter("--repair mends what --check finds: give --check too")
    settings = load_with_kafka(ctx)
    if check:
        settings = with_clickhouse(settings)
    view, found, written = asyncio.run(_look(settings, check=check, repair=repair, timeout_s=timeout))
    if as_json:
        differing = {"differences": [one.as_json() for one in found]} if found is not None else {}
        repaired = {"written": [one.model_dump(mode="json") for one in written]} if repair else {}
        show_json({"budgets": [report.as_json() for report in view.reports], **differing, **repaired})
    else:
        show_budgets(view.reports, has_budgets=bool(settings.budgets))
        if repair:
            show_written(written)
        if found is not None:
            show_differences(found, len(view.reports))
    if found:
        raise typer.Exit(_DIFFERS)


def alerts(ctx: typer.Context, since: Since = None, as_json: AsJson = False) -> None:
    """Show alerts about budgets and findings; those of the last day unless told otherwise."""
    settings = load_with_kafka(ctx)
    found = asyncio.run(_alerts(settings, since or utc_now() - _RECENT))
    if as_json:
        show_json({"alerts": [alert.model_dump(mode="json") for alert in found]})
    else:
        show_alerts(found)


async def _look(
    settings: Settings, *, check: bool, repair: bool, timeout_s: float
) -> tuple["BudgetView", list["Difference"] | None, list["Spending"]]:
    from tierstream.operations.budget_repair import write_missing  # noqa: PLC0415 - brings the clients
    from tierstream.operations.budgets import differences, read_budgets  # noqa: PLC0415

    await require_topics(settings.kafka, BUDGETS)
    if not check:
        return await read_budgets(settings, utc_now()), None, []
    view, found = await differences(settings, utc_now(), timeout_s)
    if not (repair and found):
        return view, found, []
    written = await write_missing(settings, view)
    return *await differences(settings, utc_now(), timeout_s), written


async def _alerts(settings: Settings, since: datetime) -> list["Alert"]:
    from tierstream.operations.budgets import read_alerts  # noqa: PLC0415 - brings the clients

    await require_topics(settings.kafka, ALERTS)
    return await read_alerts(settings, since)

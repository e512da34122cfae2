"""`tierstream report`: a command for each report of `analytics.reports`, all with the same options, and `shadow`."""

import asyncio
import inspect
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from analytics.reports import REPORTS
from streams.config.settings import Settings
from tierstream.cli.connection import load_settings, load_with_kafka, with_clickhouse
from tierstream.cli.help_text import examples
from tierstream.cli.model_orders import read_state
from tierstream.cli.moments import Since, parse_moment
from tierstream.cli.options import AsJson
from tierstream.cli.promotions import promotion_steps
from tierstream.cli.render.promotions import show_learning
from tierstream.cli.render.report import show_report
from tierstream.cli.render.results import show_json
from tierstream.operations.frontier import frontier_rates

if TYPE_CHECKING:
    from tierstream.operations.shadow_report import ShadowsReport

Until = Annotated[datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="Up to then.")]
Tag = Annotated[str | None, typer.Option(help="Only requests that carry it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    for name, report in REPORTS.items():
        about, *_ = inspect.cleandoc(report.__doc__ or "").split("\n\n")
        call = f"tierstream report {name}"
        epilog = examples(f"{call} --since 24h", f"{call} --tag nightly --json")
        group.command(name, help=about, epilog=epilog)(_command(name))
    group.command("learning", epilog=examples("tierstream report learning --since 30d"))(_learning)
    call = "tierstream report shadow"
    group.command("shadow", epilog=examples(call, f"{call} --name next --since 7d --json"))(shadow)
    app.add_typer(group, name="report")


def _command(name: str) -> Callable[..., None]:
    def ask(
        ctx: typer.Context, since: Since = None, until: Until = None, tag: Tag = None, as_json: AsJson = False
    ) -> None:
        settings = with_clickhouse(load_settings(ctx))
        found = asyncio.run(_found(name, settings, since, until, tag))
        if as_json:
            show_json(found.model_dump(mode="json"))
        else:
            show_report(name, found, settings)

    return ask


def _learning(ctx: typer.Context, since: Since = None, until: Until = None, as_json: AsJson = False) -> None:
    """Show which models were proposed, promoted, rejected and rolled back, when and why."""
    state = asyncio.run(read_state(load_with_kafka(ctx)))
    steps = [
        (version, one)
        for version, one in promotion_steps(state.promotions.values())
        if (since is None or one.at >= since) and (until is None or one.at < until)
    ]
    if as_json:
        show_json({"steps": [{"version": version, **one.model_dump(mode="json")} for version, one in steps]})
    else:
        show_learning(steps)


def shadow(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option(help="Only this shadow.")] = None,
    since: Since = None,
    until: Until = None,
    tag: Tag = None,
    as_json: AsJson = False,
) -> None:
    """Compare candidates that answer in the shadow of a tier with its models: quality, price, latency, decision."""
    from tierstream.cli.render.shadows import show_shadows  # noqa: PLC0415 - other reports need no statistics

    settings = with_clickhouse(load_settings(ctx))
    found = asyncio.run(_shadows(settings, since, until, tag, name))
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_shadows(found)


async def _shadows(
    settings: Settings, since: datetime | None, until: datetime | None, tag: str | None, name: str | None
) -> "ShadowsReport":
    from tierstream.operations.shadow_report import shadows_report  # noqa: PLC0415

    async with open_client(settings.clickhouse.url or "") as client:
        window = LedgerWindow(client, settings.clickhouse.database, since, until, tag)
        return await shadows_report(window, settings, name)


async def _found(
    name: str, settings: Settings, since: datetime | None, until: datetime | None, tag: str | None
) -> BaseModel:
    async with open_client(settings.clickhouse.url or "") as client:
        window = LedgerWindow(
            client, settings.clickhouse.database, since, until, tag, frontier_rates=lambda: frontier_rates(settings)
        )
        return await REPORTS[name](window)

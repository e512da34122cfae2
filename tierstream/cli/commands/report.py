"""`tierstream report`: a command for each report of `analytics.reports`, all with the same options, and `shadow`."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from analytics.reports import BY_TAG, REPORTS
from streams.config.settings import Settings
from tierstream.cli.connection import load_settings, load_with_kafka, with_clickhouse
from tierstream.cli.cost_reports import register_cost_reports
from tierstream.cli.help_text import argument_help, examples
from tierstream.cli.model_orders import read_state
from tierstream.cli.moments import Since, parse_moment
from tierstream.cli.options import AsJson
from tierstream.cli.promotions import promotion_steps
from tierstream.cli.render.promotions import show_learning
from tierstream.cli.render.report import show_csv, show_report
from tierstream.cli.render.results import show_json

if TYPE_CHECKING:
    from tierstream.operations.shadow_report import ShadowsReport

Until = Annotated[datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="Up to then.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print the first table as CSV.")]
_STATEMENT_S = 1800.0
"""How long a statement may take: to go through every call of a large ledger takes minutes."""

Tag = Annotated[str | None, typer.Option(help="Only requests that carry it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    for name, report in REPORTS.items():
        about, *_ = inspect.cleandoc(report.__doc__ or "").split("\n\n")
        call = f"tierstream report {name}"
        epilog = examples(f"{call} --since 24h", f"{call} --since 7d --csv")
        group.command(name, help=about, epilog=epilog)(_command(name))
    group.command("learning", epilog=examples("tierstream report learning --since 30d"))(_learning)
    call = "tierstream report shadow"
    group.command("shadow", epilog=examples(call, f"{call} --name next --since 7d --json"))(shadow)
    register_cost_reports(group)
    app.add_typer(group, name="report")


def _command(name: str) -> Callable[..., None]:
    """Make the command of a report; its parameters are those of every report, and the report's own."""

    def ask(
        ctx: typer.Context,
        since: Since = None,
        until: Until = None,
        tag: Tag = None,
        as_json: AsJson = False,
        as_csv: AsCsv = False,
        **more: Any,  # noqa: ANN401 - whatever the report takes
    ) -> None:
        if as_json and as_csv:
            raise typer.BadParameter("--json and --csv are two forms of the same: give one")
        settings = with_clickhouse(load_settings(ctx))
        found = asyncio.run(_found(name, settings, since, until, tag, more))
        if as_json:
            show_json(found.model_dump(mode="json"))
        elif as_csv:
            show_csv(found)
        else:
            show_report(name, found, settings)

    every = inspect.signature(ask, eval_str=True).parameters.values()
    common = [one for one in every if one.kind is not one.VAR_KEYWORD and (one.name != "tag" or name in BY_TAG)]
    parameters = inspect.signature(REPORTS[name], eval_str=True).parameters.values()
    own = [_option(one, argument_help(REPORTS[name], one.name)) for one in parameters if one.kind is one.KEYWORD_ONLY]
    # Typer reads both.
    ask.__signature__ = inspect.Signature([*common, *own])  # type: ignore[attr-defined]
    ask.__annotations__ = {one.name: one.annotation for one in (*common, *own)}
    return ask


def _option(parameter: inspect.Parameter, about: str) -> inspect.Parameter:
    """Make an option of a report's parameter; a boolean one is there or not."""
    names = [f"--{parameter.name.replace('_', '-')}"] if parameter.annotation is bool else []
    return parameter.replace(annotation=Annotated[parameter.annotation, typer.Option(*names, help=about)])


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
    name: str,
    settings: Settings,
    since: datetime | None,
    until: datetime | None,
    tag: str | None,
    more: Mapping[str, Any],
) -> BaseModel:
    from tierstream.operations.price_list import configured_prices  # noqa: PLC0415 - brings the price list

    async with open_client(settings.clickhouse.url or "", timeout_s=_STATEMENT_S) as client:
        window = LedgerWindow(
            client,
            settings.clickhouse.database,
            since,
            until,
            tag,
            prices=lambda: configured_prices(settings),
            lifetime=timedelta(seconds=settings.delivery.dedup_window_s),
        )
        return await REPORTS[name](window, **more)

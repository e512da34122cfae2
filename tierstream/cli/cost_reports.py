"""`tierstream report change`, `leverage` and `split`: what the money went for, and where less of it would do."""

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from analytics.change.periods import compared_periods
from analytics.change.report import CostChange, Dimension, cost_change
from analytics.clickhouse import open_client
from analytics.period import Period
from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from tierstream.cli.connection import load_settings, with_clickhouse
from tierstream.cli.help_text import examples
from tierstream.cli.moments import Since, parse_moment
from tierstream.cli.options import AsJson
from tierstream.cli.render.cost_change import show_change
from tierstream.cli.render.results import show_json

Until = Annotated[datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="Up to then.")]
_Versus = Annotated[
    datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="Of what it is compared with.")
]


def register_cost_reports(group: typer.Typer) -> None:
    """Add the commands."""
    call = "tierstream report change"
    group.command("change", epilog=examples(f"{call} --since 7d", f"{call} --since 30d --by feature --json"))(_change)


def _change(
    ctx: typer.Context,
    since: Since = None,
    until: Until = None,
    versus_since: _Versus = None,
    versus_until: _Versus = None,
    by: Annotated[Dimension, typer.Option(help="What to name the largest changes by.")] = "model",
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many of them at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Say why the cost changed: volume, tokens a request, mix of models, escalations, caching and price, to the cent.

    Two periods are compared, of whole hours or, above eight days, of whole days: the last seven days unless told
    otherwise, and as much time before.
    """
    settings = with_clickhouse(load_settings(ctx))
    try:
        periods = compared_periods(utc_now(), since, until, versus_since, versus_until)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    found = asyncio.run(_changed(settings, periods, by, top))
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_change(found)


async def _changed(settings: Settings, periods: tuple[Period, Period], by: Dimension, top: int) -> CostChange:
    async with open_client(settings.clickhouse.url or "") as client:
        return await cost_change(client, settings.clickhouse.database, periods, by, top)

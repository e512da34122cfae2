"""`tierstream report change`, `leverage` and `split`: what the money went for, and where less of it would do."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from analytics.change.periods import compared_periods, whole_period
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

if TYPE_CHECKING:
    from analytics.leverage.report import LeverageReport
    from analytics.leverage.split_report import SplitReport

_WHOLE: Final = 100
"""Per cent."""
_MONTH: Final = timedelta(days=30)
Until = Annotated[datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="Up to then.")]
_Versus = Annotated[
    datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="Of what it is compared with.")
]


def register_cost_reports(group: typer.Typer) -> None:
    """Add the commands."""
    call = "tierstream report change"
    group.command("change", epilog=examples(f"{call} --since 7d", f"{call} --since 30d --by feature --json"))(_change)
    call = "tierstream report leverage"
    group.command("leverage", epilog=examples(f"{call} --since 30d", f"{call} --discount 20 --html page.html"))(
        _leverage
    )
    call = "tierstream report split"
    group.command("split", epilog=examples(call, f"{call} --since 30d --model openai/gpt-6-luna"))(_split)


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


def _leverage(
    ctx: typer.Context,
    since: Since = None,
    until: Until = None,
    discount: Annotated[float, typer.Option(min=0, max=99, help="Per cent off list prices.")] = 20.0,
    margin: Annotated[float, typer.Option(min=0, max=50, help="Points by which good answers may be fewer.")] = 5.0,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the page to hand over to this file.")] = None,
    provider: Annotated[str | None, typer.Option(help="Whom the page is for; nothing of others stands on it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what could move to other providers, by measured quality: volume, saving, and what each would lose.

    Of the last 30 days unless told otherwise.
    """
    from analytics.leverage.page import UnpaidProviderError, leverage_page  # noqa: PLC0415 - other reports need no page
    from tierstream.cli.render.leverage import show_leverage  # noqa: PLC0415

    if provider is not None and html is None:
        raise typer.BadParameter("--provider says whom a page is for: give --html too")
    settings = with_clickhouse(load_settings(ctx))
    period = _period(since, until)
    found = asyncio.run(_leveraged(settings, period, margin / 100, Decimal(str(discount)) / 100))
    if html is not None:
        try:
            html.write_text(leverage_page(found, provider), encoding="utf-8")
        except UnpaidProviderError as problem:
            raise typer.BadParameter(str(problem)) from None
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_leverage(found)


def _period(since: datetime | None, until: datetime | None) -> Period:
    try:
        return whole_period(utc_now(), since, until, _MONTH)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None


async def _leveraged(settings: Settings, period: Period, margin: float, discount: Decimal) -> "LeverageReport":
    from tierstream.operations.cost_reports import CostReports  # noqa: PLC0415 - brings the price list

    async with open_client(settings.clickhouse.url or "") as client:
        return await CostReports(settings).leveraged(
            client, settings.clickhouse.database, period, margin=margin, discount=discount
        )


def _split(
    ctx: typer.Context,
    since: Since = None,
    until: Until = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="PROVIDER/MODEL", help="For the tier in between; may be repeated.")
    ] = None,
    between: Annotated[int, typer.Option(min=1, help="Number of the lower one of the two tiers.")] = 1,
    margin: Annotated[float, typer.Option(min=0, max=50, help="Points by which good answers may be fewer.")] = 5.0,
    closes: Annotated[
        tuple[float, float], typer.Option(metavar="FROM TO", help="Per cent of the gap that a model in between closes.")
    ] = (50.0, 100.0),
    as_json: AsJson = False,
) -> None:
    """Propose which requests a tier between two tiers should get, and what that saves; or say that none pays.

    From the last 30 days unless told otherwise, and for the models in the middle of the shipped settings of three tiers
    unless others are named.
    """
    from tierstream.cli.render.split import show_split  # noqa: PLC0415

    settings = with_clickhouse(load_settings(ctx))
    if not 0 <= closes[0] <= closes[1] <= _WHOLE:
        raise typer.BadParameter("--closes takes two numbers from 0 to 100, the lower one first")
    asked = (between, margin / _WHOLE, (closes[0] / _WHOLE, closes[1] / _WHOLE))
    found = asyncio.run(_splits(settings, _period(since, until), model or [], asked))
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_split(found)


async def _splits(
    settings: Settings, period: Period, named: list[str], asked: tuple[int, float, tuple[float, float]]
) -> "SplitReport":
    from analytics.leverage.split_report import Assumed  # noqa: PLC0415
    from tierstream.operations.cost_reports import CostReports, SplitError  # noqa: PLC0415 - brings the price list

    async with open_client(settings.clickhouse.url or "") as client:
        try:
            return await CostReports(settings).splits(
                client, settings.clickhouse.database, period, named=named, assumed=Assumed(*asked)
            )
        except SplitError as problem:
            raise typer.BadParameter(str(problem)) from None

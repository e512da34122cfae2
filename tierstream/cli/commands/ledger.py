"""`tierstream trace` and `tierstream report`: questions to the ledger in ClickHouse."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from tierstream.cli.connection import load_settings, with_clickhouse
from tierstream.cli.errors import FAILED, show_error
from tierstream.cli.help_text import examples
from tierstream.cli.moments import Since, parse_moment
from tierstream.cli.render.ledger import show_ledger, show_summary, show_trace
from tierstream.cli.render.results import show_json

if TYPE_CHECKING:
    from analytics.ledger_report import LedgerReport
    from analytics.reports import Summary, Trace


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=examples("tierstream trace 7f3a… --json"))(trace)
    reports = typer.Typer(no_args_is_help=True)
    reports.command(
        epilog=examples("tierstream report summary --since 24h", "tierstream report summary --tag nightly --json")
    )(summary)
    reports.command(
        epilog=examples("tierstream report ledger --since 24h", "tierstream report ledger --tag nightly --json")
    )(ledger)
    app.add_typer(reports, name="report")


def trace(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="ID", help="The request's id.")],
    as_json: AsJson = False,
) -> None:
    """Show the hops of a request: where it went, how long each step took and what it cost.

    Exit code 1 if the ledger knows nothing of it; the sink writes about a second behind.
    """
    found = asyncio.run(_trace(with_clickhouse(load_settings(ctx)), request_id))
    if found is None:
        show_error(f"the ledger knows nothing of request {request_id!r}")
        raise typer.Exit(FAILED)
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_trace(found)


def summary(
    ctx: typer.Context,
    since: Since = None,
    until: Annotated[datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="Up to then.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only requests that carry it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show cost, share and latency by tier, and what all of it would have cost on the frontier model."""
    settings = with_clickhouse(load_settings(ctx))
    found = asyncio.run(_summary(settings, since, until, tag))
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_summary(found, settings.frontier_ref)


def ledger(
    ctx: typer.Context,
    since: Since = None,
    tag: Annotated[str | None, typer.Option(help="Only requests that carry it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every kind of paid call, reconcile results with calls, and list unknown and duplicate calls."""
    found = asyncio.run(_ledger(with_clickhouse(load_settings(ctx)), since, tag))
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_ledger(found)


async def _trace(settings: Settings, request_id: str) -> "Trace | None":
    from analytics import reports  # noqa: PLC0415 - the client takes half a second to import
    from analytics.clickhouse import open_client  # noqa: PLC0415

    async with open_client(settings.clickhouse.url or "") as client:
        return await reports.trace(client, settings.clickhouse.database, request_id)


async def _summary(settings: Settings, since: datetime | None, until: datetime | None, tag: str | None) -> "Summary":
    from analytics import reports  # noqa: PLC0415
    from analytics.clickhouse import open_client  # noqa: PLC0415
    from streams.calls.pricing import PriceBook  # noqa: PLC0415

    provider, model = settings.frontier_ref.split("/", 1)
    rates = PriceBook(settings.prices, settings.providers).rates(provider, model, utc_now())
    async with open_client(settings.clickhouse.url or "") as client:
        return await reports.summary(
            client,
            settings.clickhouse.database,
            since,
            until,
            frontier_rates=(rates.input, rates.output, rates.cached),
            tag=tag,
        )


async def _ledger(settings: Settings, since: datetime | None, tag: str | None) -> "LedgerReport":
    from analytics.clickhouse import open_client  # noqa: PLC0415
    from analytics.ledger_report import ledger_report  # noqa: PLC0415

    async with open_client(settings.clickhouse.url or "") as client:
        return await ledger_report(client, settings.clickhouse.database, since, tag=tag)

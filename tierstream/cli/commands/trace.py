"""`tierstream trace`: the way of one request, from the ledger in ClickHouse."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streams.config.settings import Settings
from tierstream.cli.connection import load_settings, with_clickhouse
from tierstream.cli.errors import FAILED, show_error
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.ledger import show_trace
from tierstream.cli.render.results import show_json

if TYPE_CHECKING:
    from analytics.reports.trace import Trace


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("tierstream trace 7f3a… --json"))(trace)


def trace(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="ID", help="The request's id.")],
    as_json: AsJson = False,
) -> None:
    """Show the hops of a request: where it went, how long each step took and what it cost.

    They are there once the request has its result, or is parked; `llm.status` tells of it live.

    Exit code 1 if the ledger knows nothing of it; the sink writes about a second behind.
    """
    found = asyncio.run(_found(with_clickhouse(load_settings(ctx)), request_id))
    if found is None:
        show_error(f"the ledger knows nothing of request {request_id!r}")
        raise typer.Exit(FAILED)
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_trace(found)


async def _found(settings: Settings, request_id: str) -> "Trace | None":
    from analytics.clickhouse import open_client  # noqa: PLC0415 - the client takes half a second to import
    from analytics.reports.trace import trace  # noqa: PLC0415

    async with open_client(settings.clickhouse.url or "") as client:
        return await trace(client, settings.clickhouse.database, request_id)

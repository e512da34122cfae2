"""`tierstream submissions`: batches of providers that are under way, and those that have ended."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from tierstream.cli.connection import load_with_kafka
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.results import show_json
from tierstream.cli.render.submissions import show_submissions
from topics.registry import SUBMISSIONS

if TYPE_CHECKING:
    from tierstream.operations.submissions import SubmissionReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    call = "tierstream submissions"
    app.command(epilog=examples(call, f"{call} --all", f"{call} --all --json"))(submissions)


def submissions(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show batches of providers: calls in each, the provider's id of it, and when it is given up.

    With --all also how they ended, and how many calls were answered, for as long as the topic keeps records. Times
    are UTC.
    """
    found = asyncio.run(_reports(load_with_kafka(ctx), with_ended=everything))
    if as_json:
        show_json({"submissions": [report.as_json() for report in found]})
    else:
        show_submissions(found, with_ended=everything)


async def _reports(settings: Settings, *, with_ended: bool) -> list["SubmissionReport"]:
    from tierstream.operations.submissions import read_submissions, submission_reports  # noqa: PLC0415 - the clients

    await require_topics(settings.kafka, SUBMISSIONS)
    return submission_reports(await read_submissions(settings), with_ended=with_ended)

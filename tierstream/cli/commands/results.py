"""`tierstream results`: read what was published."""

from datetime import timedelta
from typing import Annotated

import typer

from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from streams.kafka.clock import utc_now
from tierstream.cli.connection import load_with_kafka
from tierstream.cli.errors import FAILED, show_error
from tierstream.cli.follow import follow_all, follow_one, run_until_interrupted
from tierstream.cli.help_text import examples
from tierstream.cli.moments import parse_duration
from tierstream.cli.render.results import show_answer, show_result
from tierstream.client.record_reader import RecordReader, Start, find_result
from topics.registry import RESULTS


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "tierstream results --since 10m",
            "tierstream results --follow --json",
            "tierstream results --request ID",
            "tierstream results --follow --stream",
            "tierstream results --request ID --stream",
        )
    )(results)


def results(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is published from now on.")] = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest that is kept.")
    ] = False,
    since: Annotated[
        timedelta | None,
        typer.Option(parser=parse_duration, metavar="AGO", help="Start that long ago: 30s, 10m, 2h, 1d; default: 1h."),
    ] = None,
    request: Annotated[str | None, typer.Option(metavar="ID", help="Only this request's; waits for it.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after that many.")] = None,
    timeout: Annotated[
        float,
        typer.Option(min=0, metavar="S", help="How long to wait with --request; with --stream, for the next sign."),
    ] = 30.0,
    stream: Annotated[
        bool, typer.Option("--stream", help="With --follow or --request: show text as it arrives, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Read published results; one line each.

    Without --follow it stops at the newest; with --follow alone it starts there.

    With --stream the text of requests that ask for streaming is shown as it arrives: raw for one request, else in
    whole lines behind the name of the request. When an attempt breaks off or its answer is not accepted, a line in
    brackets says that the text above is void. The result confirms the text, or is shown whole if it is another one.
    """
    if from_beginning and since is not None:
        raise typer.BadParameter("give either --from-beginning or --since")
    if request is not None and (follow or from_beginning or since is not None or limit is not None):
        raise typer.BadParameter("--request goes with --timeout, --stream and --json only")
    if stream and request is None and not follow:
        raise typer.BadParameter("--stream goes with --follow or --request")
    settings = load_with_kafka(ctx)
    if request is not None:
        run_until_interrupted(_wait_for(settings, request, timeout, stream=stream, as_json=as_json))
        return
    start: Start = "end" if follow else utc_now() - timedelta(hours=1)
    if from_beginning:
        start = "beginning"
    elif since is not None:
        start = utc_now() - since
    if stream:
        run_until_interrupted(follow_all(settings, start, limit=limit, as_json=as_json))
    else:
        run_until_interrupted(_read(settings, start, follow=follow, limit=limit, as_json=as_json))


async def _wait_for(settings: Settings, request_id: str, timeout_s: float, *, stream: bool, as_json: bool) -> None:
    lookback = timedelta(seconds=settings.delivery.dedup_window_s)
    if stream:
        result = await follow_one(settings, request_id, timeout_s=timeout_s, as_json=as_json)
    else:
        await require_topics(settings.kafka)
        result = await find_result(settings.kafka, request_id, lookback=lookback, timeout_s=timeout_s)
        if result is not None:
            show_answer(result, as_json=as_json)
    if result is None:
        show_error(f"no result of {request_id} within {timeout_s:g} s, nor in the last {lookback}")
        raise typer.Exit(FAILED)


async def _read(settings: Settings, start: Start, *, follow: bool, limit: int | None, as_json: bool) -> None:
    await require_topics(settings.kafka)
    shown = 0
    async with RecordReader(RESULTS, settings.kafka, start=start) as reader:
        async for result in aiter(reader) if follow else reader.until_end():
            show_result(result, as_json=as_json)
            shown += 1
            if shown == limit:
                return

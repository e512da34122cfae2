"""`tierstream run`: answer a file of requests, and go on where an interrupted run ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streams.config.settings import Settings
from tierstream.cli.connection import load_with_kafka
from tierstream.cli.errors import FAILED, show_error, show_warning
from tierstream.cli.help_text import examples
from tierstream.cli.progress import progress_console
from tierstream.cli.render.results import name_some, show_report
from tierstream.client.request_file import InputError, RequestFile, check_file
from tierstream.client.request_run import Resume, RunReport, run_requests
from tierstream.client.run_output import RunOutput
from tierstream.interrupts import INTERRUPTED
from topics.results import Result, ResultStatus

_REFRESH_S = 0.1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "tierstream run --input requests.jsonl --output results.jsonl",
            "tierstream run --input requests.jsonl.gz --output results.jsonl --rate 50 --strict --json",
        )
    )(run)


def run(
    ctx: typer.Context,
    input_file: Annotated[
        Path, typer.Option("--input", metavar="FILE", help="Requests as JSON, one a line; .gz will do.")
    ],
    output_file: Annotated[Path, typer.Option("--output", metavar="FILE", help="Results as JSON, one a line.")],
    rate: Annotated[float | None, typer.Option(min=0.001, metavar="N", help="Most requests a second.")] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most requests without a result. Too many, and they expire.")
    ] = 1000,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="S", help="Give up after so long without any progress.")
    ] = 300.0,
    run_id: Annotated[
        str | None, typer.Option(metavar="NAME", help="Names the run; default: the SHA-256 of the input.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if any result is not ok.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Send all requests of a file and write one result a line, in the order in which they come.

    Run it again after Ctrl-C, a kill or a crash: what has been answered is neither asked nor written again. Requests
    without a `request_id` get one that follows from the run and the line. Exit code 1 if a result is missing.
    """
    settings = load_with_kafka(ctx)
    asked = check_file(input_file, run_id=run_id, max_bytes=settings.kafka.request_max_bytes)
    if ignored := asked.unknown_fields.describe():
        show_warning(f"{input_file}: fields that nobody reads: {ignored}")
    report = RunReport()
    with RunOutput(output_file, run_id=asked.run_id, prefix=settings.kafka.prefix) as output:
        resume = _resume(settings, asked, output, report)
        try:
            asyncio.run(
                _run(settings, asked, output, resume, report, rate=rate, in_flight=in_flight, timeout_s=timeout)
            )
        except KeyboardInterrupt:
            typer.echo(
                f"interrupted with {report.results} of {len(asked.ids)} results in {output_file}: "
                "the same command goes on from there",
                err=True,
            )
            raise typer.Exit(INTERRUPTED) from None
    show_report(report, as_json=as_json, run_id=asked.run_id, output=str(output_file))
    _judge(report, timeout, strict=strict)


def _resume(settings: Settings, asked: RequestFile, output: RunOutput, report: RunReport) -> Resume:
    answered: set[str] = set()

    def note(result: Result) -> None:
        if result.request_id not in asked.ids or result.request_id in answered:
            raise InputError(
                f"{result.request_id}: a result in the output that is not the run's: choose another --output"
            )
        answered.add(result.request_id)
        report.add(result)

    output.written(note)
    # Within the window an id is answered once and for all, so its result may be older than the run.
    since = output.started_at - timedelta(seconds=settings.delivery.dedup_window_s)
    return Resume(ids=asked.ids, answered=answered, since=since)


async def _run(
    settings: Settings,
    asked: RequestFile,
    output: RunOutput,
    resume: Resume,
    report: RunReport,
    *,
    rate: float | None,
    in_flight: int,
    timeout_s: float,
) -> None:
    report.requests = len(asked.ids)
    async with _progress(report):
        await run_requests(
            settings,
            asked.requests(),
            on_result=output.write,
            timeout_s=timeout_s,
            rate=rate,
            in_flight=in_flight,
            resume=resume,
            report=report,
        )


@asynccontextmanager
async def _progress(report: RunReport) -> AsyncIterator[None]:
    """Show how the run goes on stderr, as long as that is a terminal."""
    console = progress_console()
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("results · {task.fields[produced]} sent · ${task.fields[cost]:.4f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("run", total=report.requests, produced=0, cost=0)

        async def refresh() -> None:
            while True:
                progress.update(task, completed=report.results, produced=report.produced, cost=report.cost_usd)
                await asyncio.sleep(_REFRESH_S)

        refreshing = asyncio.create_task(refresh())
        try:
            yield
        finally:
            refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await refreshing


def _judge(report: RunReport, timeout_s: float, *, strict: bool) -> None:
    problems = []
    if report.missing:
        ids = name_some(report.missing)
        problems.append(f"{len(report.missing)} without a result after {timeout_s:g} s of silence: {ids}")
    if report.duplicates:
        problems.append(f"{report.duplicates} requests have a second result on the topic")
    if strict and (others := report.results - report.statuses[ResultStatus.OK]):
        problems.append(f"{others} results are not ok")
    for problem in problems:
        show_error(problem)
    if problems:
        raise typer.Exit(FAILED)

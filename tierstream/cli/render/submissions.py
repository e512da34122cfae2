"""How batches of providers look on a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.operations.submissions import SubmissionReport

_COLUMNS = ("submission", "model", "stage", "calls", "since", "at the provider", "gives up")
_OF_ENDED = ("ended", "answered", "why")


def show_submissions(reports: Sequence["SubmissionReport"], *, with_ended: bool) -> None:
    """Print a line for each submission; where those that have ended are among them, also how they did."""
    if not reports:
        typer.echo("no submissions" if with_ended else "no submissions under way")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (*_COLUMNS, *(_OF_ENDED if with_ended else ())):
        table.add_column(name, justify="right" if name in {"calls", "answered"} else "left")
    for report in reports:
        table.add_row(*_cells(report), *(_ended_cells(report) if with_ended else ()))
    show_table(output(), table)


def _cells(report: "SubmissionReport") -> tuple[str, ...]:
    submission = report.submission
    return (
        printable(submission.submission_id),
        printable(report.model),
        printable(submission.stage),
        f"{report.calls:,}",
        _moment(submission.at),
        _batch_id(report),
        _moment(submission.gives_up_at) if report.ended is None else "-",
    )


def _batch_id(report: "SubmissionReport") -> str:
    if report.submitted is not None:
        return printable(report.submitted.batch_id)
    return "not submitted yet" if report.ended is None else "-"


def _ended_cells(report: "SubmissionReport") -> tuple[str, str, str]:
    ended = report.ended
    if ended is None:
        return "", "", ""
    return f"{ended.status} {_moment(ended.at)}", f"{ended.answered:,}", printable(ended.detail or "")


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"

"""How versions of the classifier's model look on a terminal."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import typer
from rich.table import Table

from streams.control.rollout import Activation, Step
from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable
from tierstream.operations.model_versions import ModelReport, WorkerModel
from topics.base import from_millis

_LINE: Final = "{:<12}  {:<8}  {:<23}  {:>8}  {:>7}"


def show_models(reports: Iterable[ModelReport]) -> None:
    """Print a line for each version, and one for what was published."""
    typer.echo(_LINE.format("version", "state", "since", "outcomes", "size").rstrip())
    for report in reports:
        known = report.published
        outcomes, size = (str(known.outcomes), f"{known.size / 1e6:.1f} MB") if known else ("", "")
        typer.echo(_LINE.format(report.version, report.role or "", _moment(report.since), outcomes, size).rstrip())
        if known is not None:
            note = f": {printable(known.note)}" if known.note else ""
            typer.echo(
                f"  {printable(known.classifier)} in decisions, published {_moment(known.at)} "
                f"by {printable(known.by)}{note}"
            )


def show_activation(step: Step, now: datetime) -> None:
    """Print from when on a version decides."""
    since = from_millis(step.since_ms)
    if not step.since_ms:
        typer.echo(f"{step.version} decides, as it always did")
    elif since > now:
        typer.echo(
            f"{step.version} decides requests from {_moment(since)} on, in {(since - now).total_seconds():.0f} s; "
            "`tierstream models show` tells what the workers say"
        )
    else:
        typer.echo(f"{step.version} decides requests since {_moment(since)}")


def show_workers(reports: Iterable[ModelReport], activation: Activation | None, workers: Iterable[WorkerModel]) -> None:
    """Print which versions decide since when, who ordered that, and a line for each worker."""
    table = _table("version", "state", "since")
    for report in reports:
        table.add_row(report.version, report.role or "", _moment(report.since))
    show_table(output(), table)
    if activation is None:
        typer.echo("no model was ever activated: each worker decides as its settings say")
        return
    order = activation.order
    typer.echo(f"{order.version} was ordered by {printable(order.by)} at {_moment(order.at)}")
    said = _table("worker", "model", "state")
    said.add_column("", overflow="fold")
    for worker in workers:
        status = worker.status
        state = status.state if worker.is_current else f"{status.state}?"
        detail = printable(status.detail) if worker.is_current else "of an earlier order: it has ended, or is cut off"
        said.add_row(printable(status.worker), status.version, state, detail)
    if said.row_count:
        show_table(output(), said)
    else:
        typer.echo("no worker has said anything about it yet")


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""

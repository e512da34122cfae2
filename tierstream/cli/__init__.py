"""The command line. A command group is one file here and one line in `_GROUPS`."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from tierstream.cli import (
    breakers,
    calibrate,
    chaos,
    config,
    dead_letters,
    demo,
    evaluate,
    ledger,
    models,
    results,
    route,
    run,
    send,
    simulator,
    sink,
    stack,
    topics,
    train,
    verify,
    worker,
)
from tierstream.cli.connection import Invocation
from tierstream.cli.errors import ErrorReportingGroup
from tierstream.cli.log_output import configure_logging

_GROUPS = (
    stack,
    demo,
    send,
    results,
    route,
    run,
    ledger,
    verify,
    dead_letters,
    breakers,
    train,
    evaluate,
    calibrate,
    models,
    topics,
    config,
    worker,
    sink,
    simulator,
    chaos,
)

app = typer.Typer(
    name="tierstream",
    cls=ErrorReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tierstream {version('tierstream')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Settings file; default: $TIERSTREAM_CONFIG, else ./tierstream.toml."
        ),
    ] = None,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log more to stderr; twice for everything.")
    ] = 0,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Cost-aware LLM routing as an event stream over Kafka.

    Exit codes: 0 done; 1 what was asked for did not succeed; 2 wrong usage, settings or environment.
    """
    configure_logging(verbose)
    ctx.obj = Invocation(config_file, verbose)


for group in _GROUPS:
    group.register(app)


def main() -> None:
    """Run the console script."""
    app()

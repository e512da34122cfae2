"""How work goes on that takes longer than a moment, on stderr; Ctrl-C ends it quietly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tierstream.interrupts import INTERRUPTED

_quiet: Final = ContextVar("quiet", default=False)


def configure_progress(*, quiet: bool) -> None:
    """Decide for the command whether progress is shown."""
    _quiet.set(quiet)


def progress_console() -> Console:
    """Return the console for progress: stderr, or nothing if none is wanted."""
    return Console(stderr=True, quiet=_quiet.get())


@contextmanager
def progress_bar(
    label: str, interrupted: str = "interrupted: nothing was written", *, hidden: bool = False
) -> Iterator[Callable[[float], None]]:
    """Show a bar while the body runs, where stderr is a terminal.

    Args:
        label: What is going on.
        interrupted: What to say after Ctrl-C, which ends the command with exit code 130.
        hidden: Whether to show none, where the body writes to the terminal itself.

    Yields:
        What to call with the share that is done.
    """
    console = progress_console()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    disable = hidden or not console.is_terminal
    # What the body writes to stdout belongs there and not beside the bar.
    with Progress(*columns, console=console, transient=True, disable=disable, redirect_stdout=False) as shown:
        task = shown.add_task(label, total=1.0)
        try:
            yield lambda done: shown.update(task, completed=done)
        except KeyboardInterrupt:
            shown.stop()
            typer.echo(interrupted, err=True)
            raise typer.Exit(INTERRUPTED) from None

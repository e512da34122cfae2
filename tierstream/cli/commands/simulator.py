"""`tierstream simulator`: the provider simulator as a service of its own."""

import typer

from tierstream.cli.help_text import examples
from tierstream.simulator.__main__ import main


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulator", epilog=examples("tierstream simulator --port 8089 --time-scale 0"))(main)

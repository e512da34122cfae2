"""`tierstream evaluate --conversations`: how good the signals that rules ask for are on labelled conversations."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tierstream.cli.labelled.inputs import INTERRUPTED
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.results import show_json

LabelledConversations = Annotated[
    Path | None,
    typer.Option(
        "--conversations", metavar="FILE", help="Labelled conversations as JSON, one a line, instead of outcomes."
    ),
]

_OPTIONS = frozenset({"conversations", "bootstrap", "seed", "as_json"})


def evaluate_conversations(ctx: typer.Context, file: Path, *, draws: int, seed: int, as_json: bool) -> None:
    """Judge the signals that ship, and print what they reach.

    Raises:
        BadParameter: There is an option that means nothing for conversations.
        InputError: A file that can't be used.
        OSError: The file can't be read.
    """
    _require_alone(ctx)
    from streams.routing.conversation_signals import signals_of  # noqa: PLC0415 - NumPy takes a while to import
    from tierstream.cli.render.signals import show_signals  # noqa: PLC0415
    from tierstream.training.labelled_conversations import read_conversations  # noqa: PLC0415
    from tierstream.training.signal_report import report  # noqa: PLC0415

    conversations = read_conversations(file)
    given = [signals_of(conversation.messages) for conversation in conversations]
    with progress_bar("drawing intervals", INTERRUPTED):
        groups = report(conversations, given, draws, seed)
    if as_json:
        show_json({"conversations": len(conversations), "groups": [*map(asdict, groups)]})
    else:
        show_signals(groups)


def _require_alone(ctx: typer.Context) -> None:
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if name not in _OPTIONS and source is not None and source.name != "DEFAULT":
            raise typer.BadParameter(f"--{name.replace('_', '-')} does not go with --conversations: leave it out")

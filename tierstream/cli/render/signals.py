"""How the signals of labelled conversations look on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.training.request_report import Figure
    from tierstream.training.signal_report import SignalGroup


def show_signals(groups: Sequence["SignalGroup"]) -> None:
    """Print precision and recall of each signal, in all and by language."""
    everything, *languages = groups
    table = Table(title=f"{everything.conversations} conversations", title_justify="left")
    for label in ("signal", "labelled", "given", "precision [95 %]", "recall [95 %]"):
        table.add_column(label, justify="left" if label == "signal" else "right", no_wrap=True)
    for name, found in everything.figures.items():
        counts = (str(found.labelled), str(found.given))
        table.add_row(name, *counts, _percent(found.precision, spanned=True), _percent(found.recall, spanned=True))
    show_table(output(), table)
    if not languages:
        return
    table = Table(title="by language: precision / recall", title_justify="left")
    for label in ("language", "conversations", *everything.figures):
        table.add_column(label, justify="left" if label == "language" else "right")
    for group in languages:
        cells = (f"{_percent(found.precision)} / {_percent(found.recall)}" for found in group.figures.values())
        # As text: a name from a file is no markup.
        table.add_row(Text(printable(group.language)), str(group.conversations), *cells)
    show_table(output(), table)


def _percent(found: "Figure | None", *, spanned: bool = False) -> str:
    if found is None:
        return "-"
    if not spanned or found.interval is None:
        return f"{found.value:.1%}"
    return f"{found.value:.1%} [{found.interval.low:.1%}, {found.interval.high:.1%}]"

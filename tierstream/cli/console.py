"""Where tables and lines go: as wide as the terminal, or, in a file or a pipe, as wide as they are."""

import errno
from typing import Final, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNLIMITED: Final = 100_000


class _Output(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the root of the commands, which ends all of them alike; rich would exit with 1."""
        raise BrokenPipeError(errno.EPIPE, "the reader of the output has gone")


def output(*, markup: bool = False) -> Console:
    """Return the console of stdout, which breaks lines only at the edge of a terminal."""
    console = _Output(highlight=False, markup=markup)
    # Not `is_terminal`, which FORCE_COLOR makes true of a pipe.
    if not console.file.isatty():
        console.width = _UNLIMITED
    return console


def show_table(console: Console, table: Table) -> None:
    """Print a table; where the terminal is too narrow for it, each cell on a line behind the name of its column."""
    wide = console.options.update(max_width=_UNLIMITED)
    if console.measure(table, options=wide).minimum <= console.width:
        for column in table.columns:
            column.overflow = "fold"
        console.print(table)
        return
    if table.title:
        console.print(table.title)
    names = [str(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        for name, cell in zip(names, row, strict=True):
            text = cell if isinstance(cell, Text) else console.render_str(str(cell))
            if text.plain.strip():
                console.print(Text.assemble((f"{name}: " if name else "", "bold"), text), overflow="fold")
        console.print()

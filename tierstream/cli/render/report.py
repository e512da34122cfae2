"""How a report looks on a terminal: in a layout of its own, or as its figures and tables stand in its record."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel
from rich.table import Table

from streams.config.settings import Settings
from tierstream.cli.console import output, show_table
from tierstream.cli.render.ledger import show_ledger, show_summary
from tierstream.cli.render.results import printable

_LAID_OUT: Final[dict[str, Callable[[Any, Settings], None]]] = {
    "summary": lambda found, settings: show_summary(found, settings.frontier_ref),
    "ledger": lambda found, _: show_ledger(found),
}


def show_report(name: str, found: BaseModel, settings: Settings) -> None:
    """Print a report; one without a layout of its own as `show_figures` does."""
    if name in _LAID_OUT:
        _LAID_OUT[name](found, settings)
    else:
        show_figures(found)


def show_figures(found: BaseModel) -> None:
    """Print a line for each figure of a record, and below them a table for each list of records."""
    console = output()
    tables = {name: rows for name, rows in found if _is_table(rows)}
    figures = {name: value for name, value in found if name not in tables}
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        console.print(f"{_words(name):<{width}}  {_cell(name, value)}")
    for name, rows in tables.items():
        table = Table(title=_words(name))
        for column, value in rows[0]:
            table.add_column(_words(column), justify="right" if isinstance(value, int | float | Decimal) else "left")
        for row in rows:
            table.add_row(*(_cell(column, value) for column, value in row))
        show_table(console, table)


def _is_table(value: object) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(row, BaseModel) for row in value)


def _words(name: str) -> str:
    return name.removesuffix("_usd").replace("_", " ")


def _cell(name: str, value: object) -> str:
    match value:
        case None | () | []:
            return "-"
        case Decimal():
            return f"${value:.6f}"
        case float():
            return f"{value:.1%}" if name.endswith("share") else f"{value:.1f}"
        case dict():
            return ", ".join(f"{key} {_cell(name, one)}" for key, one in value.items()) or "-"
        case BaseModel():
            return " / ".join(_cell(inner, one) for inner, one in value)
        case _:
            return printable(str(value))

"""How a report looks on a terminal: in a layout of its own, or as its figures and tables stand in its record."""

import csv
import sys
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, get_args

from pydantic import BaseModel
from rich.table import Table

from streams.config.settings import Settings
from tierstream.cli.console import output, show_table
from tierstream.cli.render.findings import show_findings
from tierstream.cli.render.ledger import show_ledger, show_summary
from tierstream.cli.render.results import printable
from tierstream.csv_cells import csv_cell

_LAID_OUT: Final[dict[str, Callable[[Any, Settings], None]]] = {
    "summary": lambda found, settings: show_summary(found, settings.frontier_ref),
    "ledger": lambda found, _: show_ledger(found),
    "findings": lambda found, _: show_findings(found),
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
    tables = _tables(found)
    figures = {name: value for name, value in found if name not in tables}
    width = max(map(len, figures), default=0)
    for name, value in figures.items():
        console.print(f"{_words(name):<{width}}  {_cell(name, value)}")
    for name in tables:
        if not (rows := getattr(found, name)):
            continue
        table = Table(title=_words(name))
        for column, value in rows[0]:
            table.add_column(_words(column), justify="right" if isinstance(value, int | float | Decimal) else "left")
        for row in rows:
            table.add_row(*(_cell(column, value) for column, value in row))
        show_table(console, table)


def show_csv(found: BaseModel) -> None:
    """Print the first list of records of a report, with the names of its fields above; without one, its figures.

    Texts that a spreadsheet would run as formulas are made harmless (`csv_cell`).
    """
    tables = _tables(found)
    if tables:
        name, kind = next(iter(tables.items()))
        rows = [_flat(row) for row in getattr(found, name)]
        # Figures of findings have names of their own.
        columns = list(dict.fromkeys(name for row in rows for name in row)) or list(kind.model_fields)
    else:
        rows = [_flat(found)]
        columns = list(rows[0])
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: csv_cell(cell) for column, cell in row.items()} for row in rows)


def _tables(found: BaseModel) -> dict[str, type[BaseModel]]:
    """Return the fields that are lists of records, in order, with the type of a row."""
    tables = {}
    for name, field in type(found).model_fields.items():
        match get_args(field.annotation):
            case (type() as row, rest) if rest is ... and issubclass(row, BaseModel):
                tables[name] = row
    return tables


def _flat(record: BaseModel) -> dict[str, str]:
    """Return the fields of a record as JSON has them, those of a record in it under both names."""
    cells: dict[str, str] = {}
    for name, value in record.model_dump(mode="json").items():
        match value:
            case dict():
                cells.update({f"{name}_{inner}": printable(str(one)) for inner, one in value.items()})
            case list():
                cells[name] = printable(" ".join(map(str, value)))
            case _:
                cells[name] = "" if value is None else printable(str(value))
    return cells


def _words(name: str) -> str:
    return name.removesuffix("_usd").replace("_", " ")


def _cell(name: str, value: object) -> str:
    match value:
        case None | () | [] | "":
            return "-"
        case Decimal() | float() | datetime():
            return _figure(name, value)
        case dict():
            return ", ".join(f"{key} {_cell(name, one)}" for key, one in value.items()) or "-"
        case BaseModel():
            return " / ".join(_cell(inner, one) for inner, one in value)
        case _:
            return printable(str(value))


def _figure(name: str, value: Decimal | float | datetime) -> str:
    match value:
        case Decimal():
            return f"${value:.6f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case _:
            return f"{value:.1%}" if name.endswith("share") else f"{value:.1f}"

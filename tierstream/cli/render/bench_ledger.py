"""How the figures of a ledger of a month look on a terminal."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from tierstream.bench.ledger_speed import LedgerSpeed
from tierstream.cli.console import output, show_table

_SMALL = 1.0
"""Bytes of a row below which a column is not shown; JSON has it."""


def show_ledger(report: LedgerSpeed) -> None:
    """Print how a ledger was filled, then its tables, columns, roll-ups and reports."""
    console, machine = output(markup=True), report.machine
    console.print(f"{machine.cpus} CPUs, {machine.system}, Python {machine.python}, tierstream {machine.tierstream}")
    console.print(
        f"{report.requests:,} requests of {report.users:,} users in {report.days} days: {report.rows:,} rows, "
        f"{report.hops:,} hops{_pace(report)}; {report.bytes / 1e6:,.0f} MB, "
        f"{report.bytes_a_request:g} bytes a request, {report.bytes_a_hop:g} a hop\n"
    )
    show_table(
        console,
        _table(
            ("table", "rows", "bytes", "bytes a row"),
            [(one.table, f"{one.rows:,}", f"{one.bytes:,}", f"{one.bytes_a_row:.1f}") for one in report.tables],
        ),
    )
    console.print()
    show_table(
        console,
        _table(
            ("column", "bytes a row"),
            [
                (f"{one.table}.{one.column}", f"{one.bytes_a_row:.2f}")
                for one in report.columns
                if one.bytes_a_row >= _SMALL
            ],
        ),
    )
    console.print()
    show_table(
        console,
        _table(
            ("roll-ups", "hours", "seconds"),
            [(one.what, f"{one.hours}", f"{one.seconds:.2f}") for one in report.builds],
        ),
    )
    console.print()
    show_table(
        console,
        _table(
            ("report", "days", "cold, ms", "warm, ms"),
            [(one.report, f"{one.days}", _ms(one.cold_ms), one.failed or _ms(one.warm_ms)) for one in report.reports],
        ),
    )


def _ms(time_ms: float | None) -> str:
    return "-" if time_ms is None else f"{time_ms:,.0f}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _pace(report: LedgerSpeed) -> str:
    return "" if report.rows_a_s is None else f"; {report.rows_a_s:,.0f} rows/s"

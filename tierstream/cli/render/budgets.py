"""How budgets and alerts look on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from streams.budgets.money import in_words
from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable
from topics.alerts import Alert
from topics.budgets import Spending

if TYPE_CHECKING:
    from tierstream.operations.budgets import BudgetReport, Difference


def show_budgets(reports: Sequence["BudgetReport"], *, has_budgets: bool) -> None:
    """Print a line for each account."""
    if not reports:
        typer.echo("nothing was spent" if has_budgets else "no budgets: add [[budgets]] to the settings")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("budget", "of", "window"):
        table.add_column(column)
    for column in ("spent", "held", "limit", "share"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for report in reports:
        one = report.plan.settings
        table.add_row(
            one.name,
            printable(report.plan.account(report.key)),
            one.window,
            in_words(report.spent_usd),
            in_words(report.held_usd),
            in_words(one.usd),
            f"{report.share:.1%}",
            report.state,
        )
    show_table(output(), table)


def show_differences(differences: Sequence["Difference"], accounts: int) -> None:
    """Print whether the ledger agrees, and where it does not."""
    if not differences:
        typer.echo(f"{accounts} accounts agree with the ledger")
    for one in differences:
        name = printable(one.plan.account(one.key))
        typer.echo(
            f"{one.plan.name} of {name}: {in_words(one.spent_usd)} spent, {in_words(one.ledger_usd)} in the ledger"
        )


def show_written(spendings: Sequence[Spending]) -> None:
    """Print which spendings were missing and are counted now."""
    if not spendings:
        typer.echo("no spending was missing")
    for one in spendings:
        typer.echo(f"counted {in_words(one.cost_usd)} of call {one.call_id}, request {printable(one.request_id)}")


def show_alerts(alerts: Sequence[Alert]) -> None:
    """Print each alert: when, what, and the sentence about it."""
    if not alerts:
        typer.echo("no alerts")
    for alert in alerts:
        typer.echo(f"{alert.at.isoformat(timespec='seconds')}  {alert.kind:<16}  {printable(alert.title)}")
        typer.echo(f"{'':<27}{printable(alert.text)}")

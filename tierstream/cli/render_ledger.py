"""How the ledger report looks on a terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tierstream.cli.render import printable

if TYPE_CHECKING:
    from analytics.ledger_report import LedgerReport, ListedCall, Reconciliation


def show_ledger(found: "LedgerReport") -> None:
    """Print calls, money and the calls that an operator should look at."""
    console = Console()
    statuses = ", ".join(f"{status} {count}" for status, count in found.statuses.items())
    console.print(f"{found.requests} requests: {statuses or '-'}")
    table = Table(title="paid calls")
    for column in ("purpose", "model", "outcome"):
        table.add_column(column)
    for column in ("calls", "cost"):
        table.add_column(column, justify="right")
    for group in found.calls:
        model = f"{group.provider}/{group.model}"
        table.add_row(group.purpose, model, group.outcome, str(group.calls), f"${group.cost_usd:.6f}")
    console.print(table)
    _show_money(console, found.money)
    for call in found.listed:
        console.print(_line(call), soft_wrap=True, highlight=False, markup=False)


def _show_money(console: Console, money: "Reconciliation") -> None:
    lines = (
        ("results say", money.results_cost_usd),
        ("calls cost", money.calls_cost_usd),
        ("  in a route", money.routed_cost_usd),
        ("  duplicate", money.duplicate_cost_usd),
        ("  in no route", money.unrouted_cost_usd),
        ("  no result yet", money.unsettled_cost_usd),
        ("unexplained", money.unexplained_usd),
        ("unknown, estimated", money.unknown_estimate_usd),
    )
    for name, cost in lines:
        console.print(f"{name:<20}${cost:.12f}")


def _line(call: "ListedCall") -> str:
    cost = "of unknown cost" if call.cost_usd is None else f"${call.cost_usd:.6f}"
    parts = (
        f"{call.outcome} call {call.call_id}",
        f"request {printable(call.request_id)}",
        f"{call.stage}, {call.provider}/{call.model}",
        f"started {call.started_at:%Y-%m-%d %H:%M:%S}",
        f"one of {call.attempt_calls} of its attempt" if call.attempt_calls > 1 else "the only one of its attempt",
        f"about {cost}" if call.is_estimated and call.cost_usd is not None else cost,
    )
    return "; ".join((*parts, "may still run") if call.may_run else parts)

"""How the leverage report looks on a terminal."""

from rich.table import Table

from analytics.leverage.report import LeverageReport, ProviderLeverage
from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable


def show_leverage(found: LeverageReport) -> None:
    """Print a line for each provider, then what could move away from each, dearest first."""
    console = output()
    console.print(
        f"{found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}  ${found.cost_usd:.2f}, ${found.monthly_usd:.2f} a month"
    )
    if not found.providers:
        console.print("nothing was paid in this period")
        return
    off = f"{found.discount:.0%} off"
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("provider")
    for column in ("spend", "could move", "it would lose", "saved at list", f"saved at {off}", f"staying at {off}"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in found.providers:
        amounts = (one.movable_usd, one.list_saving_usd, one.discount_saving_usd, one.stay_saving_usd)
        table.add_row(
            printable(one.provider), f"${one.cost_usd:.2f}", f"{one.movable_share:.1%}", *(f"${n:.2f}" for n in amounts)
        )
    show_table(console, table)
    for one in found.providers:
        if one.moves:
            console.print(f"\nfrom {printable(one.provider)}")
            show_table(console, _moves(one, off))


def _moves(one: ProviderLeverage, off: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("from", "to", "query type"):
        table.add_column(column)
    for column in ("cost", "saved at list", f"saved at {off}", "good answers", "known from"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for move in one.moves:
        table.add_row(
            printable(move.source),
            printable(move.target),
            printable(move.query_type) or "none",
            f"${move.cost_usd:.2f}",
            f"${move.list_saving_usd:.2f}",
            f"${move.discount_saving_usd:.2f}",
            f"{move.quality_difference:+.1%} ({move.low:+.1%} to {move.high:+.1%})",
            f"{move.looks:.0f}",
            f"{move.standing}, needs a trial" if move.needs_trial else move.standing,
        )
    return table

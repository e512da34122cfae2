"""How the findings of shadows look on a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.operations.shadow_report import ComparedType, ShadowReport, ShadowsReport


def show_shadows(found: "ShadowsReport") -> None:
    """Print a paragraph and a table for each shadow, then what all of them cost."""
    console = output()
    if not found.shadows:
        console.print("no shadow has ended a comparison in this window")
    for shadow in found.shadows:
        for line in _lines(shadow):
            console.print(printable(line))
        show_table(console, _table(shadow))
    for cost in found.costs:
        console.print(
            f"cost of {printable(cost.name) or 'what is under way'}: candidate ${cost.candidate_cost_usd:.6f} in "
            f"{cost.candidate_calls} calls, judges ${cost.judge_cost_usd:.6f} in {cost.judge_calls}"
        )


def _lines(shadow: "ShadowReport") -> Iterator[str]:
    past = "" if shadow.is_configured else " (not in the settings)"
    yield f"{shadow.name}: {shadow.model}{past}"
    yield f"decision  {shadow.decision}: {shadow.reason}"
    if shadow.candidate_cost_usd is not None and shadow.incumbent_cost_usd is not None:
        prices = f"${shadow.candidate_cost_usd:.6f} an answer, the others ${shadow.incumbent_cost_usd:.6f}"
        times = f"{shadow.candidate_p50_ms:.0f} ms (p50), the others {shadow.incumbent_p50_ms:.0f} ms"
        yield f"price     {prices}"
        yield f"latency   {times}"
    yield (
        f"besides   {shadow.failed} without an answer, {shadow.unjudged} unjudged, "
        f"{shadow.unaffordable} for which there was no money, {shadow.late} too late"
    )


def _table(shadow: "ShadowReport") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("query type")
    for column in ("compared", "won", "tied", "lost", "won less lost", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    table.add_row("all", *_cells(shadow), "")
    for kind in shadow.types:
        table.add_row(printable(kind.query_type) or "none", *_cells(kind), "worse" if kind.is_worse else "")
    return table


def _cells(row: "ShadowReport | ComparedType") -> tuple[str, ...]:
    counts = (row.wins + row.ties + row.losses, row.wins, row.ties, row.losses)
    difference = "-" if row.difference is None else f"{row.difference:+.1%}"
    return (*map(str, counts), difference, f"{row.low:+.1%} to {row.high:+.1%}")

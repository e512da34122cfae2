"""How the proposal for a tier in between looks on a terminal."""

from typing import Final

from rich.table import Table

from analytics.leverage.split_report import Interval, Proposal, SplitReport
from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

_MOST: Final = 20
"""Kinds of requests that are shown; `--json` has all."""


def show_split(found: SplitReport) -> None:
    """Print for each model whether it pays, and for those that do which requests it should get."""
    console = output()
    console.print(
        f"{found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}  tier {found.upper} answered {found.upper_requests:,} "
        f"requests for ${found.upper_usd:.2f}; {found.read_share:.0%} of all were read"
    )
    console.print(
        f"a model between tiers {found.lower} and {found.upper} is taken to close {found.closes_from:.0%} to "
        f"{found.closes_to:.0%} of the gap between them (log odds of a good answer)"
    )
    if not found.proposals:
        console.print("no model to propose: name one with --model")
    for one in found.proposals:
        verdict = "yes" if one.pays else "no"
        console.print(f"\n{printable(one.model)}  {verdict}: {printable(one.reason)}")
        if one.pays:
            monthly = _usd(one.monthly_saving_usd)
            console.print(f"saves {_usd(one.saving_usd)}, {one.saving_share:.0%} of the upper tier; a month {monthly}")
            console.print(
                f"answers {_share(one.as_good_share)} of the upper tier's requests well, as {one.requests:,} move"
            )
        if one.parts:
            show_table(console, _parts(one))
        if rest := one.parts[_MOST:]:
            moving = sum(part.moves for part in rest)
            console.print(f"and {len(rest)} smaller kinds of requests, of which {moving} move: --json has them")


def _parts(one: Proposal) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("query type")
    for column in ("sure of lower", "requests", "cost", "good in between", "above", "saves"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for part in one.parts[:_MOST]:
        table.add_row(
            (printable(part.query_type) or "none") + (", escalated" if part.is_escalated else ""),
            "-" if part.sure is None else f"{part.sure:.0%}",
            f"{part.requests:,}",
            f"${part.upper_usd:.2f}",
            _share(part.good),
            f"{part.upper_good:.0%}",
            _usd(part.saving_usd),
            "moves" if part.moves else "stays",
        )
    return table


def _usd(amount: Interval) -> str:
    return f"${amount.value:.2f} (${amount.low:.2f} to ${amount.high:.2f})"


def _share(share: Interval) -> str:
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"

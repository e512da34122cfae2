"""How it looks on a terminal why the cost changed."""

from decimal import Decimal
from typing import Final

from rich.table import Table

from analytics.change.decomposition import Effect
from analytics.change.report import ChangedRow, ComparedPeriod, CostChange
from analytics.change.rounding import CENT, rounded_to, to_step
from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

_WORDS: Final = {
    Effect.VOLUME: "volume",
    Effect.TOKENS: "tokens a request",
    Effect.MIX: "mix of models",
    Effect.ESCALATIONS: "escalations",
    Effect.CACHING: "caching",
    Effect.PRICE: "price",
}
_FINE: Final = Decimal("0.000001")
_SMALL: Final = Decimal(10)
"""US dollars; amounts of comparisons in which everything is below are shown in millionths."""


def show_change(found: CostChange) -> None:
    """Print what each period cost, what each effect brought and by whom, and the rows that changed most."""
    console = output()
    step = _FINE if max(found.before.cost_usd, found.after.cost_usd) < _SMALL else CENT
    before, after = (to_step(period.cost_usd, step) for period in (found.before, found.after))
    console.print(f"{_period(found.before)}  ${before}")
    console.print(f"{_period(found.after)}  ${after}")
    difference = after - before
    share = f" ({difference / before:+.1%})" if before else ""
    console.print(f"difference  {_signed(difference)}{share}\n")
    show_table(console, _effects(found, difference, step))
    console.print()
    show_table(console, _drivers(found))
    if found.rows:
        console.print()
        show_table(console, _rows(found, step))
    if found.by == "user":
        console.print(
            "volume of users: their calls, of escalated tasks too; price: of a token on average, with caching"
        )


def _effects(found: CostChange, difference: Decimal, step: Decimal) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("effect")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("mostly")
    shown = rounded_to({one.effect: one.usd for one in found.effects}, difference, step)
    for one in found.effects:
        parts = [(part.key, to_step(part.usd, step)) for part in one.mostly]
        mostly = ", ".join(f"{printable(key) or 'none'} {_signed(usd)}" for key, usd in parts if usd)
        table.add_row(_WORDS[one.effect], _signed(shown[one.effect]), mostly)
    table.add_row("in all", _signed(difference), "")
    return table


def _drivers(found: CostChange) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for name in ("before", "after"):
        table.add_column(name, justify="right", no_wrap=True)
    before, after = found.before, found.after
    table.add_row("requests", f"{before.requests:,}", f"{after.requests:,}")
    for name, words, form in (
        ("calls_per_request", "paid calls a request", "{:.3f}"),
        ("tokens_per_request", "tokens a request", "{:,.0f}"),
        ("escalated_calls_share", "escalated, of calls for an answer", "{:.2%}"),
        ("cached_share", "cached, of the input", "{:.2%}"),
    ):
        values = (getattr(before, name), getattr(after, name))
        table.add_row(words, *("-" if value is None else form.format(value) for value in values))
    return table


def _rows(found: CostChange, step: Decimal) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(found.by.replace("_", " "))
    effects = [effect for effect in Effect if effect in found.rows[0].effects]
    for column in ("before", "after", "difference", *(_WORDS[effect] for effect in effects)):
        table.add_column(column, justify="right", no_wrap=True)
    for row in (*found.rows, *([found.others] if found.others else [])):
        table.add_row(*_cells(row, effects, step))
    return table


def _cells(row: ChangedRow, effects: list[Effect], step: Decimal) -> list[str]:
    before, after = to_step(row.before_usd, step), to_step(row.after_usd, step)
    shown = rounded_to(row.effects, after - before, step) if row.effects else {}
    parts = [_signed(shown[effect]) if effect in shown else "-" for effect in effects]
    return [printable(row.key) or "none", f"${before}", f"${after}", _signed(after - before), *parts]


def _period(period: ComparedPeriod) -> str:
    return f"{period.since:%Y-%m-%d %H:%M} to {period.until:%Y-%m-%d %H:%M}"


def _signed(usd: Decimal) -> str:
    sign = "-" if usd < 0 else "+" if usd else ""
    return f"{sign}${abs(usd)}"

"""How decisions on labelled requests look on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.training.request_costs import Choice, Decided
    from tierstream.training.request_report import Figure, Figures, Report
    from tierstream.training.simulated_voter import Voted

_SHARES = {
    "right": "right",
    "too_low": "too low",
    "too_high": "too high",
    "on_tier_1": "1 on 1",
    "on_tier_2": "2 on 2",
    "on_tier_3": "3 on 3",
    "query_type": "query type",
}
_OTHERS = {
    "auc_more_than_1": "AUC: more than 1",
    "auc_tier_3": "AUC: tier 3",
    "error_more_than_1": "calibration error: more than 1",
    "error_tier_3": "calibration error: tier 3",
}


def show_report(found: "Report", thresholds: Sequence[float]) -> None:
    """Print the figures in all, by the second labels, and in a table for each way to sort requests."""
    console = output()
    everything, *sorted_groups = found.groups
    steps = ", ".join(f"{at:.4g}" for at in thresholds)
    table = Table(title=f"{everything.requests} requests, up from {steps}", title_justify="left")
    columns = {"all": everything.figures}
    if found.second is not None:
        if found.second.requests < everything.requests:
            columns[f"the {found.second.requests} with a second label"] = found.second.by_first
        columns["judged by the second label"] = found.second.figures
    table.add_column("figure", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for name, label in {**_SHARES, **_OTHERS}.items():
        table.add_row(label, *(_with_interval(figures, name) for figures in columns.values()))
    if found.second is not None:
        blank = [""] * (len(columns) - 1)
        table.add_row("labels of the same tier", *blank, _percent(found.second.same_tier, spanned=True))
    show_table(console, table)
    for by in dict.fromkeys(group.by for group in sorted_groups):
        table = Table(title=f"by {by.replace('_', ' ')}", title_justify="left")
        table.add_column(by.replace("_", " "), no_wrap=True)
        for label in ("requests", "right [95 %]", *[*_SHARES.values()][1:], *_OTHERS.values()):
            table.add_column(label, justify="right")
        for group in (group for group in sorted_groups if group.by == by):
            figures = group.figures
            table.add_row(
                # As text: a name from a file is no markup.
                Text(printable(group.name)),
                str(group.requests),
                _percent(figures.right, spanned=True),
                *(_percent(getattr(figures, name)) for name in [*_SHARES][1:]),
                *(_number(getattr(figures, name)) for name in _OTHERS),
            )
        show_table(console, table)


def show_votes(voted: Sequence["Voted"]) -> None:
    """Print what votes would bring, a table for each voter."""
    for voter in dict.fromkeys(row.voter for row in voted):
        table = Table(title=f"asking a voter who is right in {voter:.0%}", title_justify="left")
        for label in ("asked", "votes", "within", "right", "too low", "too high", "USD per 1,000"):
            table.add_column(label, justify="right")
        for row in (row for row in voted if row.voter == voter):
            within = "-" if row.half_width is None else f"±{row.half_width:.3f}"
            shares = (f"{share:.1%}" for share in (row.right, row.too_low, row.too_high))
            table.add_row(f"{row.share:.0%}", str(row.votes), within, *shares, f"{row.usd_per_1000:.2f}")
        show_table(output(), table)


def show_choice(choice: "Choice", wrong_answer_usd: float) -> None:
    """Print what was chosen beside what it has to beat."""
    table = Table(title=f"at {wrong_answer_usd:g} USD for a wrong answer", title_justify="left")
    names = ("decided by", "up from", "right [95 %]", "too low [95 %]", "too high")
    for label in (*names, "USD per 1,000: calls", "with wrong answers [95 %]"):
        table.add_column(label, justify="left" if label == "decided by" else "right")
    for row in (choice.boundary, choice.thresholds, *choice.others):
        table.add_row(*_cells(row))
    show_table(output(), table)


def _cells(row: "Decided") -> list[str]:
    return [
        row.name,
        ", ".join(f"{at:.4g}" for at in dict.fromkeys(row.thresholds or ())),
        _percent(row.right, spanned=True),
        _percent(row.too_low, spanned=True),
        _percent(row.too_high),
        _dollars(row.calls_usd_per_1000),
        _dollars(row.expected_usd_per_1000, spanned=True),
    ]


def _with_interval(figures: "Figures", name: str) -> str:
    found = getattr(figures, name)
    return _percent(found, spanned=True) if name in _SHARES else _number(found, spanned=True)


def _percent(found: "Figure | None", *, spanned: bool = False) -> str:
    return _formatted(found, ".1%", spanned=spanned)


def _number(found: "Figure | None", *, spanned: bool = False) -> str:
    return _formatted(found, ".3f", spanned=spanned)


def _dollars(found: "Figure | None", *, spanned: bool = False) -> str:
    return _formatted(found, ".2f", spanned=spanned)


def _formatted(found: "Figure | None", form: str, *, spanned: bool) -> str:
    if found is None:
        return "-"
    text = format(found.value, form)
    if not spanned or found.interval is None:
        return text
    return f"{text} [{found.interval.low:{form}}, {found.interval.high:{form}}]"

"""How a month of drifting traffic looks on a terminal."""

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.bench.month_report import MonthReport, MonthRun

_RATES_SHOWN: Final = 8
_NAMES: Final = {"off": "loop off", "on": "loop on", "budget": "under a budget"}


def show_month(report: "MonthReport") -> None:
    """Print what changed, quality and cost between the changes, and what was learned."""
    console = output(markup=False)
    machine = report.machine
    console.print(f"{machine.cpus} CPUs, {machine.system}, Python {machine.python}, tierstream {machine.tierstream}")
    for run in report.runs:
        console.print(
            f"{_NAMES[run.name]}: {run.results} results of {run.requests} requests, {run.missing} missing, "
            f"{run.duplicates} doubled, {run.seconds:.0f} s; {_verified(run)}"
        )
    console.print("\nwhat changes")
    for change in report.changes:
        console.print(f"  day {change.day}: {change.what}")
    if (planted := report.on.planted) is not None:
        console.print(f"  with the loop on a bad model is activated by hand: {planted}")
    console.print(
        "\nright answers (after retries that users asked for), and US dollars for 1,000 requests, all calls counted"
    )
    if report.budget_usd_per_request is not None:
        console.print(f"the budget is ${report.budget_usd_per_request:.6f} a request")
    show_table(console, _phases(report))
    _show_models(console, report.on)
    for run in report.runs[1:]:
        _show_learned(console, run)


def _verified(run: "MonthRun") -> str:
    if run.verified.ok:
        return "every invariant holds"
    return "NOT every invariant holds: " + ", ".join(f"{name} {n}" for name, n in run.verified.violated.items())


def _phases(report: "MonthReport") -> Table:
    names = [_NAMES[run.name] for run in report.runs]
    table = _table("days", *(f"{name}: right" for name in names), *(f"{name}: cost" for name in names))
    for phase in report.phases:
        of_runs = [phase.runs[run.name] for run in report.runs]
        shares = (f"{one.right:.1%} ({one.right_in_the_end:.1%})" for one in of_runs)
        table.add_row(f"{phase.first} to {phase.last}", *shares, *(f"${one.usd_per_1000:.4f}" for one in of_runs))
    return table


def _show_models(console: Console, run: "MonthRun") -> None:
    console.print("\nrounds of learning")
    table = _table("after day", "labels", "held back", "moved", "untested", "what", "why")
    for one in run.rounds:
        labels = ", ".join(f"{name} {count}" for name, count in one.labels.items()) or "-"
        numbers = map(str, (one.held_back, one.moved, one.untested))
        table.add_row(str(one.after_day), labels, *numbers, one.state, printable(one.reason))
    show_table(console, table)
    console.print("\nmodels")
    table = _table("day", "version", "what", "by", "why")
    for step in run.steps:
        table.add_row(str(step.day), step.version, step.state.replace("_", " "), step.by, printable(step.reason))
    show_table(console, table)


def _show_learned(console: Console, run: "MonthRun") -> None:
    found = run.learned
    said = ", ".join(f"{kind} {count}" for kind, count in found.feedback.items()) or "none"
    console.print(f"\n{_NAMES[run.name]}")
    console.print(f"feedback    {said}; {found.revisions} answers given anew, {found.revisions_right} of them right")
    console.print(f"escalations {found.escalations}, by failed checks and {found.validations} looks of a judge")
    costs = ", ".join(f"{purpose} ${cost:.4f}" for purpose, cost in found.cost_by_purpose.items())
    console.print(f"cost        {costs}")
    if found.judge_others is None:
        console.print("judge rates none were learned: the settings' sample rate held")
    else:
        console.print(
            f"judge rates {len(found.judge_rates)}, and {found.judge_others:.3f} for all others; the highest:"
        )
        for rate in sorted(found.judge_rates, key=lambda one: -one.rate)[:_RATES_SHOWN]:
            console.print(f"  {rate.rate:.3f}  tier {rate.tier}, {rate.model}, {rate.query_type}: {rate.reason}")
    console.print(f"policies    {found.online_policies} versions of the router under a budget")
    canaries = ", ".join(f"{name} {state}" for name, state in found.canaries.items()) or "none"
    console.print(f"canaries    {canaries}")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table

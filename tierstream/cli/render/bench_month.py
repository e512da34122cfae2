"""How a month of drifting traffic looks on a terminal."""

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.bench.month_report import MonthReport, MonthRun, Phase

_RATES_SHOWN: Final = 8


def show_month(report: "MonthReport") -> None:
    """Print what changed, quality and cost between the changes, and what was learned."""
    console = output(markup=False)
    machine = report.machine
    console.print(f"{machine.cpus} CPUs, {machine.system}, Python {machine.python}, tierstream {machine.tierstream}")
    for run in (report.off, report.on):
        console.print(
            f"loop {_name(run)}: {run.results} results of {run.requests} requests, {run.missing} missing, "
            f"{run.duplicates} doubled, {run.seconds:.0f} s; {_verified(run)}"
        )
    console.print("\nwhat changes")
    for change in report.changes:
        console.print(f"  day {change.day}: {change.what}")
    if (planted := report.on.planted) is not None:
        console.print(f"  a bad model is activated by hand, {planted}, with the loop on")
    console.print("\nright answers, and US dollars for 1,000 requests, judges and revisions counted")
    show_table(console, _phases(report))
    _show_models(console, report.on)
    _show_learned(console, report.on)


def _name(run: "MonthRun") -> str:
    return "on" if run.learns else "off"


def _verified(run: "MonthRun") -> str:
    if run.verified.ok:
        return "every invariant holds"
    return "NOT every invariant holds: " + ", ".join(f"{name} {n}" for name, n in run.verified.violated.items())


def _phases(report: "MonthReport") -> Table:
    table = _table("days", "right: off", "on", "on, after retries", "cost: off", "on")
    for phase in report.phases:
        table.add_row(*_phase(phase))
    return table


def _phase(phase: "Phase") -> tuple[str, ...]:
    shares = (phase.right_off, phase.right_on, phase.right_in_the_end_on)
    costs = (phase.usd_per_1000_off, phase.usd_per_1000_on)
    return (f"{phase.first} to {phase.last}", *(f"{one:.1%}" for one in shares), *(f"${one:.3f}" for one in costs))


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
    console.print(f"\nfeedback    {said}; {found.revisions} answers given anew, {found.revisions_right} of them right")
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

"""How a replay of outcomes looks on a terminal."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.training.replay_report import ChangeFigures, HostileFigures, PhaseFigures, ReplayReport


def show_replay(report: "ReplayReport") -> None:
    """Print the figures of a replay."""
    console = output()
    begun = f"{report.prior_requests} outcomes known before" if report.prior_requests else "nothing known before"
    title = f"{report.requests} requests in {report.seeds} orders at ${report.budget_usd:g} a request, {begun}"
    show_table(console, _figures(report, Text(title)))
    show_table(console, _shares(report))
    if report.change is not None:
        _show_change(report.change)
    if report.hostile is not None:
        _show_hostile(report.hostile)


def _figures(report: "ReplayReport", title: Text) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("figure", "mean", "95 % over orders", "beside it"):
        table.add_column(name, justify="left" if name in {"figure", "beside it"} else "right")

    def row(label: str, name: str, form: str, beside: str = "") -> None:
        value = getattr(report, name)
        if value is not None:
            found = report.intervals[name]
            table.add_row(label, form.format(value), f"{form.format(found.low)} to {form.format(found.high)}", beside)

    row("reward", "mean_reward", "{:.4f}", f"no-skill mix {report.no_skill:.4f}, oracle {report.oracle:.4f}")
    row("reward after 1,000", "after_1000", "{:.4f}")
    row("regret to the oracle", "regret", "{:.4f}")
    row("cost", "mean_cost", "${:.7f}", f"budget ${report.budget_usd:.7f}")
    row("overshoot", "overshoot", "{:.2%}")
    row("explored", "exploration_share", "{:.2%}", f"at most {report.exploration_bound:.0%}")
    return table


def _shares(report: "ReplayReport") -> Table:
    table = Table(title="who answered", title_justify="left")
    table.add_column("model")
    table.add_column("requests", justify="right")
    for name, share in report.shares.items():
        table.add_row(Text(printable(name)), f"{share:.1%}")
    return table


def _show_change(found: "ChangeFigures") -> None:
    console = output()
    if found.rerouted_after is not None:
        told = f"rerouted after {found.rerouted_after:.0f} requests (median)"
    else:
        told = "next to nothing to reroute, or not rerouted"
    title = f"{found.kind} of {printable(found.arm)} at request {found.at}: {told}"
    table = Table(title=Text(title), title_justify="left")
    names = ("stretch", "reward", "cost", "no-skill mix", "informed", "oracle", "share of the model")
    for name in names:
        table.add_column(name, justify="left" if name == "stretch" else "right")
    for label, phase in (("before", found.before), ("after", found.after), ("settled", found.settled)):
        if phase is not None:
            table.add_row(label, *_phase(phase, found.arm))
    show_table(console, table)
    console.print(f"share of the model for who knows all outcomes: {found.informed_share:.1%}")


def _phase(phase: "PhaseFigures", arm: str) -> tuple[str, ...]:
    rewards = (f"{value:.4f}" for value in (phase.no_skill, phase.informed, phase.oracle))
    return f"{phase.mean_reward:.4f}", f"${phase.mean_cost:.7f}", *rewards, f"{phase.shares.get(arm, 0.0):.1%}"


def _show_hostile(found: "HostileFigures") -> None:
    span = f"{found.lost_interval.low:+.4f} to {found.lost_interval.high:+.4f}"
    output().print(
        f"lies ({found.lie}) on {found.feedback:.0%} of the feedback by {found.users:.1%} of the users cost "
        f"{found.lost:+.4f} of reward [{span}]; without them it is {found.honest_reward:.4f}"
    )

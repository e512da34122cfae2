"""How a run with good and bad answers looks on a terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tierstream.cli.console import output, show_table

if TYPE_CHECKING:
    from tierstream.bench.answer_report import AddedCost, AnswersReport, Stopped
    from tierstream.bench.distribution import Distribution
    from tierstream.training.shares import Share


def show_answers(report: "AnswersReport") -> None:
    """Print who stopped what, then what that added to cost and latency."""
    console = output(markup=True)
    machine = report.machine
    console.print(f"{machine.cpus} CPUs, {machine.system}, Python {machine.python}, tierstream {machine.tierstream}")
    console.print(
        f"{report.pairs} pairs, {len(report.repeated)} left out (their question is that of one before); "
        f"{report.requests} requests at {report.rate:g}/s, {report.results} results, {report.duplicates} doubled"
    )
    if report.unmeasured:
        console.print(f"not measured, the first tier did not give their answer: {', '.join(report.unmeasured)}")
    _show_judge(console, report)
    console.print("\nstopped answers: bad ones were caught, good ones were false alarms; with 95 % intervals of Wilson")
    show_table(console, _stopped(report))
    _show_endings(console, report)
    console.print("\ncost, by the ledger; in brackets the share of all spending")
    show_table(console, _costs(report))
    console.print(
        "All tiers give the same good answer, so that a false alarm of a check is raised at each of them: "
        "with real models these escalations cost less."
    )
    console.print("\nlatency in ms, p50 / p95; more: than of plain requests of this run")
    show_table(console, _latency(report))


def _show_judge(console: Console, report: "AnswersReport") -> None:
    judge = report.judge
    if judge is None:
        console.print("judge: none")
    else:
        console.print(f"judge: {judge.model}, for {judge.sample_rate:.0%} of the answers. {judge.note}")


def _stopped(report: "AnswersReport") -> Table:
    table = _table(
        "kind", "answers", "by checks", "by the judge, of those it saw", "by either", "published", "which check"
    )
    for one in (*report.kinds, report.bad, report.good):
        shares = (one.checks, one.judge, one.stopped, one.published)
        table.add_row(one.kind, str(one.answers), *map(_share, shares), _checks(one))
    return table


def _checks(one: "Stopped") -> str:
    return ", ".join(f"{name} {count}" for name, count in one.by_check.items())


def _share(share: "Share") -> str:
    if share.share is None or share.low is None or share.high is None:
        return "-"
    return f"{share.count}/{share.of} {share.share:.1%} ({share.low:.1%} to {share.high:.1%})"


def _show_endings(console: Console, report: "AnswersReport") -> None:
    found = report.endings
    right, wrong = found.right + found.right_degraded, found.wrong + found.wrong_degraded
    console.print(
        f"\npublished in the end, with the judge: {right} right answers, {found.right_degraded} of them as degraded; "
        f"{wrong} wrong ones, {found.wrong_degraded} of them as degraded; {found.other} others"
    )


def _costs(report: "AnswersReport") -> Table:
    table = _table(
        "requests go through", "requests", "spent", "judges", "escalations not needed", "added to 1,000 requests"
    )
    for name, cost in (("checks", report.without_judge), ("checks, judge", report.with_judge)):
        table.add_row(
            name,
            str(cost.requests),
            f"${cost.spend_usd:.6f}",
            f"{cost.judge_calls} calls, ${cost.judges_usd:.6f} ({cost.judges_share:.1%})",
            f"${cost.unneeded_usd:.6f} ({cost.unneeded_share:.1%})",
            _added(cost),
        )
    return table


def _added(cost: "AddedCost") -> str:
    judges, unneeded = cost.judges_per_1000_usd, cost.unneeded_per_1000_usd
    return f"${judges + unneeded:.4f}: judges ${judges:.4f}, escalations ${unneeded:.4f}"


def _latency(report: "AnswersReport") -> Table:
    plain = report.latency[0].latency_ms
    table = _table("way", "requests", "latency", "more")
    for way in report.latency:
        table.add_row(way.way, str(way.requests), _spread(way.latency_ms), _more(way.latency_ms, plain))
    return table


def _spread(found: "Distribution | None") -> str:
    return "-" if found is None else f"{found.p50:.0f} / {found.p95:.0f}"


def _more(found: "Distribution | None", plain: "Distribution | None") -> str:
    if found is None or plain is None or found is plain:
        return "-"
    return f"{found.p50 - plain.p50:+.0f} / {found.p95 - plain.p95:+.0f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table

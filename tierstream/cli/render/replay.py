"""How a replay looks on a terminal."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from streams.config.settings import Settings
from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.replay.report import Expected, PolicyReport, ReplayReport


def show_replay(report: "ReplayReport", settings: Settings) -> None:
    """Print the figures of a replay.

    Args:
        report: The replay.
        settings: Of the policy; they name its tiers.
    """
    console = output()
    coverage = report.coverage
    window = f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
    per_second = coverage.replayed / report.seconds if report.seconds else 0.0
    console.print(
        f"{coverage.replayed:,} of {coverage.settled:,} recorded requests, {window}, "
        f"in {report.seconds:.1f} s ({per_second:,.0f}/s); no call was made"
    )
    if coverage.undecided:
        console.print(f"  {coverage.undecided:,} had no decision, such as those that were refused")
    if coverage.gone:
        console.print(f"  {coverage.gone:,} are no longer in Kafka")
    console.print(
        f"the current settings reproduce {report.reproduced:,} of {coverage.replayed:,} decisions "
        f"({report.reproduced / coverage.replayed:.2%})"
    )
    for one in report.differences:
        console.print(f"  {one.requests:,} differ in the {one.cause}, such as {printable(one.example)}")
    for version, why in report.unread.items():
        console.print(f"  model {printable(version)} can't be loaded, the one before it decided: {printable(why)}")
    if report.policy is not None:
        _show_policy(report.policy, coverage.replayed, settings)


def _show_policy(policy: "PolicyReport", replayed: int, settings: Settings) -> None:
    console = output()
    console.print()
    show_table(console, _moves(policy, settings))
    show_table(console, _figures(policy))
    console.print(
        f"{policy.changed:,} of {replayed:,} requests ({policy.changed / replayed:.1%}) would not go as they went"
    )
    if policy.extrapolated:
        share = policy.extrapolated / max(policy.changed, 1)
        console.print(f"  {share:.0%} of them are guessed: the record has hardly any like them where they would go")
    if policy.voteless:
        console.print(
            f"  {policy.voteless:,} would be put to a language model and have no vote on record: "
            "the classifier decided alone"
        )
    for model in policy.unseen:
        console.print(
            f"  {printable(model)} gave no answer on record: its list price, and lengths of its tier's answers"
        )


def _moves(policy: "PolicyReport", settings: Settings) -> Table:
    table = Table(title=Text("requests by the tier that they start on"), title_justify="left")
    for name in ("from", "to", "requests", "cost", "expected", "change"):
        table.add_column(name, justify="left" if name in {"from", "to"} else "right")
    for move in policy.moves:
        table.add_row(
            f"T{move.from_tier}",
            Text(_tier(move.to_tier, settings)),
            f"{move.requests:,}",
            f"${move.recorded_usd:.4f}",
            f"${move.expected_usd:.4f}",
            _signed(move.expected_usd - move.recorded_usd),
        )
    return table


def _tier(number: int, settings: Settings) -> str:
    return f"T{number} {printable(settings.tiers[number - 1].name)}" if number else "refused"


def _figures(policy: "PolicyReport") -> Table:
    table = Table(title=Text("all requests"), title_justify="left")
    for name in ("figure", "recorded", "expected", "95 %"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    cost = policy.cost_usd
    change = f" ({cost.expected / cost.recorded - 1:+.1%})" if cost.recorded else ""
    table.add_row(
        "cost", f"${cost.recorded:.4f}", f"${cost.expected:.4f}{change}", f"${cost.low:.4f} to ${cost.high:.4f}"
    )
    for name, (recorded, expected) in (("latency p50", policy.p50_ms), ("latency p95", policy.p95_ms)):
        table.add_row(name, f"{recorded:,.0f} ms", f"{expected:,.0f} ms", "")
    _share(table, "first answer found bad", policy.failed_first)
    _share(table, "no good answer", policy.ended_badly)
    if policy.wrong is not None:
        _share(table, "bad, and nobody looked", policy.wrong)
    return table


def _share(table: Table, name: str, found: "Expected") -> None:
    table.add_row(name, f"{found.recorded:.2%}", f"{found.expected:.2%}", f"{found.low:.2%} to {found.high:.2%}")


def _signed(usd: float) -> str:
    return f"{'-' if usd < 0 else '+'}${abs(usd):.4f}"

"""`tierstream verify`: prove from the records that nothing was lost, doubled, paid twice or miscounted."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.config.settings import Settings, SettingsError
from tierstream.cli.connection import load_with_kafka, with_clickhouse
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.moments import parse_moment
from tierstream.cli.progress import progress_console
from tierstream.cli.render.results import printable, show_json

if TYPE_CHECKING:
    from tierstream.verify.verification import Verification, VerifyOptions


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "tierstream verify",
            "tierstream verify --since 1h --wait 60 --json",
            "tierstream verify --usage-log served.jsonl",
        )
    )(verify)


def verify(
    ctx: typer.Context,
    since: Annotated[
        datetime | None,
        typer.Option(parser=parse_moment, metavar="WHEN", help="Judge from then on: 30m, 24h, 7d or a time."),
    ] = None,
    usage_log: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="Served-call log of a simulator; may be repeated."
        ),
    ] = None,
    served: Annotated[
        str | None, typer.Option(metavar="URL", help="A running simulator: ask it for the calls it remembers.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="S", help="Wait that long for results and for the sink.")] = 0.0,
    limit: Annotated[int, typer.Option(min=1, help="How many findings of each check are named.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Prove the invariants: compare requests, results, journal, dead letters and ledger, record by record.

    Reads up to the ends of the topics as of now. Exit code 1 if an invariant does not hold.
    """
    from tierstream.verify.verification import VerifyOptions  # noqa: PLC0415 - other commands need not wait for it

    options = VerifyOptions(since=since, usage_logs=tuple(usage_log or ()), served_url=served, wait_s=wait, limit=limit)
    verification = asyncio.run(_verify(_with_ledger(load_with_kafka(ctx)), options))
    if as_json:
        show_json(verification.as_json())
    else:
        _show(verification)
    if not verification.findings.ok:
        raise typer.Exit(FAILED)


def _with_ledger(settings: Settings) -> Settings:
    """Add the ClickHouse of the running stack; a deployment without one is verified without."""
    try:
        return with_clickhouse(settings)
    except SettingsError:
        return settings


async def _verify(settings: Settings, options: "VerifyOptions") -> "Verification":
    from tierstream.verify.verification import verify as run  # noqa: PLC0415

    with progress_console().status("reading") as status:
        return await run(settings, options, lambda what, records: status.update(f"reading {what}: {records:,} records"))


def _show(verification: "Verification") -> None:
    if verification.since is not None:
        typer.echo(f"since {verification.since.isoformat(timespec='seconds')}")
    typer.echo(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in verification.counts.items()))
    shadows = verification.shadows_cost_usd
    of_these = f", of which ${shadows:.12f} for comparisons" if shadows else ""
    typer.echo(
        f"results cost ${verification.results_cost_usd:.12f}, calls ${verification.calls_cost_usd:.12f}{of_these}"
    )
    findings = verification.findings
    for check in findings:
        state, count = findings.state(check), findings.counts[check]
        typer.echo(f"{state.upper() if state == 'violated' else state:<9}{check.value:<23}{count:>7}  {check.about}")
        if state == "skipped":
            typer.echo(f"{'':<12}{findings.skipped[check]}")
        for finding in findings.named(check):
            typer.echo(f"{'':<12}{printable(finding.subject)}: {printable(finding.detail)}")
        if more := count - len(findings.named(check)):
            typer.echo(f"{'':<12}and {more} more")
    rate = f", {verification.records / verification.elapsed_s:,.0f} records/s" if verification.elapsed_s else ""
    typer.echo(f"{verification.records:,} records in {verification.elapsed_s:.1f} s{rate}")
    typer.echo("every invariant holds" if findings.ok else "NOT every invariant holds")

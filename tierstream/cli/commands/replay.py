"""`tierstream replay`: recorded requests under another policy, without a call."""

import asyncio
import csv
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.config.settings import load_over
from streams.kafka.clock import utc_now
from tierstream.cli.connection import invocation, load_settings, with_clickhouse, with_kafka
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.moments import parse_moment
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.replay import show_replay
from tierstream.cli.render.results import show_json
from tierstream.csv_cells import csv_cell

if TYPE_CHECKING:
    from tierstream.replay.report import ChangedRequest

_DEFAULT = timedelta(hours=24)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "tierstream replay --policy new.toml --from 7d",
            "tierstream replay --policy new.toml --from 2026-11-01 --to 2026-11-08 --csv changes.csv",
            "tierstream replay --from 1h --json",
        )
    )(replay)


def replay(
    ctx: typer.Context,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings to merge over the current ones; default: none, only compare."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from", parser=parse_moment, metavar="WHEN", help="Requests from then on: 30m, 24h, 7d or a time."
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", parser=parse_moment, metavar="WHEN", help="Until then; default: now.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many requests: a sample, always the same.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write each request that changes, one a line.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run recorded requests through another policy, without a call: what would change, and what it would cost.

    Requests come from Kafka, what became of them from ClickHouse. They are decided once by the current settings, which
    should reproduce the record, and once with the policy: tiers, rules, classifier, models, prices. What a request that
    changes would cost, take and be worth is estimated from the record, with 95 % intervals, and it is said how much of
    that is guessed. Without --from the last 24 hours count.

    Exit code 1 without --policy if a decision is not reproduced; 2 if nothing is recorded, or the policy can't be used.
    """
    from tierstream.replay.replay_run import replay as run  # noqa: PLC0415 - the clients take a second to import

    then = load_over(invocation(ctx).config_file, policy) if policy is not None else None
    base = with_clickhouse(with_kafka(load_settings(ctx)))
    last = until or utc_now()
    first = since or last - _DEFAULT
    if first >= last:
        raise typer.BadParameter("the window is empty: --from has to be before --to", param_hint="--from")
    if csv_file is not None and then is None:
        raise typer.BadParameter("without --policy nothing changes", param_hint="--csv")
    with progress_bar("replaying") as progress:
        found = asyncio.run(run(base, then, first, last, most=limit, on_progress=progress))
        if csv_file is not None:
            _write(csv_file, found.changes())
    if as_json:
        show_json(found.report.model_dump(mode="json"))
    else:
        show_replay(found.report, then or base)
    if then is None and found.report.differences:
        raise typer.Exit(FAILED)


def _write(path: Path, changes: "Iterable[ChangedRequest]") -> None:
    from tierstream.replay.report import ChangedRequest  # noqa: PLC0415

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ChangedRequest.model_fields))
        writer.writeheader()
        for change in changes:
            writer.writerow({name: csv_cell(value) for name, value in change.model_dump(mode="json").items()})

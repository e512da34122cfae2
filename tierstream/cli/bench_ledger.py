"""`tierstream bench ledger`: a ledger of a month of made traffic, its size, its roll-ups and its reports."""

import asyncio
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tierstream.cli.connection import load_settings
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_console
from tierstream.cli.render.results import show_json

LEDGER_EXAMPLES = examples(
    "tierstream bench ledger --requests 20000",
    "tierstream bench ledger --keep ledger-of-a-month --plants --json > figures.json",
)

_START = datetime(2026, 10, 1, tzinfo=UTC)


def ledger(
    ctx: typer.Context,
    requests: Annotated[int, typer.Option(min=100, help="In all.")] = 2_000_000,
    days: Annotated[int, typer.Option(min=1, max=400, help="That they are spread over.")] = 30,
    users: Annotated[int, typer.Option(min=1, help="Who ask.")] = 5_000,
    seed: Annotated[int, typer.Option(help="Decides all of the traffic.")] = 1,
    start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day of the traffic, in UTC; the default is 2026-10-01."),
    ] = None,
    plants: Annotated[
        bool,
        typer.Option(
            "--plants",
            help="Plant a user who takes 40 % of the top tier's cost, a change of a price, a slow provider and a "
            "feature that a rule sends too high.",
        ),
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Keep the data there: `python -m tierstream.stack.clickhouse_server --port 8123 --data "
            "FOLDER/clickhouse` serves them.",
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Measure what an earlier run of the same options kept, without writing it again."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fill a ledger with made traffic, and show how fast that goes, what a row takes, and how long reports take.

    It is written by the sink's code into an embedded ClickHouse of its own; no Kafka is needed. A million requests are
    about 7 million rows and 0.5 GB, and take about ten minutes.
    """
    from tierstream.bench.ledger_plants import Plants  # noqa: PLC0415 - the clients take a second to import
    from tierstream.bench.ledger_speed import measure_ledger  # noqa: PLC0415
    from tierstream.bench.ledger_traffic import Traffic  # noqa: PLC0415
    from tierstream.cli.render.bench_ledger import show_ledger  # noqa: PLC0415

    if again and (keep is None or not (keep / "clickhouse").is_dir()):
        raise typer.BadParameter("name the folder that an earlier run kept: --keep FOLDER", param_hint="--again")
    if not again and keep is not None and keep.exists() and any(keep.iterdir()):
        raise typer.BadParameter(f"{keep} is not empty; --again measures what it has", param_hint="--keep")
    settings, console = load_settings(ctx), progress_console()
    first = _START if start is None else start.replace(tzinfo=UTC)
    traffic = Traffic(seed, requests, days, first, users, Plants.all() if plants else Plants(), settings)
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tierstream-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(
            measure_ledger(
                traffic,
                users,
                folder,
                settings,
                lambda what: console.print(what, highlight=False, soft_wrap=True),
                is_written=again,
            )
        )
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        show_ledger(report)

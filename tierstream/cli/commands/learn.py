"""`tierstream learn`: what a deployment learns from its own traffic."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from tierstream.cli.commands.train import require_scikit_learn
from tierstream.cli.connection import load_with_kafka, with_clickhouse
from tierstream.cli.errors import explain, show_warning
from tierstream.cli.help_text import examples
from tierstream.cli.learn_replay import REPLAY_EXAMPLES, replay
from tierstream.cli.moments import Since
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.promotions import promotion_json, show_promotion
from tierstream.cli.render.results import printable, show_json

if TYPE_CHECKING:
    from tierstream.cli.learning_round import Round


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command(epilog=examples("tierstream learn train", "tierstream learn train --since 14d --json"))(train)
    group.command(epilog=examples("tierstream learn watch"))(watch)
    group.command(epilog=REPLAY_EXAMPLES)(replay)
    app.add_typer(group, name="learn")


def train(ctx: typer.Context, since: Since = None, as_json: AsJson = False) -> None:
    """Train a model on own traffic, measure it against the active one, and propose it if it is better.

    Labels come from ClickHouse, the requests from Kafka; a share of the questions is held back and never trained on. A
    model that is not better beyond its interval is refused. `learning.promote` says whether a better one waits for
    `tierstream models approve`, takes force, or is shown and nothing else. Without --since labels of the last
    `learning.period_s` count.
    """
    from tierstream.cli.learning_round import learn_once  # noqa: PLC0415 - scikit-learn takes a while to import

    settings = _settings(ctx)
    with progress_bar("learning") as progress:
        found = learn_once(settings, since, on_progress=progress)
    if as_json:
        show_json({"kept": found.is_kept, **promotion_json(found.page)})
        return
    show_promotion(found.page)
    typer.echo(_next(found))


def watch(ctx: typer.Context) -> None:
    """Train every `learning.interval_s` and roll back what turns out worse, until Ctrl-C or SIGTERM.

    Whether a promoted model has turned out worse is looked at every `learning.check_s`. Where Kafka or ClickHouse is
    away it says so, and tries again.
    """
    settings = _settings(ctx)
    try:
        _watch(settings)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)


def _watch(settings: Settings) -> None:
    learning = settings.learning
    next_training = time.monotonic()
    while True:
        # First: a candidate must not be measured against a model that is about to be rolled back.
        _tried("look back", lambda: _look_back(settings))
        if (now := time.monotonic()) >= next_training:
            _tried("train", lambda: _train(settings))
            next_training = now + learning.interval_s
        time.sleep(max(min(learning.check_s, next_training - time.monotonic()), 0.0))


def _tried(what: str, run: Callable[[], None]) -> None:
    """Do something that is done again later, so that what is away now ends nothing."""
    try:
        run()
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        show_warning(f"could not {what}: {line}")


def _train(settings: Settings) -> None:
    from tierstream.cli.learning_round import learn_once  # noqa: PLC0415

    found = learn_once(settings)
    _say(f"{found.page.version} {found.page.state}: {found.page.steps[-1].reason}")


def _look_back(settings: Settings) -> None:
    from tierstream.cli.learning_round import roll_back_if_worse  # noqa: PLC0415

    page = asyncio.run(roll_back_if_worse(settings))
    if page is not None:
        _say(f"{page.version} rolled back: {page.steps[-1].reason}")


def _say(line: str) -> None:
    at: datetime = utc_now()
    typer.echo(f"{at:%Y-%m-%d %H:%M:%S} UTC  {printable(line)}")


def _next(found: "Round") -> str:
    version = found.page.version
    if not found.is_kept:
        return "\nlearning.promote is off: nothing was published"
    if found.page.state == "proposed":
        return (
            f"\n`tierstream models approve {version}` lets it decide, `tierstream models reject {version}` refuses it"
        )
    return f"\n`tierstream models show {version}` shows this page again"


def _settings(ctx: typer.Context) -> Settings:
    require_scikit_learn()
    return with_clickhouse(load_with_kafka(ctx))

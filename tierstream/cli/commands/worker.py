"""`tierstream worker`: run stages in this process."""

import gc
import logging
import os
from typing import Annotated

import typer

from streams.calls.pricing import UnknownPriceError
from streams.config.settings import SettingsError
from streams.kafka.admin import TopicError
from tierstream.cli.connection import invocation, load_with_kafka, simulator_environment
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.log_output import configure_logging
from tierstream.event_loop import run_service
from tierstream.monitoring.errors import MonitoringError

log = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("tierstream worker", "tierstream worker --stages classify,infer:1"))(worker)


def worker(
    ctx: typer.Context,
    stages: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Stages, with commas between; `infer` is every tier's; default: all."),
    ] = "",
) -> None:
    """Run stages until SIGTERM or Ctrl-C. Logs to stderr; start as many processes as you like.

    While Kafka does not answer, it waits for it.

    Exit code 1 when a stage failed: start the worker again, nothing is lost.
    """
    # Faust and all stages come with the worker, for which other commands need not wait.
    from tierstream.worker import WorkerError, choose_stages, run_worker  # noqa: PLC0415

    # What was imported stays; looking through it for garbage again and again is a tenth of a start.
    gc.freeze()

    configure_logging(invocation(ctx).verbose, service=True)
    settings = load_with_kafka(ctx)
    configure_logging(invocation(ctx).verbose, service=True, log_format=settings.operations.log_format)
    for name, value in simulator_environment(settings).items():
        os.environ.setdefault(name, value)
    wanted = choose_stages([name.strip() for name in stages.split(",") if name.strip()], settings)
    try:
        run_service(run_worker(settings, wanted))
    except (WorkerError, TopicError, SettingsError, UnknownPriceError, MonitoringError):
        raise
    except Exception as error:
        log.error("the worker stops: %s: %s", type(error).__name__, error)  # noqa: TRY400 - the traceback is for --verbose
        log.debug("the error in full", exc_info=error)
        raise typer.Exit(FAILED) from None

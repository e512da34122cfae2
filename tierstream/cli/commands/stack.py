"""`tierstream up`, `down` and `status`: the embedded stack on this machine."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from aiokafka.errors import KafkaError
from rich.table import Table

from streams.config.settings import Settings, SettingsError
from streams.kafka.admin import TopicError
from streams.kafka.clock import utc_now
from tierstream.cli.commands.breakers import breaker_reports
from tierstream.cli.connection import invocation, load_settings, with_kafka
from tierstream.cli.console import output, show_table
from tierstream.cli.errors import FAILED, USAGE
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.breakers import show_noteworthy
from tierstream.cli.render.results import show_json
from tierstream.operations.breakers import TargetReport
from tierstream.stack.errors import StackError, writing
from tierstream.stack.state import Addresses, ServiceStatus, addresses, down, status
from tierstream.stack.supervisor import StackEvent

if TYPE_CHECKING:
    from tierstream.stack.stack import Stack

_DETACH_TIMEOUT_S = 240.0
_POLL_S = 0.1


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=examples("tierstream up", "tierstream up --detach", "KAFKA_BOOTSTRAP_SERVERS=… tierstream up"))(
        up
    )
    app.command("down", epilog=examples("tierstream down"))(stop)
    app.command("status", epilog=examples("tierstream status --json"))(show_status)


def up(
    ctx: typer.Context,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when the stack is up; it goes on alone.")
    ] = False,
) -> None:
    """Start what has no address yet: Kafka, ClickHouse, simulated providers and workers; Ctrl-C stops them.

    KAFKA_BOOTSTRAP_SERVERS and CLICKHOUSE_URL replace the embedded parts, and a provider is real as soon as its key
    is in the environment. Data stays in the folder `[stack] data_dir`, `.tierstream` by default.
    """
    if detach:
        _start_detached(ctx)
        return
    if asyncio.run(_run(ctx)):
        typer.echo("stopped; the data is kept")


def stop(ctx: typer.Context) -> None:
    """Stop a stack that runs in the background, or what a killed one left behind."""
    stopped = asyncio.run(down(load_settings(ctx).stack.data_dir.absolute()))
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing runs here")


def show_status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show the parts of the stack, and breakers that are not closed; exit code 1 unless all parts run."""
    settings = load_settings(ctx)
    data_dir = settings.stack.data_dir.absolute()
    services = asyncio.run(status(data_dir))
    found = addresses(data_dir)
    breakers = _noteworthy_breakers(settings) if services else None
    if as_json:
        show_json(
            {
                "services": [service.model_dump(mode="json") for service in services],
                "simulated": list(found.simulated) if found else [],
                "breakers": None if breakers is None else [report.as_json() for report in breakers],
            }
        )
    elif not services:
        typer.echo("nothing runs here: start it with `tierstream up`")
    else:
        _print_services(services)
        _print_providers(found)
        _print_breakers(breakers)
    if not services or any(service.state != "running" for service in services):
        raise typer.Exit(FAILED)


def _noteworthy_breakers(settings: Settings) -> list[TargetReport] | None:
    """Return the breakers that are not closed by themselves; None where no broker can tell."""
    try:
        reports = asyncio.run(breaker_reports(with_kafka(settings)))
    except (SettingsError, TopicError, KafkaError):
        return None
    return [report for report in reports if report.is_noteworthy]


async def _run(ctx: typer.Context) -> bool:
    settings = load_settings(ctx)
    stack = new_stack(ctx, settings, with_http=True)
    if not await stack.start():
        return True
    try:
        _print_services(await status(settings.stack.data_dir.absolute()))
        _print_providers(stack.addresses)
        typer.echo("Ready. Try `tierstream send 'What is Kafka?' --wait` in another terminal. Ctrl-C stops the stack.")
        await stack.wait()
    finally:
        await stack.stop()
    return True


def new_stack(ctx: typer.Context, settings: Settings, *, with_http: bool = False) -> "Stack":
    """Make the stack that the settings describe, with topics and tables ready before its first worker.

    Args:
        ctx: Of the command.
        settings: Of the deployment.
        with_http: Whether it has the dashboard and the door too.
    """
    # It brings the clients of Kafka and ClickHouse, which `down` and `status` need not wait for.
    from tierstream.operations.settings_files import require_files  # noqa: PLC0415
    from tierstream.stack.deployment import prepare, with_addresses  # noqa: PLC0415
    from tierstream.stack.stack import DASHBOARD_COMMAND, DOOR_COMMAND, Stack  # noqa: PLC0415

    require_files(settings)
    return Stack(
        settings,
        config=invocation(ctx).config_file,
        dashboard_command=DASHBOARD_COMMAND if with_http else None,
        door_command=DOOR_COMMAND if with_http else None,
        prepare=lambda found: prepare(with_addresses(settings, found)),
        on_event=_print_event,
    )


def _print_event(event: StackEvent) -> None:
    """Tell what happens to a service, on stderr."""
    detail = f": {event.detail}" if event.detail else ""
    if event.kind == "waiting":
        typer.echo(event.detail, err=True)
    if event.kind in {"resolving", "crashed"} or (event.kind == "starting" and event.service == "kafka"):
        typer.echo(f"{event.service} {event.kind}{detail}", err=True)


def _start_detached(ctx: typer.Context) -> None:
    """Start `tierstream up` as a process of its own and wait until it serves."""
    data_dir = load_settings(ctx).stack.data_dir.absolute()
    if addresses(data_dir) is not None:
        typer.echo("already running: see `tierstream status`")
        return
    config = invocation(ctx).config_file
    options = ["--config", str(config.absolute())] if config else []
    log_file = data_dir / "up.log"
    with writing(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        log = log_file.open("wb")
    with log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "tierstream", *options, "up"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _await_ready(process, log_file)
    _print_services(asyncio.run(status(data_dir)))
    _print_providers(addresses(data_dir))
    typer.echo("Running in the background: `tierstream down` stops it.")


def _await_ready(process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    deadline = time.monotonic() + _DETACH_TIMEOUT_S
    while "Ready." not in log_file.read_text(errors="replace"):
        if process.poll() is not None:
            typer.echo(log_file.read_text(errors="replace").strip(), err=True)
            raise typer.Exit(process.returncode or USAGE)
        if time.monotonic() > deadline:
            raise StackError(f"the stack is not ready after {_DETACH_TIMEOUT_S:g} s: see {log_file}")
        time.sleep(_POLL_S)


def _print_services(services: list[ServiceStatus]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("service", "state", "pid", "where", "memory"):
        table.add_column(column)
    for service in services:
        memory = f"{service.rss_bytes / 2**20:.0f} MiB" if service.rss_bytes else ""
        table.add_row(service.name, service.state, str(service.pid), service.url or "", memory)
    show_table(output(), table)


def _print_breakers(breakers: list[TargetReport] | None) -> None:
    if breakers is None:
        typer.echo("circuit breakers: not known, Kafka does not answer")
    else:
        show_noteworthy(breakers, utc_now())


def _print_providers(found: Addresses | None) -> None:
    if found is None:
        return
    if found.simulated:
        typer.echo(f"simulated providers (no key in the environment): {', '.join(found.simulated)}")
    else:
        typer.echo("all providers are real: calls cost money")

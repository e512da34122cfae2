"""`tierstream dashboard`: the pages over the ledger, on a port of this machine."""

from typing import Annotated

import typer

from tierstream.cli.connection import invocation, load_settings, with_clickhouse
from tierstream.cli.help_text import examples
from tierstream.cli.log_output import configure_logging
from tierstream.event_loop import run_service


def register(app: typer.Typer) -> None:
    """Add the command."""
    calls = ("tierstream dashboard --open", "CLICKHOUSE_URL=http://localhost:8123 tierstream dashboard --port 0")
    app.command(epilog=examples(*calls))(dashboard)


def dashboard(
    ctx: typer.Context,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="0: any free one; default: the setting dashboard.port.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Serve the pages of the ledger on this machine until SIGTERM or Ctrl-C.

    It asks ClickHouse alone; while that does not answer, the pages say so. `tierstream up` starts it too.
    """
    configure_logging(invocation(ctx).verbose, service=True)
    settings = with_clickhouse(load_settings(ctx))
    from tierstream.dashboard.server import access_of, serve  # noqa: PLC0415 - brings the web server
    from tierstream.stack.ports import claim_port, reachable  # noqa: PLC0415
    from tierstream.stack.service_process import announce_ready  # noqa: PLC0415

    access_of(settings)
    wanted = settings.dashboard.port if port is None else port
    claimed = claim_port(wanted, service="dashboard", setting="port", section="dashboard")
    url = f"http://{reachable(settings.dashboard.host)}:{claimed}"

    def on_ready() -> None:
        announce_ready()
        typer.echo(f"the dashboard is at {url}")
        if open_browser:
            typer.launch(url)

    run_service(serve(settings, claimed, on_ready))

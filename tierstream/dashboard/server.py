"""The process of the dashboard: a web server on one port until it is told to stop."""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Final

import uvicorn

from analytics.reports import REPORTS
from streams.config.settings import Settings, SettingsError
from streams.kafka.clock import utc_now
from tierstream.dashboard import static_files
from tierstream.dashboard.access import Access
from tierstream.dashboard.app import new_app
from tierstream.dashboard.ledger import Ledger
from tierstream.dashboard.pages import new_dashboard
from tierstream.operations.cost_reports import CostReports
from tierstream.operations.price_list import configured_prices
from tierstream.stack.service_process import announce_ready, stop_signal
from tierstream.stack.web_server import WebServer

log = logging.getLogger(__name__)

_SHORTEST_TOKEN: Final = 16
_GRACE_S: Final = 3
_WARM_AFTER_S: Final = 0.5


def access_of(settings: Settings) -> Access:
    """Read who is let in.

    Raises:
        SettingsError: Others could reach the dashboard, or the token is one that can be guessed.
    """
    dashboard = settings.dashboard
    token = os.environ.get(dashboard.token_env, "").strip() or None
    if token is None and not dashboard.is_local:
        raise SettingsError(
            f"dashboard.host {dashboard.host} can be reached from elsewhere: set a token in {dashboard.token_env}, "
            "or have it listen on 127.0.0.1"
        )
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise SettingsError(f"the token in {dashboard.token_env} is too short: {_SHORTEST_TOKEN} characters at least")
    return Access(token)


async def serve(settings: Settings, port: int, on_ready: Callable[[], None] = announce_ready) -> None:
    """Serve the pages until SIGTERM or SIGINT; ClickHouse may be away.

    Args:
        settings: With the URL of ClickHouse.
        port: To listen on, at `dashboard.host`.
        on_ready: Called when it listens.

    Raises:
        SettingsError: Others could reach it without a token.
    """
    clickhouse = settings.clickhouse
    dashboard = new_dashboard(
        Ledger(clickhouse.url or "", clickhouse.database),
        access_of(settings),
        tiers=settings.top_tier,
        frontier=settings.frontier_ref,
        prices=lambda: configured_prices(settings),
        clock=utc_now,
        reports={**REPORTS, **CostReports(settings).by_name()},
    )
    config = uvicorn.Config(
        new_app(dashboard),
        host=settings.dashboard.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = WebServer(config)
    stop = stop_signal()
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(_stop_when_asked(server, stop))
    warming = asyncio.create_task(_when_started(server, on_ready))
    try:
        await serving
    finally:
        for task in (stopping, warming):
            task.cancel()


async def _stop_when_asked(server: WebServer, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


async def _when_started(server: WebServer, on_ready: Callable[[], None]) -> None:
    await server.until_started()
    on_ready()
    # Whoever waits for the stack to start comes first.
    await asyncio.sleep(_WARM_AFTER_S)
    await asyncio.to_thread(static_files.warm)

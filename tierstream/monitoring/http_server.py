"""`/metrics`, `/livez` and `/readyz` of a process, on its own event loop: one that is blocked does not answer."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tierstream.monitoring.errors import MonitoringError
from tierstream.monitoring.monitor import Monitor

log = logging.getLogger(__name__)

_UNAVAILABLE: Final = 503
_STOP_S: Final = 1.0


def monitoring_routes(monitor: Monitor) -> Sequence[web.AbstractRouteDef]:
    """Make the routes, also for an application that serves other things besides."""

    async def metrics(request: web.Request) -> web.Response:  # noqa: ARG001 - what aiohttp calls
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(monitor.registry), headers=headers)

    async def livez(request: web.Request) -> web.Response:  # noqa: ARG001
        stuck = monitor.stuck()
        return web.Response(text="\n".join(stuck or ["ok"]) + "\n", status=_UNAVAILABLE if stuck else 200)

    async def readyz(request: web.Request) -> web.Response:  # noqa: ARG001
        is_ready = monitor.is_ready
        return web.Response(text="ok\n" if is_ready else "not ready\n", status=200 if is_ready else _UNAVAILABLE)

    return [web.get("/metrics", metrics), web.get("/livez", livez), web.get("/readyz", readyz)]


@asynccontextmanager
async def serving(monitor: Monitor, host: str, port: int, *, setting: str) -> AsyncIterator[int]:
    """Serve a monitor's routes for as long as the block lasts; yields the port.

    Args:
        monitor: What is served.
        host: The address.
        port: 0: any free one.
        setting: What errors call the port, such as `operations.metrics_port`.

    Raises:
        MonitoringError: The port is taken, or the address is not one of this machine.
    """
    app = web.Application()
    app.add_routes(monitoring_routes(monitor))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_STOP_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise MonitoringError(_why(host, port, setting, error)) from error
        bound: int = runner.addresses[0][1]
        log.info("metrics at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, bound)
        with monitor.looking():
            yield bound
    finally:
        await runner.cleanup()


def _why(host: str, port: int, setting: str, error: OSError) -> str:
    reason = error.strerror or str(error)
    return (
        f"{setting}: can't listen on {host}:{port}: {reason}. Processes of one machine need a port each "
        f"(TIERSTREAM_{setting.upper().replace('.', '__')}), or 0 for any free one"
    )

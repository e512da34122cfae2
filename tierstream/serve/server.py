"""The process of the door: a web server on one port until it is told to stop."""

import asyncio
import contextlib
import resource
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from streams.config.settings import Settings, SettingsError
from streams.config.settings_serve import ServeSettings
from streams.kafka.admin import require_topics
from streams.kafka.clock import BrokerClock
from streams.runtime.result_index import ResultIndex
from streams.runtime.settled_requests import SettledRequests
from streams.runtime.unless import unless
from tierstream.monitoring.door_monitoring import DoorMonitoring
from tierstream.monitoring.monitor import Monitor
from tierstream.serve.answer_board import AnswerBoard
from tierstream.serve.app import new_app
from tierstream.serve.batches.store import new_batch_store
from tierstream.serve.door import Door
from tierstream.serve.exchange import Exchange, RecordSender
from tierstream.serve.http_protocol import ConnectionLimits, bounded_protocol
from tierstream.serve.keys import KeyRing, follow_keys, load_keys
from tierstream.serve.surface import Surface
from tierstream.serve.targets import DeploymentTargets
from tierstream.stack.dependencies import Dependency, kafka_is_away
from tierstream.stack.service_process import announce_ready, stop_signal
from tierstream.stack.web_server import WebServer
from topics.registry import BATCHES, FILES

_CLOSE_S: Final = 5.0
"""For clients to take the last of their streams."""
_OTHER_FILES: Final = 256
"""Besides the connections of clients."""
_KEEP_ALIVE_S: Final = 75
"""For a connection without a request; clients pool theirs for about a minute."""


def check(settings: Settings) -> tuple[KeyRing, DeploymentTargets]:
    """Say who is let in, and what the names of models stand for.

    Raises:
        SettingsError: Others could reach the door without a key, or keys, models or the certificate are not as they
            must be.
    """
    targets = DeploymentTargets(settings)
    if problems := list(targets.problems()):
        raise SettingsError(*problems)
    _check_tls(settings.serve)
    return KeyRing(load_keys(settings.serve)), targets


async def serve(
    settings: Settings, surfaces: Mapping[str, Surface], port: int, on_ready: Callable[[], None] = announce_ready
) -> None:
    """Serve the APIs until SIGTERM or SIGINT; while Kafka does not answer, wait for it.

    Args:
        settings: With an address of Kafka.
        surfaces: The APIs, by name.
        port: To listen on, at `serve.host`.
        on_ready: Called when it listens.

    Raises:
        SettingsError: As of `check`.
        TopicError: A topic is missing.
    """
    keys, targets = check(settings)
    stop, kafka = stop_signal(), Dependency.kafka(settings.kafka)

    async with AsyncExitStack() as running:

        async def start() -> _Started:
            await require_topics(settings.kafka, BATCHES, FILES)
            door = _door(settings, surfaces, keys, targets, lambda: kafka.is_away)
            return await running.enter_async_context(door)

        started = await kafka.attempt(lambda: unless(stop.wait(), start()), is_away=kafka_is_away, stop=stop)
        if started is None:
            return
        door, monitoring, following = started
        await running.enter_async_context(kafka.watched())
        _allow_sockets(settings.serve.max_connections)
        server = new_server(settings.serve, new_app(door, monitoring), port)
        stopping = asyncio.create_task(_stop_when_asked(server, door, stop, settings.serve.drain_timeout_s))
        starting = asyncio.create_task(_when_started(server, monitoring, on_ready))
        try:
            await unless(following, server.serve())
        finally:
            stopping.cancel()
            starting.cancel()


_Started = tuple[Door, DoorMonitoring, "asyncio.Future[Any]"]


@asynccontextmanager
async def _door(
    settings: Settings,
    surfaces: Mapping[str, Surface],
    keys: KeyRing,
    targets: DeploymentTargets,
    is_away: Callable[[], bool],
) -> AsyncIterator[_Started]:
    """Wire the door; yields it with what ends only by an error of what it follows."""
    clock = BrokerClock()
    board = AnswerBoard(settings.kafka, max_waiting=settings.serve.max_waiting)
    settled = SettledRequests(settings, clock)
    results = ResultIndex(settings, settled, clock)
    sender = RecordSender(settings, clock)
    exchange = Exchange(settings, board, sender, settled, results, clock)
    monitoring = DoorMonitoring(Monitor(is_away=is_away), lambda: board.waiting)
    async with AsyncExitStack() as closing:
        closing.push_async_callback(results.close)
        closing.push_async_callback(sender.close)
        batches = new_batch_store(settings, sender, clock)
        closing.push_async_callback(batches.close)
        ready = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
        following = asyncio.gather(
            board.run(ready[0]), settled.run(ready[1]), batches.log.run(ready[2]), follow_keys(keys, settings.serve)
        )
        closing.push_async_callback(_ended, following)
        for event in ready:
            await unless(following, event.wait())
        yield (
            Door(
                settings,
                exchange,
                keys,
                targets,
                surfaces,
                monitoring,
                lambda: clock().timestamp(),
                batches=batches,
            ),
            monitoring,
            following,
        )


async def _ended(following: "asyncio.Future[Any]") -> None:
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await following


def _allow_sockets(connections: int) -> None:
    """Have the system allow as many sockets as the settings do, as far as it lets us: often it begins with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def new_server(serve: ServeSettings, app: ASGIApp, port: int) -> WebServer:
    """Make the web server, which leaves signals to the process.

    Args:
        serve: Where it listens, and what it allows.
        app: What it serves.
        port: To listen on.
    """
    limits = ConnectionLimits(
        header_max_bytes=serve.header_max_bytes,
        header_timeout_s=serve.header_timeout_s,
        body_timeout_s=serve.body_timeout_s,
        write_timeout_s=serve.write_timeout_s,
        max_connections=serve.max_connections,
    )
    config = uvicorn.Config(
        app,
        host=serve.host,
        port=port,
        http=bounded_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=serve.max_connections,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(serve.drain_timeout_s + _CLOSE_S),
        ssl_certfile=serve.tls_cert,
        ssl_keyfile=serve.tls_key,
    )
    return WebServer(config)


def _check_tls(serve: ServeSettings) -> None:
    if serve.tls_cert is None or serve.tls_key is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(serve.tls_cert, serve.tls_key)
    except OSError as error:
        raise SettingsError(f"serve.tls_cert, serve.tls_key: can't be used: {error.strerror or error}") from None


async def _stop_when_asked(server: WebServer, door: Door, stop: asyncio.Event, grace_s: float) -> None:
    """Take no more requests, have those that are waited for be answered, and end what takes longer."""
    await stop.wait()
    server.should_exit = True
    await asyncio.sleep(grace_s)
    door.close()


async def _when_started(server: WebServer, monitoring: DoorMonitoring, on_ready: Callable[[], None]) -> None:
    await server.until_started()
    monitoring.monitor.note_started()
    on_ready()

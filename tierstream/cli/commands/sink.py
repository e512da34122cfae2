"""`tierstream sink`: fill the ledger in ClickHouse."""

import asyncio
import gc
import logging
from typing import Final

import typer

from streams.config.settings import Settings
from tierstream.cli.connection import invocation, load_with_kafka, with_clickhouse
from tierstream.cli.errors import FAILED, explain
from tierstream.cli.help_text import examples
from tierstream.cli.log_output import configure_logging
from tierstream.event_loop import run_service

log = logging.getLogger(__name__)

_GARBAGE_AFTER: Final = 100_000
"""New objects before the collector looks for cycles; some ten thousand rows."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("CLICKHOUSE_URL=http://localhost:8123 tierstream sink"))(sink)


def sink(ctx: typer.Context) -> None:
    """Write results, calls and hops to ClickHouse until SIGTERM or Ctrl-C. Logs to stderr.

    While Kafka or ClickHouse do not answer, it waits for them.

    Exit code 1 when it can't go on; nothing is lost, it resumes after what ClickHouse holds.
    """
    configure_logging(invocation(ctx).verbose, service=True)
    settings = with_clickhouse(load_with_kafka(ctx))
    configure_logging(invocation(ctx).verbose, service=True, log_format=settings.operations.log_format)
    try:
        run_service(_run(settings))
    except Exception as error:
        if explain(error) is not None:
            raise
        log.error("the sink stops: %s: %s", type(error).__name__, error)  # noqa: TRY400 - the traceback is for --verbose
        log.debug("the error in full", exc_info=error)
        raise typer.Exit(FAILED) from None


async def _run(settings: Settings) -> None:
    import streams.kafka.closing_connections  # noqa: PLC0415 - changes what aiokafka does
    import streams.kafka.damaged_batches  # noqa: F401, PLC0415 - changes what aiokafka does
    from analytics.rollup_loop import RollupLoop  # noqa: PLC0415
    from analytics.sink import Sink  # noqa: PLC0415 - other commands need not wait for it
    from streams.kafka.admin import retention_ms  # noqa: PLC0415
    from tierstream.monitoring.sink_monitoring import sink_monitoring  # noqa: PLC0415
    from tierstream.stack.dependencies import Dependency, kafka_is_away  # noqa: PLC0415
    from tierstream.stack.deployment import prepare_ledger  # noqa: PLC0415
    from tierstream.stack.service_process import announce_ready, stop_signal  # noqa: PLC0415

    # Rows wait by the thousand and are in no cycle: looking through them for garbage is a third of the sink's work.
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER)

    stop = stop_signal()
    kafka, clickhouse = settings.kafka, settings.clickhouse
    broker = Dependency.kafka(kafka)

    def on_ready() -> None:
        log.info("ready")
        monitoring.note_ready()
        announce_ready()

    async def write() -> None:
        # What a sink knows is in ClickHouse, so one that lost Kafka is replaced by a new one.
        sink = Sink(
            bootstrap_servers=kafka.bootstrap_servers or "",
            prefix=kafka.prefix,
            clickhouse_url=clickhouse.url or "",
            database=clickhouse.database,
            log_bodies=clickhouse.log_bodies,
            batch_rows=clickhouse.batch_rows,
            flush_interval_s=clickhouse.flush_interval_s,
            retention_ms=retention_ms(settings),
        )
        rollups = RollupLoop(
            clickhouse.url or "",
            clickhouse.database,
            interval_s=clickhouse.rollup_interval_s,
            lifetime_s=int(settings.delivery.dedup_window_s),
            stats=sink.stats,
            is_ours=lambda: sink.leads,
        )
        monitoring.watch(sink)
        building = asyncio.create_task(rollups.run())
        try:
            await sink.run(stop, on_ready)
        finally:
            building.cancel()
            await asyncio.wait([building])

    async with sink_monitoring(settings, lambda: broker.is_away) as monitoring:
        await prepare_ledger(settings, stop)
        async with broker.watched():
            await broker.attempt(write, is_away=kafka_is_away, stop=stop)

"""The stack of a benchmark: embedded, with one worker, in a folder of its own that goes with it."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from streams.config.settings import Settings
from tierstream.cli.commands.demo import started_stack
from tierstream.cli.connection import load_settings

if TYPE_CHECKING:
    from tierstream.bench.provider_process import StackUnderTest

T = TypeVar("T")


@asynccontextmanager
async def measured_stack(
    ctx: typer.Context, *, latency_ms: float | None, count: bool = False
) -> AsyncIterator["StackUnderTest"]:
    """Run a stack with one worker in a folder of its own; stops it at the end.

    Args:
        ctx: Says which settings.
        latency_ms: Of the mock; None: the simulator answers.
        count: Whether the mock counts the calls for each request.
    """
    from tierstream.bench.provider_process import StackUnderTest, mock_process  # noqa: PLC0415
    from tierstream.stack.deployment import with_addresses  # noqa: PLC0415

    async with AsyncExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tierstream-bench-")))
        (folder / "logs").mkdir()
        settings = _own_stack(load_settings(ctx), folder)
        mock = None
        if latency_ms is None:
            for one in settings.providers.values():
                os.environ.pop(one.api_key_env, None)
        else:
            mock = await running.enter_async_context(mock_process(folder / "logs", latency_ms=latency_ms, count=count))
            # Workers get the environment of this process.
            os.environ.update(mock.environment(settings))
        addresses = await running.enter_async_context(started_stack(ctx, settings))
        yield StackUnderTest(with_addresses(settings, addresses), folder, mock)


def on_stack(ctx: typer.Context, measure: "Callable[[StackUnderTest], Awaitable[T]]") -> T:
    """Measure on a stack of its own, whose provider answers at once."""

    async def run() -> T:
        async with measured_stack(ctx, latency_ms=0.0) as stack:
            return await measure(stack)

    return asyncio.run(run())


def _own_stack(settings: Settings, folder: Path) -> Settings:
    """Have nothing of another deployment measured: whatever the settings name, broker and ledger are embedded."""
    free = dict.fromkeys(("kafka_port", "kafka_controller_port", "clickhouse_port", "simulator_port"), 0)
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": None}),
            "clickhouse": settings.clickhouse.model_copy(update={"url": None}),
            "stack": settings.stack.model_copy(update={**free, "data_dir": folder, "workers": 1}),
        }
    )
